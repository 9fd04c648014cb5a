"""`SshShell`: what can be done on a machine over its line. Knows nothing of SSH beyond commands with three streams."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from shlex import quote
from typing import Protocol, TypeVar

import stamina

from bot.core.errors import Permanent, Transient
from bot.core.models import VmId
from bot.vms import commands
from bot.vms.attach import Attached
from bot.vms.base import Completed, Dial

T = TypeVar("T")

_GRACE_S = 15.0  # the machine kills a command at its limit; this much later the line itself is in doubt
_DRAIN_S = 2.0
_TRANSFER_TIMEOUT_S = 180.0
_OUTPUT_LIMIT_BYTES = 16 << 20
_ERRORS_LIMIT_BYTES = 1 << 20
_KILLED = 128 + 9
_NOT_FOLLOWED = {
    commands.TRUNCATED: "is shorter than what was read of it: it was truncated",
    commands.ROTATED: "is another file now: it was rotated",
}
_CUT_SHORT = 75
_TAIL_BYTES = 2000


class LineLost(Transient):
    """The line broke before the command's exit status came; whether it ran, and how far, is not known."""


class Session(Protocol):
    """One command that was started. Reads and writes return after at most the session's poll time."""

    def read(self) -> bytes | None:
        """The next bytes of standard output; b"" at its end, None if nothing came in time."""
        ...

    def read_error(self) -> bytes | None: ...

    def pending_error(self) -> bytes:
        """What has come on standard error so far, without waiting."""
        ...

    def write(self, data: memoryview) -> int:
        """How many bytes were taken; -1 when the command takes no more."""
        ...

    def end_input(self) -> None: ...

    def exit_status(self, timeout_s: float) -> int | None:
        """
        Raises:
            LineLost: the session ended without one.
        """
        ...

    def close(self) -> None: ...


class Line(Protocol):
    """The connection: starts commands, on a new connection if the old one is dead, and serves forwarded ports."""

    vm: VmId

    def session(self, command: str, *, poll_s: float) -> Session: ...

    def forward(self, vm_port: int, dial: Dial) -> None: ...

    def close(self) -> None: ...


class SshShell:
    """Implements `vms.base.Shell`. Thread-safe.

    A command is sent once: if the line breaks after that, `run` raises `LineLost` and the caller decides. Reading
    and writing files and trees is repeated, because a second time changes nothing.
    """

    def __init__(self, line: Line) -> None:
        self.vm = line.vm
        self._line = line

    def run(
        self, command: str, *, stdin: bytes = b"", timeout_s: float = 60.0, check: bool = True
    ) -> Completed:
        return self._run(command, stdin=stdin, timeout_s=timeout_s, check=check)

    def attach(
        self,
        command: str,
        *,
        stdin: Callable[[], bytes] | None = None,
        stdout: Callable[[bytes], object],
        stderr: Callable[[bytes], object],
    ) -> int:
        """Run a shell command without a limit, its streams connected to ours; its exit status. See `Attached`.

        Raises:
            LineLost: the line broke before it ended.
        """
        with closing(self._line.session(commands.unbounded(command), poll_s=0.25)) as session:
            return Attached(self.vm, session, stdin=stdin, stdout=stdout, stderr=stderr).status()

    def follow(self, path: str, offset: int, *, idle_s: float = 1.0) -> Iterator[bytes]:
        with closing(self._line.session(commands.follow(path, offset), poll_s=idle_s)) as session:
            while (data := session.read()) != b"":
                if error := session.pending_error():  # tail's own words: "file truncated"
                    raise Permanent(f"{path} on {self.vm}: {error.decode('utf-8', 'replace').strip()}")
                yield data or b""
            status = session.exit_status(_DRAIN_S)
            if status in _NOT_FOLLOWED:
                raise Permanent(f"{path} on {self.vm} {_NOT_FOLLOWED[status]}")
            raise LineLost(f"following {path} on {self.vm} ended")

    def read_file(self, path: str, *, limit_bytes: int = 64 << 20) -> bytes:
        return self._repeat(lambda: self._run(f"cat -- {quote(path)}", limit_bytes=limit_bytes).stdout)

    def write_file(self, path: str, content: bytes, *, mode: int = 0o644, owner: str = "root") -> None:
        command = commands.write_file(path, len(content), mode, owner)
        self._repeat(lambda: self._run(command, stdin=content))

    def read_tree(self, path: str, *, exclude: Sequence[str] = (), limit_bytes: int = 64 << 20) -> bytes:
        command = commands.read_tree(path, exclude)
        return self._repeat(lambda: self._run(command, limit_bytes=limit_bytes).stdout)

    def write_tree(self, path: str, tar: bytes, *, owner: str = "root") -> None:
        self._repeat(lambda: self._run(commands.write_tree(path, owner), stdin=tar))

    def forward(self, vm_port: int, dial: Dial) -> None:
        self._line.forward(vm_port, dial)

    def close(self) -> None:
        self._line.close()

    def _repeat(self, once: Callable[[], T]) -> T:
        for attempt in stamina.retry_context(
            on=LineLost, attempts=3, timeout=None, wait_initial=0.1, wait_jitter=0.1
        ):
            with attempt:
                return once()
        raise AssertionError("the retry loop ends by returning or raising")

    def _run(
        self,
        command: str,
        *,
        stdin: bytes = b"",
        timeout_s: float = _TRANSFER_TIMEOUT_S,
        check: bool = True,
        limit_bytes: int = _OUTPUT_LIMIT_BYTES,
    ) -> Completed:
        started = time.monotonic()
        with closing(self._line.session(commands.bounded(command, timeout_s), poll_s=0.25)) as session:
            exchange = _Exchange(session, stdin, limit_bytes, deadline=started + timeout_s + _GRACE_S)
            done = exchange.complete()
        if done is None or (done.exit_status == _KILLED and time.monotonic() - started >= timeout_s):
            raise Transient(f"on {self.vm}: did not end within {timeout_s:g} s: {command[:200]}")
        if done.exit_status == _CUT_SHORT and stdin:
            raise LineLost(f"on {self.vm}: the input was cut short: {command[:200]}")
        if check and done.exit_status != 0:
            said = (done.stderr or done.stdout)[-_TAIL_BYTES:].decode("utf-8", "replace").strip()
            raise Permanent(f"on {self.vm}: exit status {done.exit_status}: {command[:200]}: {said}")
        return done


class _Exchange:
    """The three streams of one command, all moving at once: a full one would stop the others for ever."""

    def __init__(self, session: Session, stdin: bytes, limit_bytes: int, deadline: float) -> None:
        self._session = session
        self._stdin = stdin
        self._limit_bytes = limit_bytes
        self._deadline = deadline
        self._stdout: list[bytes] = []
        self._stderr: list[bytes] = []
        self._moved_at = time.monotonic()
        self._over = False
        self._erring = False
        """More on standard error than anybody would read."""

    def complete(self) -> Completed | None:
        """The command's outcome, or None if it did not end in time.

        Raises:
            LineLost: no exit status came.
            Permanent: more output or errors than the limit.
        """
        helpers = [threading.Thread(target=self._drain_errors, name="ssh-stderr", daemon=True)]
        if self._stdin:
            helpers.append(threading.Thread(target=self._feed, name="ssh-stdin", daemon=True))
        else:
            self._session.end_input()
        for helper in helpers:
            helper.start()
        try:
            in_time = self._drain_output()
            helpers[0].join(_DRAIN_S)
            self._check_errors()
        finally:
            self._over = True
        status = self._session.exit_status(max(0.0, self._deadline - time.monotonic())) if in_time else None
        if status is None:
            return None
        return Completed(status, b"".join(self._stdout), b"".join(self._stderr))

    def _drain_output(self) -> bool:
        size = 0
        while (data := self._session.read()) != b"":
            self._check_errors()
            if data:
                self._stdout.append(data)
                self._moved_at = time.monotonic()
                size += len(data)
                if size > self._limit_bytes:
                    raise Permanent(f"more than {self._limit_bytes} bytes of output")
            elif self._left_behind():
                self._over = True  # nor are its errors waited for
                return True
            if time.monotonic() > self._deadline:  # also of one that never stops talking
                return False
        return True

    def _check_errors(self) -> None:
        if self._erring:
            raise Permanent(f"more than {_ERRORS_LIMIT_BYTES} bytes on standard error")

    def _left_behind(self) -> bool:
        """The command has ended, and a process that it left in the background holds its output open."""
        if time.monotonic() - self._moved_at < _DRAIN_S:
            return False
        return self._session.exit_status(0.0) is not None

    def _drain_errors(self) -> None:
        size = 0
        while not self._over and (data := self._session.read_error()) != b"":
            if data:
                size += len(data)
                if size > _ERRORS_LIMIT_BYTES:
                    self._erring = True
                    return
                self._stderr.append(data)
                self._moved_at = time.monotonic()

    def _feed(self) -> None:
        rest = memoryview(self._stdin)
        while rest and not self._over:
            taken = self._session.write(rest)
            if taken < 0:
                return  # the command ended without reading all: its exit status tells the rest
            rest = rest[taken:]
        self._session.end_input()
