"""One machine as its server sees it: identity, state, its first process, its folder."""

import contextlib
import json
import os
import select
import signal
import socket
import threading
import weakref
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from bot.core.codec import dump
from bot.local.vers.cgroups import Cgroup
from bot.local.vers.execs import Exec
from bot.local.vers.store import LiveMachine, Size

_KILL_LIMIT_S = 10.0


class State(StrEnum):
    """As the API writes them on read."""

    BOOTING = "booting"
    RUNNING = "running"
    PAUSED = "paused"
    SLEEPING = "sleeping"
    DEAD = "dead"


@dataclass(slots=True, eq=False, weakref_slot=True)
class Machine:
    """One machine. `lock` is held by whoever changes its life; readers do not take it."""

    id: str
    org: str
    owner: str
    """Id of the key that made it."""
    created_at: str
    size: Size
    layers: list[str]
    parent_commit: str | None
    grandparent_vm: str | None
    folder: Path
    labels: dict[str, str] | None = None
    address: str = ""
    lock: threading.RLock = field(default_factory=threading.RLock)
    execs: dict[str, Exec] = field(default_factory=dict)
    private_key: str = field(default="", repr=False)
    public_key: str = ""
    _connections: "weakref.WeakSet[socket.socket]" = field(default_factory=weakref.WeakSet)
    _connections_lock: threading.Lock = field(default_factory=threading.Lock)
    _state: State = State.RUNNING
    _boot_over: threading.Event = field(default_factory=threading.Event)
    _pidfd: int = -1
    _cgroup: Cgroup | None = None

    def __post_init__(self) -> None:
        key = Ed25519PrivateKey.generate()
        private = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
        self.private_key = private.decode()
        self.public_key = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()

    @property
    def hostname(self) -> str:
        return f"vm-{self.id[:8]}"

    @property
    def state(self) -> State:
        return State.DEAD if self.wait_ended(0) else self._state

    @state.setter
    def state(self, state: State) -> None:
        self._state = state

    @property
    def pidfd(self) -> int:
        """Of its first process; -1 before it runs."""
        return self._pidfd

    def promise(self) -> None:
        """Write down, under the store's lock, which layers this machine needs."""
        self.folder.mkdir(parents=True)
        live = LiveMachine(self.id, self.parent_commit, self.layers)
        (self.folder / "machine.json").write_text(json.dumps(dump(live)))

    def started(self, pidfd: int, run: str) -> None:
        """Its first process runs."""
        self._pidfd, self._cgroup = pidfd, Cgroup(run, self.id)
        weakref.finalize(self, os.close, pidfd)  # never earlier: some thread may be polling it

    def booted(self) -> None:
        """Its sshd answers, or the time for that is over."""
        if self._state is State.BOOTING:
            self._state = State.RUNNING
        self._boot_over.set()

    def wait_booted(self) -> None:
        """Return once it is not `booting` any more."""
        if self._state is State.BOOTING:
            self._boot_over.wait()

    def wait_ended(self, limit_s: float) -> bool:
        """Whether its first process has ended, within a time."""
        if self._pidfd < 0:
            return False
        poll = select.poll()
        poll.register(self._pidfd, select.POLLIN)
        return bool(poll.poll(limit_s * 1000))

    def freeze(self, *, frozen: bool) -> None:
        """Stop or continue all processes; the state is the caller's business."""
        if self._cgroup and not self.wait_ended(0):
            self._cgroup.freeze(frozen=frozen, pidfd=self._pidfd)

    def set_state(self, state: State) -> None:
        """Pause, sleep or run."""
        with self.lock:
            if self.state is not State.DEAD:
                self.freeze(frozen=state is not State.RUNNING)
                self._state = state

    def track(self, connection: socket.socket) -> None:
        """Remember a connection into it, which ends with the machine."""
        with self._connections_lock:
            self._connections.add(connection)

    def kill(self) -> None:
        """End every process and wait until they have ended."""
        if self._pidfd >= 0:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
            with contextlib.suppress(OSError):  # a frozen v1 cgroup delivers the signal only when thawed
                self.freeze(frozen=False)
            self.wait_ended(_KILL_LIMIT_S)
        if self._cgroup:
            self._cgroup.remove()
        self.close()

    def close(self) -> None:
        """Break the connections into it and let go of its process."""
        with self._connections_lock:
            for connection in self._connections:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
        self._boot_over.set()


def prepare_folder(
    machine: Machine, environment: Path, variables: Mapping[str, str] | None, *, forwarding: bool = True
) -> None:
    """Make the upper layer: name, machine id and, for a machine from the default image, the account's variables."""
    upper = machine.folder / "up"
    for folder in (upper, upper / "etc", machine.folder / "wk", machine.folder / "m"):
        folder.mkdir()
        folder.chmod(0o755)
    files = {"hostname": machine.hostname, "machine-id": machine.id.replace("-", "")}
    if variables:
        lines = "".join(f'{name}="{value}"\n' for name, value in variables.items())
        files["environment"] = environment.read_text() + lines.rstrip("\n")
    if not forwarding:
        (upper / "etc/ssh/sshd_config.d").mkdir(parents=True)  # sshd takes the first file that says a word
        files["ssh/sshd_config.d/00-forwarding.conf"] = "AllowTcpForwarding no"
    for name, content in files.items():
        path = upper / "etc" / name
        path.write_text(content + "\n")
        path.chmod(0o644)


def parse_environment(text: str) -> dict[str, str]:
    """The variables of an /etc/environment, as pam_env reads it."""
    found = {}
    for raw in text.splitlines():
        name, equals, value = raw.strip().removeprefix("export ").partition("=")
        if equals and not name.startswith("#"):
            if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"":
                value = value[1:-1]
            found[name] = value
    return found
