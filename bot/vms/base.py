"""The two ports to machines: `Provider` makes and deletes them, `Shell` is the one line to one of them."""

import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from bot.core.models import CommitId, VmId

_APP = "swarm-build"


def labels_of(deployment: str, **more: str) -> dict[str, str]:
    """The labels of a machine of ours. `deployment` keeps the machines of several bots on one account apart."""
    return {"app": _APP, "deployment": deployment, **more}


def is_of(labels: Mapping[str, str], *deployments: str) -> bool:
    """Whether labels are those of a machine of one of these deployments."""
    return labels.get("app") == _APP and labels.get("deployment") in deployments


class VmState(StrEnum):
    """What a provider says of a machine (facts of Vers: lower case on read). `running` does not mean that sshd answers."""

    BOOTING = "booting"
    RUNNING = "running"
    PAUSED = "paused"
    SLEEPING = "sleeping"
    DEAD = "dead"


@dataclass(frozen=True, slots=True)
class VmInfo:
    """One machine of ours in the provider's list."""

    id: VmId
    state: VmState
    labels: Mapping[str, str] = field(default_factory=dict)
    created_at: str = ""
    """RFC 3339."""


@dataclass(frozen=True, slots=True)
class VmMetadata:
    """What the provider knows of one machine beyond its state. `ip` is IPv6."""

    id: VmId
    ip: str
    state: VmState
    parent_commit: CommitId | None


@dataclass(frozen=True, slots=True)
class CommitInfo:
    """A snapshot of ours in the provider's list. Commits have names, not labels."""

    id: CommitId
    name: str
    created_at: str = ""


@dataclass(frozen=True, slots=True)
class SshKey:
    """What opens a shell: the private key (OpenSSH PEM) and the machine's pinned public host key ("ssh-ed25519 AAAA…")."""

    private_key: str = field(repr=False)
    host_key: str = ""


class Provider(Protocol):
    """Machines for rent.

    Every call translates foreign errors: `NotFound`, `Conflict`, `Forbidden`, `Transient`, `Permanent`. Calls that
    create something are not repeated after an unclear answer (`Transient` with the effect unknown): the caller
    records an intent first and looks for the machine afterwards.

    Attributes:
        answer_limit_s: a call that makes something is answered, or given up, within this time after it was made.
    """

    @property
    def answer_limit_s(self) -> float: ...

    def create(self, *, memory_mib: int, disk_mib: int, vcpus: int, labels: Mapping[str, str]) -> VmId:
        """A fresh machine from the provider's default image, booted."""
        ...

    def branch(self, commit: CommitId, count: int = 1) -> list[VmId]:
        """Machines that start from a snapshot: at least one, and at most `count`. They carry no labels yet.

        Fewer come where the answer names fewer, or where a later one is refused; `Transient` when none is named.
        """
        ...

    def commit(self, vm: VmId, name: str) -> CommitId:
        """A snapshot of a machine, which goes on running."""
        ...

    def delete_commit(self, commit: CommitId) -> None:
        """Delete a snapshot. One that is gone already is fine. `Conflict` while machines of it live."""
        ...

    def commits(self) -> list[CommitInfo]:
        """All snapshots of this account."""
        ...

    def tag(self, name: str, commit: CommitId) -> None:
        """Name a snapshot, or move the name to it."""
        ...

    def tagged(self, name: str) -> CommitId | None:
        """The snapshot that carries a name."""
        ...

    def delete(self, vm: VmId) -> None:
        """Delete a machine. One that is gone already is fine."""
        ...

    def vms(self) -> list[VmInfo]:
        """All machines of this account's key."""
        ...

    def status(self, vm: VmId) -> VmInfo: ...

    def metadata(self, vm: VmId) -> VmMetadata: ...

    def label(self, vm: VmId, labels: Mapping[str, str]) -> None:
        """Add or overwrite labels."""
        ...

    def set_paused(self, vm: VmId, *, paused: bool) -> None: ...

    def read_file(self, vm: VmId, path: str) -> bytes:
        """One file over the authenticated API, without SSH."""
        ...

    def write_file(self, vm: VmId, path: str, content: bytes, *, mode: int = 0o644) -> None: ...

    def ssh_key(self, vm: VmId) -> SshKey:
        """The machine's key, and its host key as the API reads it from the machine."""
        ...

    def account_variables(self) -> dict[str, str]:
        """The account's environment variables, which the provider writes into every new machine."""
        ...

    def public_url(self, vm: VmId, port: int) -> str:
        """The address at which a visitor reaches a port of the machine. The only place that builds one."""
        ...


@dataclass(frozen=True, slots=True)
class Completed:
    """A command that ended. `exit_status` is never invented: a lost line raises instead."""

    exit_status: int
    stdout: bytes
    stderr: bytes

    @property
    def text(self) -> str:
        """Standard output as text, undecodable bytes replaced."""
        return self.stdout.decode("utf-8", "replace")


Dial = Callable[[], socket.socket]
"""Opens one connection to a service on our side; called for each connection that a machine makes to a forwarded port."""


class Shell(Protocol):
    """One verified connection to one machine, as root, with many channels. Safe to use from several threads.

    Every method raises `Transient` when the line is down and could not be made again within the connection's limits,
    `Unauthentic` when the host key is not the pinned one, `NotFound` when the machine is gone.
    """

    vm: VmId

    def run(
        self, command: str, *, stdin: bytes = b"", timeout_s: float = 60.0, check: bool = True
    ) -> Completed:
        """Run a shell command. At `timeout_s` the command's whole process group is ended and `Transient` is raised.

        Raises:
            Permanent: `check` and the exit status is not 0; the message carries the last lines of stderr. Or the
                command wrote more than 16 MiB, or 1 MiB on stderr.
        """
        ...

    def follow(self, path: str, offset: int, *, idle_s: float = 1.0) -> Iterator[bytes]:
        """The bytes of a growing file from a byte offset, for ever.

        Yields b"" at least every `idle_s` seconds while nothing comes, so that the caller can look around.
        Ends by raising `Transient` when the line is lost: the caller goes on from offset + bytes received.
        Raises `Permanent` when the file was truncated below the offset.
        """
        ...

    def read_file(self, path: str, *, limit_bytes: int = 64 << 20) -> bytes: ...

    def write_file(self, path: str, content: bytes, *, mode: int = 0o644, owner: str = "root") -> None:
        """Write atomically (temporary name in the same folder, then rename); folders are made."""
        ...

    def read_tree(self, path: str, *, exclude: Sequence[str] = (), limit_bytes: int = 64 << 20) -> bytes:
        """A folder as an uncompressed tar stream, held in memory. `exclude` are tar patterns."""
        ...

    def write_tree(self, path: str, tar: bytes, *, owner: str = "root") -> None:
        """Unpack a tar made by us below a folder, which is made if missing."""
        ...

    def forward(self, vm_port: int, dial: Dial) -> None:
        """Serve `127.0.0.1:vm_port` inside the machine by connections that `dial` opens on our side.

        Set again by the shell itself after a reconnect.
        """
        ...

    def close(self) -> None: ...


class Connect(Protocol):
    """Opens shells. Waits until sshd answers, up to a limit."""

    def __call__(self, vm: VmId, *, timeout_s: float = 60.0) -> Shell: ...
