"""Starting and stopping a local GitHub in this process."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import bot
from bot.core.texts import Texts, default_loader
from bot.local.github import local_api, seed
from bot.local.github.api import Api
from bot.local.github.app import make_app
from bot.local.github.clock import Clock, real_clock
from bot.local.github.description import load_description
from bot.local.github.faults import Faults
from bot.local.github.hooks import Outbox
from bot.local.github.operations import HANDLERS
from bot.local.github.violations import Violations
from bot.local.github.world import World
from bot.serving import Serving

HOST = "127.0.0.1"
THREADS = 16


@dataclass(frozen=True, slots=True)
class Running:
    """A local GitHub that serves.

    Attributes:
        base_url: of the REST API, "http://127.0.0.1:PORT/api/v3"; what `GITHUB_URL` wants.
        web_url: of the pages and of git, "http://127.0.0.1:PORT".
        app_id: of the installed App.
        app_slug: its bot's login is "SLUG[bot]".
        private_key_file: the App's key, PEM.
        webhook_secret: what webhooks are signed with.
        users: login -> token.
        world: its state, for tests in the same process.
        api: its REST front, for tests in the same process.
    """

    base_url: str
    web_url: str
    app_id: int
    app_slug: str
    private_key_file: Path
    webhook_secret: str = field(repr=False)
    users: Mapping[str, str] = field(repr=False)
    world: World = field(repr=False)
    api: Api = field(repr=False)
    stop: Callable[[], None] = field(repr=False)
    """Send no more webhooks, free the port, close the state; returns when that is done."""

    def set_webhook_url(self, url: str | None) -> None:
        """Where the App listens; the first time it gets a `ping`."""
        local_api.set_hook(self.api, url)

    def create_repository(
        self, full_name: str, files: Mapping[str, bytes] | None = None, *, private: bool = False
    ) -> str:
        """A repository with one commit of these files, or an empty one; gives its address."""
        with self.world.store.lock:
            repo = seed.create_repository(self.world, full_name, files or {}, private=private)
        return f"{self.web_url}/{repo.full_name}"

    def violations(self) -> list[dict[str, Any]]:
        """Where requests, answers and webhooks left GitHub's description; see `violations.ALLOWED`."""
        return self.api.violations.all()

    def wait_for_webhooks(self, timeout_s: float = 10.0) -> bool:
        """Wait until every webhook so far has been answered or given up; False if that takes longer."""
        return self.api.outbox.wait_idle(timeout_s)


def start(
    state: Path,
    *,
    port: int = 0,
    webhook_url: str | None = None,
    manifest: Mapping[str, Any] | None = None,
    clock: Clock = real_clock,
) -> Running:
    """Serve in threads of this process; the port is open on return.

    Args:
        state: folder for everything that is kept; made if it is not there, found again if it is.
        port: 0 for any that is free.
        webhook_url: where the App listens; can be set later.
        manifest: the App's name, default_permissions and default_events, as in an App manifest.
        clock: the time.
    """
    world = World(state, load_description(), clock)
    faults, violations = Faults(), Violations()
    outbox = Outbox(world, faults, violations)
    api = Api(world, outbox, faults, violations, HANDLERS)
    web = make_app(api, Texts(default_loader(_templates())))
    serving = Serving(web, name="local-github", host=HOST, port=port, threads=THREADS, ident="local-github")
    world.web_url = serving.url
    app = seed.seed(world, manifest or seed.MANIFEST)
    if webhook_url is not None:
        local_api.set_hook(api, webhook_url)

    def stop() -> None:
        serving.stop()
        outbox.stop()
        world.store.close()

    return Running(
        base_url=world.api_url,
        web_url=world.web_url,
        app_id=app.id,
        app_slug=app.slug,
        private_key_file=seed.key_file(state),
        webhook_secret=app.webhook_secret,
        users=seed.tokens_of_people(world),
        world=world,
        api=api,
        stop=stop,
    )


def _templates() -> Path:
    """The templates beside a checkout's package, or inside an installed one."""
    package = Path(bot.__file__).parent
    beside = package.parent / "templates"
    return beside if beside.is_dir() else package / "_templates"
