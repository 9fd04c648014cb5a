"""Where an operator's command works: Vers with the operator's key, or a local Vers that runs already or is started for it."""

import functools
import json
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import httpx

from bot.cli import wiring
from bot.cli.host import with_host_registries
from bot.cli.processes import children, swarm_bot
from bot.cli.tables import note
from bot.cli.world import GOLDEN_LIMIT_S, child_environment
from bot.core.errors import UserError
from bot.core.models import VmId
from bot.local.vers.server import running_addresses
from bot.pipeline.journal.database import open_database
from bot.pipeline.journal.migrate import migrate
from bot.settings import Settings, load_settings
from bot.vms.base import VmInfo, is_of, labels_of
from bot.vms.ssh import SshConnector
from bot.vms.vers import VersProvider

LOCAL_DEPLOYMENT = "local"
_SHORTEST_PREFIX = 4


@dataclass(frozen=True, slots=True)
class Place:
    """One account of Vers, and which of its machines are ours."""

    settings: Settings
    vers: VersProvider
    connect: SshConnector

    @property
    def deployment(self) -> str:
        """The label of machines that a person makes. The dot keeps them apart from a worker's, whose reaper does not know them."""
        return operators_deployment(self.settings)

    def labels(self, **more: str) -> dict[str, str]:
        """For a machine that a person makes."""
        return labels_of(self.deployment, **more)

    def is_ours(self, vm: VmInfo) -> bool:
        """Whether a machine belongs to this deployment, made by its worker or by a person."""
        return is_of(vm.labels, self.settings.deployment, self.deployment)

    def machines(self, *, everyone: bool) -> list[VmInfo]:
        """This deployment's machines, or all of the key; oldest first."""
        found = [vm for vm in self.vers.vms() if everyone or self.is_ours(vm)]
        return sorted(found, key=lambda vm: vm.created_at)

    def machine(self, name: str, *, everyone: bool) -> VmInfo:
        """The machine with this id, this beginning of an id, or this name.

        Raises:
            UserError: there is none, or more than one, or it belongs to somebody else and `everyone` was not said.
        """
        every = self.vers.vms()
        found = [vm for vm in every if name in (vm.id, vm.labels.get("name"))]
        if not found and len(name) >= _SHORTEST_PREFIX:
            found = [vm for vm in every if vm.id.startswith(name)]
        if not everyone and any(map(self.is_ours, found)):
            found = [vm for vm in found if self.is_ours(vm)]
        if not found:
            raise UserError(f"There is no machine {name!r}. `swarm-bot vm list` shows those that exist.")
        if len(found) > 1:
            raise UserError(f"{name!r} could be {' or '.join(vm.id for vm in found)}: say more of the id.")
        if not everyone and not self.is_ours(found[0]):
            raise UserError(
                f"Machine {found[0].id} does not belong to the deployment {self.settings.deployment}: say --all to use it "
                "all the same."
            )
        return found[0]

    def label_or_delete(self, vms: list[VmId], labels: Mapping[str, str]) -> None:
        """Make new machines ours; if that fails they go, because nobody would find them again."""
        try:
            for vm in vms:
                self.vers.label(vm, labels)
        except BaseException:
            for vm in vms:
                self.vers.delete(vm)
            raise


def operators_deployment(settings: Settings) -> str:
    """The deployment label of what a person makes on the command line."""
    return f"{settings.deployment}.cli"


def place_of(settings: Settings) -> Place:
    """The account of these settings."""
    vers = wiring.provider(settings)
    return Place(settings, vers, wiring.connector(settings, vers))


@contextmanager
def place(*, local: bool) -> Iterator[Place]:
    """The account to work on, while this is open."""
    with settings_of(local=local) as settings:
        yield place_of(settings)


@contextmanager
def settings_of(*, local: bool) -> Iterator[Settings]:
    """The operator's settings, or those that lead to a local Vers.

    A local Vers that runs is used: the youngest one on this cache. Without one it is started, and ends with this context.
    """
    settings = load_settings()
    if not local:
        yield settings
        return
    settings = with_host_registries(settings)
    if "deployment" not in settings.model_fields_set:
        settings = settings.model_copy(update={"deployment": LOCAL_DEPLOYMENT})
    with ExitStack() as undo:
        address = running_local(settings.swarm_cache)
        if address is None:
            note("starting a local Vers for this command alone; `swarm-bot local vers` starts one that stays")
            logs = Path(undo.enter_context(tempfile.TemporaryDirectory(prefix="swarm-bot-")))
            processes = undo.enter_context(children(logs))
            started = processes.start(
                "vers", swarm_bot("local", "vers"), child_environment(settings), limit_s=GOLDEN_LIMIT_S
            )
            address = started.ready
        yield at_local(settings, address)


def running_local(cache: Path, url: str = "") -> Mapping[str, Any] | None:
    """The address of the youngest local Vers on a cache that answers; with `url`, of the one that is there."""
    for file in running_addresses(cache):
        try:
            address: Mapping[str, Any] = json.loads(file.read_text())
            if url and address["base_url"] != url:
                continue
            if httpx.get(f"{address['base_url']}/health", timeout=2.0).is_success:
                return address
        except (OSError, ValueError, KeyError, httpx.HTTPError):
            continue  # it ended just now, or did not come to say goodbye
    return None


def at_local(settings: Settings, address: Mapping[str, Any]) -> Settings:
    """Settings that lead to a local Vers."""
    changes = {
        "vers_url": address["base_url"],
        "vers_api_key": address["api_key"],
        "vers_vm_domain": address["vm_domain"],
        "vers_front": address["front"],
        "vers_ca_file": address["ca_file"],
        "vers_publish_url": address["publish_url"],
    }
    return Settings.model_validate({**settings.model_dump(exclude_unset=True), **changes})


def at_vers(command: Callable[..., None]) -> Callable[..., None]:
    """Adds --local to a command and gives it the `Place` as its first argument."""

    @click.option("--local", is_flag=True, help="On a local Vers instead of the account of VERS_API_KEY.")
    @functools.wraps(command)
    def run(*args: Any, local: bool, **options: Any) -> None:
        with place(local=local) as at:
            command(at, *args, **options)

    return run


def everyone(command: Callable[..., None]) -> Callable[..., None]:
    """Adds --all."""
    wanted = click.option(
        "--all",
        "everyone",
        is_flag=True,
        help="Also machines of the account that are not of this deployment.",
    )
    return wanted(command)


def as_json(command: Callable[..., None]) -> Callable[..., None]:
    """Adds --json."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")(command)


def with_journal(settings: Settings) -> Settings:
    """Settings with a database that is ready: the operator's own below the cache, unless DATABASE_URL names another or the
    working folder has an installation's.
    """
    if "database_url" in settings.model_fields_set or Path("swarm-build.db").exists():
        return settings
    settings.swarm_cache.mkdir(parents=True, exist_ok=True)
    url = f"sqlite:///{settings.swarm_cache.absolute()}/operator.db"
    database = open_database(url)
    migrate(database)
    database.dispose()
    return settings.model_copy(update={"database_url": url})
