"""The whole product as processes: stand-ins, web, worker. One world for all walks; what a test leaves, it cleans."""

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from bot.cli import wiring
from bot.cli.host import with_host_registries
from bot.cli.processes import Child, children
from bot.cli.receive import deliver
from bot.cli.world import Person, World, machines_left, start_world
from bot.core.models import RunId, VmId
from bot.pipeline.journal.runs import Run
from bot.settings import load_settings
from bot.vms.base import Shell, VmMetadata
from tests.conftest import one_builder, require_machines
from tests.waiting import wait_until

RATE = 3000.0
"""Tokens per second: the swarm thinks in seconds, and every process and machine is real."""
REPOSITORY = "acme/arcade"
BUILD_LIMIT_S = 150.0
BARE: dict[str, object] = {"pictures": False, "transcript_days": 0}
"""Most walks look at neither picture nor transcripts, and have no time for the machine that makes them."""


@dataclass
class Walk:
    """What a walk does and looks at: people on GitHub, the journal, the machines."""

    world: World
    stores: wiring.Stores
    repository: str = REPOSITORY
    people: dict[str, Person] = field(default_factory=dict)
    """A person keeps one connection: a walk looks often."""

    def person(self, login: str) -> Person:
        """Somebody with an account."""
        if login not in self.people:
            self.people[login] = Person(self.world.github, login)
        return self.people[login]

    @property
    def github(self) -> Person:
        """The owner, for looking around."""
        return self.person("alice")

    def attach(self, image: bytes) -> str:
        """Somebody drops an image into a text; its address there."""
        where = f"{self.world.github['web_url']}/_local/repositories/{self.repository}/attachments"
        return str(httpx.post(where, content=image).raise_for_status().json()["href"])

    def open(self, issue_file: str, more: str = "") -> int:
        """An issue with the text of docs/issues/<file>, and more below it; its number."""
        title, _, text = Path("docs/issues", issue_file).read_text().partition("\n")
        return self.github.open_issue(self.repository, title.lstrip("# ").strip(), text.strip() + more)[0]

    def beside(self, repository: str, files: dict[str, str]) -> "Walk":
        """The same world, seen from a new repository with these files."""
        order = {"full_name": repository, "files": files}
        httpx.post(f"{self.world.github['web_url']}/_local/repositories", json=order).raise_for_status()
        return replace(self, repository=repository)

    def push(self, login: str, branch: str, path: str, text: str) -> str:
        """Somebody commits a file to a branch; the new head."""
        content = base64.b64encode(text.encode()).decode()
        where = f"/repos/{self.repository}/contents/{path}"
        done = self.person(login).call("PUT", where, message="By hand", content=content, branch=branch)
        return str(done["commit"]["sha"])

    def label(self, number: int, login: str = "alice") -> None:
        """Put the trigger on it."""
        self.person(login).label(self.repository, number, "swarm-build")

    def run_of(self, number: int) -> RunId:
        """The newest build of an issue, once it exists."""
        return wait_until(
            lambda: self.stores.runs.of_issue(self.repository, number), 30, "a build is queued"
        )[0].id

    def ended(self, run: RunId, limit_s: float = BUILD_LIMIT_S) -> Run:
        """The build, once it has ended."""

        def look() -> Run | None:
            self.world.processes.check()
            found = self.stores.runs.get(run)
            return found if found.state.ended else None

        return wait_until(look, limit_s, "the build has ended")

    def build(self, issue_file: str) -> tuple[int, Run]:
        """An issue, labelled and built to its end."""
        number = self.open(issue_file)
        self.label(number)
        return number, self.ended(self.run_of(number))

    def comments(self, number: int) -> list[dict[str, Any]]:
        """An issue's comments."""
        return list(self.github.call("GET", f"/repos/{self.repository}/issues/{number}/comments"))

    def pull_requests(self, number: int) -> list[dict[str, Any]]:
        """Open pull requests from the branch of an issue."""
        return [each for each in self.open_pull_requests() if each["head"]["ref"] == f"swarm/issue-{number}"]

    def open_pull_requests(self) -> list[dict[str, Any]]:
        """All that are open."""
        return list(self.github.call("GET", f"/repos/{self.repository}/pulls?state=open&per_page=100"))

    def tree(self, branch: str) -> dict[str, str]:
        """Path -> mode of the files on a branch."""
        listing = self.github.call("GET", f"/repos/{self.repository}/git/trees/{branch}?recursive=1")
        return {each["path"]: each["mode"] for each in listing["tree"] if each["type"] == "blob"}

    def file(self, branch: str, path: str) -> str:
        """A file's text on a branch."""
        found = self.github.call("GET", f"/repos/{self.repository}/contents/{path}?ref={branch}")
        return base64.b64decode(found["content"]).decode()

    def worker(self) -> Child:
        """The running worker."""
        return self.world.child("worker")

    def deliver(self, event: str, payload: dict[str, object]) -> httpx.Response:
        """A signed webhook, straight to the web process."""
        return deliver(
            f"{self.world.web_url}/webhook",
            event=event,
            body=json.dumps(payload).encode(),
            secret=str(self.world.github["webhook_secret"]),
        )

    def installation(self) -> int:
        """The App's installation on the repository."""
        return self.stores.runs.recent(1)[0].request.repo.installation_id

    def ledger(self, run: RunId) -> list[dict[str, object]]:
        """The model's own record of the calls of a build."""
        assert self.world.model
        found = httpx.get(f"{self.world.model['base_url']}/ledger").raise_for_status().json()
        return [each for each in found if each["run"] == run]

    @contextmanager
    def pace(self, rate: float) -> Iterator[None]:
        """Another speed of the model, for a while."""
        assert self.world.model
        url = f"{self.world.model['base_url']}/_local/pace"
        httpx.post(url, json={"rate": rate}).raise_for_status()
        yield
        httpx.post(url, json={"rate": RATE}).raise_for_status()

    def model_fault(self, **fault: object) -> None:
        """Let a later call of the model fail; see `bot.local.model.faults.Fault`."""
        assert self.world.model
        httpx.post(f"{self.world.model['base_url']}/_local/faults", json=fault).raise_for_status()

    def shell(self, vm: VmId) -> Shell:
        """A line of our own to a machine."""
        return wiring.connector(self.world.settings, wiring.provider(self.world.settings))(vm)

    def metadata(self, vm: VmId) -> VmMetadata:
        """What the provider knows of a machine."""
        return wiring.provider(self.world.settings).metadata(vm)

    @contextmanager
    def pictures(self) -> Iterator[None]:
        """Previews are photographed and transcripts kept."""
        plain = self.world
        whole: dict[str, object] = {"pictures": True, "transcript_days": 1}
        for settings in (plain.settings.model_copy(update=whole), plain.settings):
            self.worker().end()
            self.world.processes.all.remove(self.worker())
            self.world = replace(plain, settings=settings)
            self.world.start_worker()
            if settings is not plain.settings:
                yield

    def kill_worker(self) -> None:
        """As the kernel would: no signal handler, no farewell."""
        child = self.worker()
        child.process.kill()
        child.process.wait()
        self.world.processes.all.remove(child)

    def close_pull_request(self, number: int) -> None:
        """Close the pull request of an issue and wait until its preview is gone."""
        for each in self.pull_requests(number):
            self.github.close_pull_request(self.repository, int(str(each["number"])))
        wait_until(lambda: self.machines() == 0, 60, "no machine is left")

    def machines(self) -> int:
        """Machines that exist at this moment."""
        return machines_left(self.world.vers)


@pytest.fixture(scope="session")
def walk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Walk]:
    """The running product, on a fresh database and a fresh GitHub."""
    settings = with_host_registries(load_settings()).model_copy(update=BARE)
    require_machines(settings.swarm_cache)
    state = tmp_path_factory.mktemp("world")
    with children(state / "logs") as processes:
        with one_builder():
            world = start_world(settings, state, processes, rate=RATE, tell=lambda _text: None)
        yield Walk(world, wiring.stores(world.settings))
        violations = httpx.get(f"{world.github['web_url']}/_local/violations").json()
        assert violations == [], "requests or answers that GitHub's description does not know"


@pytest.fixture(autouse=True)
def _nothing_is_left(walk: Walk) -> Iterator[None]:
    """A walk that failed half-way takes its build and its machines with it."""
    yield
    for run in walk.stores.runs.active():
        walk.stores.runs.cancel(run.id, "", "the test is over")
    for each in walk.open_pull_requests():
        if each["head"]["ref"].startswith("swarm/issue-"):
            walk.github.close_pull_request(REPOSITORY, each["number"])
    wait_until(lambda: walk.machines() == 0, 90, "no machine is left")
