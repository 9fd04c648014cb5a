"""Where the files of whoever calls the tools are: an architect's machine, or a folder of a person's own computer."""

import io
import tarfile
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import Protocol

from bot.agents.calls import OPERATOR
from bot.agents.collect import pack
from bot.agents.lines import SWARM_HOME, WORKSPACE
from bot.agents.machines import Machines
from bot.core.artifacts import SPEC_FILE, exclude_patterns
from bot.core.errors import UserError
from bot.core.models import Artifact
from bot.pipeline.journal.fleet import ToolCall
from bot.vms.base import Shell

_SPEC_LIMIT_BYTES = 1 << 20
_TREE_LIMIT_BYTES = 64 << 20
_EXCHANGE = "/tmp/swarm"  # noqa: S108 - on a machine, written as its agent


class Home(Protocol):
    """The caller's workspace, and a place beside it for what is too large for an answer."""

    @property
    def where(self) -> str:
        """The workspace, as its owner knows it."""
        ...

    def spec(self) -> str:
        """SPEC.md as it is now; "" if there is none."""
        ...

    def tree(self, within: str) -> bytes:
        """A tar of the workspace, or at least of what lies at or below a relative path in it."""
        ...

    def put(self, files: Mapping[str, Artifact]) -> None:
        """Write files into the workspace. No link is followed out of it."""
        ...

    def read(self, path: str) -> bytes:
        """A file that the caller wrote for us."""
        ...

    def keep(self, name: str, content: bytes) -> str:
        """A file for the caller to read, as long as it wants; its path."""
        ...

    def hand(self, name: str, content: bytes) -> str:
        """A file that the caller takes away; its path."""
        ...


def owner_on(shell: Shell) -> str:
    """Whose files an agent's are on a machine: the agent's, or root's on one that was not made from our image."""
    return "agent" if shell.run("id -u agent", check=False).exit_status == 0 else "root"


def as_owner(owner: str, script: str) -> str:
    """A bash script as its owner, with the environment of the agents' machines where there is one."""
    ready = f"[ ! -r /etc/profile.d/swarm.sh ] || . /etc/profile.d/swarm.sh; {script}"
    if owner == "root":
        return f"bash -c {quote(ready)}"
    return f"runuser -u {owner} -- env HOME=/home/{owner} USER={owner} bash -c {quote(ready)}"


def read_as_owner(shell: Shell, path: str) -> bytes:
    """
    Raises:
        UserError: its owner cannot read it; with the machine's words.
    """
    done = shell.run(as_owner(owner_on(shell), f"cat -- {quote(path)}"), timeout_s=180.0, check=False)
    if done.exit_status != 0:
        raise UserError(last_words(done.stderr) or f"{path} could not be read")
    return done.stdout


def last_words(stderr: bytes) -> str:
    """The end of what a program complained of."""
    return stderr.decode("utf-8", "replace").strip()[-500:]


@dataclass(frozen=True, slots=True)
class MachineHome:
    """The workspace of a machine."""

    shell: Shell
    now: Callable[[], float]

    @property
    def where(self) -> str:
        return WORKSPACE

    def spec(self) -> str:
        # Read as the agent: a link leads no further than it may.
        command = f"runuser -u agent -- head -c {_SPEC_LIMIT_BYTES} -- {WORKSPACE}/{SPEC_FILE}"
        read = self.shell.run(command, check=False)
        return read.stdout.decode("utf-8", "replace") if read.exit_status == 0 else ""

    def tree(self, within: str) -> bytes:  # noqa: ARG002 - all of it is one command
        return self.shell.read_tree(WORKSPACE, exclude=exclude_patterns())

    def put(self, files: Mapping[str, Artifact]) -> None:
        self.shell.write_tree(WORKSPACE, pack(files, self.now()), owner=owner_on(self.shell))

    def read(self, path: str) -> bytes:
        return read_as_owner(self.shell, path)

    def keep(self, name: str, content: bytes) -> str:
        path = f"{SWARM_HOME}/results/{name}.txt"
        self.shell.write_file(path, content)
        return path

    def hand(self, name: str, content: bytes) -> str:
        path = f"{_EXCHANGE}-{name}"
        self.shell.write_file(path, content, owner="agent")
        return path


@dataclass(frozen=True, slots=True)
class FolderHome:
    """A folder of this computer. What was made elsewhere is written below it and nowhere else."""

    folder: Path

    @property
    def where(self) -> str:
        return str(self.folder)

    def spec(self) -> str:
        try:
            with (self.folder / SPEC_FILE).open("rb") as file:
                return file.read(_SPEC_LIMIT_BYTES).decode("utf-8", "replace")
        except OSError:
            return ""

    def tree(self, within: str) -> bytes:
        excluded = set(exclude_patterns())
        buffer = io.BytesIO()
        left = _TREE_LIMIT_BYTES

        def take(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
            nonlocal left
            left -= member.size
            if left < 0:
                raise UserError(f"{self.folder / within} has more than {_TREE_LIMIT_BYTES >> 20} MiB.")
            return None if excluded & set(Path(member.name).parts) else member

        with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
            if (self.folder / within).exists():
                try:
                    tar.add(self.folder / within, arcname=within or ".", filter=take)
                except OSError as error:
                    raise UserError(f"{self.folder / within} could not be read: {error}") from error
        return buffer.getvalue()

    def put(self, files: Mapping[str, Artifact]) -> None:
        root = self.folder.resolve()
        for path in files:
            target = root / path
            if target.is_symlink() or not target.parent.resolve().is_relative_to(root):
                raise UserError(f"{target} is or lies behind a link: nothing was written.")
        try:
            for path, file in files.items():
                (root / path).parent.mkdir(parents=True, exist_ok=True)
                (root / path).write_bytes(file.content)
                (root / path).chmod(file.mode & 0o777)
        except OSError as error:
            raise UserError(f"{error.filename} could not be written: {error.strerror}") from error

    def read(self, path: str) -> bytes:
        try:
            return Path(path).read_bytes()
        except OSError as error:
            raise UserError(f"{path} could not be read: {error.strerror}") from error

    def keep(self, name: str, content: bytes) -> str:
        with tempfile.NamedTemporaryFile(prefix=f"swarm-{name}-", suffix=".txt", delete=False) as file:
            file.write(content)  # its mode is 0600
        return file.name

    def hand(self, name: str, content: bytes) -> str:
        return self.keep(name, content)


class Homes:
    """Finds the home of a call."""

    def __init__(self, machines: Machines, now: Callable[[], float]) -> None:
        self._machines = machines
        self._now = now

    def of(self, call: ToolCall) -> Home:
        """Where the caller's files are. A person's orders carry the folder in which they were given."""
        if call.vm == OPERATOR:
            return FolderHome(Path(str(call.params["_folder"])))
        return MachineHome(self._machines.shell(call.vm), self._now)
