"""A command on a machine with its three streams connected to ours, byte for byte, for as long as it runs."""

import threading
import time
from collections.abc import Callable
from typing import Protocol

from bot.core.errors import Transient
from bot.core.models import VmId

_QUIET_S = 2.0
_POLL_S = 0.25


class Session(Protocol):
    """What is needed of a started command; see `bot.vms.shell.Session`."""

    def read(self) -> bytes | None: ...

    def read_error(self) -> bytes | None: ...

    def write(self, data: memoryview) -> int: ...

    def end_input(self) -> None: ...

    def exit_status(self, timeout_s: float) -> int | None: ...


class Attached:
    """One command between a machine and us."""

    def __init__(
        self,
        vm: VmId,
        session: Session,
        *,
        stdin: Callable[[], bytes] | None,
        stdout: Callable[[bytes], object],
        stderr: Callable[[bytes], object],
    ) -> None:
        """
        Args:
            vm: for messages.
            session: the command.
            stdin: gives the next bytes, b"" at the end; None for no input. Called in a thread of its own, which is left
                behind when the command ends first.
            stdout: takes what the command prints, as it comes.
            stderr: the same for its errors; called from another thread.
        """
        self._vm = vm
        self._session = session
        self._stdin = stdin
        self._stdout = stdout
        self._stderr = stderr
        self._over = False
        self._moved_at = time.monotonic()

    def status(self) -> int:
        """The command's exit status, once it has ended and all it printed was handed on.

        Raises:
            LineLost: the line broke before that.
        """
        errors = threading.Thread(target=self._errors, name="attached-stderr", daemon=True)
        errors.start()
        if self._stdin is None:
            self._session.end_input()
        else:
            threading.Thread(target=self._feed, name="attached-stdin", daemon=True).start()
        try:
            while (data := self._session.read()) != b"":
                if data:
                    self._moved_at = time.monotonic()
                    self._stdout(data)
                elif self._left_behind():
                    break
            errors.join(_QUIET_S)
        finally:
            self._over = True
        status = self._session.exit_status(_QUIET_S * 5)
        if status is None:
            raise Transient(f"{self._vm} did not say how the command ended")
        return status

    def _left_behind(self) -> bool:
        """The command has ended; a process that it left in the background holds its output open, and is silent."""
        return time.monotonic() - self._moved_at > _QUIET_S and self._session.exit_status(_POLL_S) is not None

    def _errors(self) -> None:
        while not self._over and (data := self._session.read_error()) != b"":
            if data:
                self._moved_at = time.monotonic()
                self._stderr(data)

    def _feed(self) -> None:
        source = self._stdin
        while source and not self._over and (data := source()):
            rest = memoryview(data)
            while rest and not self._over:
                taken = self._session.write(rest)
                if taken < 0:
                    return  # the command takes no more
                rest = rest[taken:]
        self._session.end_input()
