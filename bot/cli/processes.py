"""Child processes of a command that runs the whole product on one machine: started, found ready, ended, in order."""

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bot.core.errors import Permanent

READY_LIMIT_S = 60.0
END_LIMIT_S = 20.0
WITH_PARENT = ("setpriv", "--pdeathsig", "TERM")
"""A parent that is killed takes its children along; util-linux has it, and no code of ours runs between fork and exec."""


@dataclass(frozen=True, slots=True)
class Child:
    """A program of ours that runs beside us. What it said when it was ready is `ready` (one JSON object)."""

    name: str
    process: subprocess.Popen[bytes]
    ready: Mapping[str, Any]
    log: Path

    def check(self) -> None:
        """
        Raises:
            Permanent: the program has ended; the message has the last lines of its log.
        """
        if (status := self.process.poll()) is not None:
            raise Permanent(f"{self.name} ended with status {status}:\n{tail(self.log)}")

    def end(self) -> None:
        """SIGTERM, then SIGKILL when it does not end in time."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(END_LIMIT_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


class Children:
    """Starts programs and ends them in the reverse order."""

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        self._logs.mkdir(parents=True, exist_ok=True)
        self.all: list[Child] = []

    def start(
        self,
        name: str,
        argv: Sequence[str],
        environment: Mapping[str, str],
        *,
        limit_s: float = READY_LIMIT_S,
    ) -> Child:
        """Start a program and wait for the JSON line on its standard output that says it is ready.

        Raises:
            Permanent: it ended, or said nothing in time; the message has the last lines of its log.
        """
        log = self._logs / f"{name}.log"
        with log.open("ab") as errors:
            process = subprocess.Popen(
                [*WITH_PARENT, *argv],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=dict(environment),
                start_new_session=True,  # Ctrl-C is ours to hand on, once
            )
        child = Child(name, process, _ready_line(name, process, log, limit_s), log)
        self.all.append(child)
        return child

    def run(
        self,
        name: str,
        argv: Sequence[str],
        environment: Mapping[str, str],
        *,
        limit_s: float = READY_LIMIT_S,
        tell: Callable[[str], None] = lambda _text: None,
    ) -> None:
        """Run a program to its end; `tell` gets each line that it prints.

        Raises:
            Permanent: it failed or did not end in time; the message has its last words.
        """
        said: deque[str] = deque(maxlen=20)
        process = subprocess.Popen(
            [*WITH_PARENT, *argv],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=dict(environment),
            start_new_session=True,
        )
        killer = threading.Timer(limit_s, process.kill)
        killer.start()
        try:
            assert process.stdout is not None  # noqa: S101  # PIPE above
            for line in process.stdout:
                said.append(line.rstrip())
                tell(said[-1])
            status = process.wait()
        finally:
            killer.cancel()
            if process.poll() is None:
                process.terminate()
                process.wait()
        if status:
            raise Permanent(f"{name} ended with status {status}:\n" + "\n".join(said))

    def check(self) -> None:
        """
        Raises:
            Permanent: one of the programs has ended.
        """
        for child in self.all:
            child.check()

    def end(self) -> None:
        """End all, last started first."""
        while self.all:
            self.all.pop().end()


@contextlib.contextmanager
def children(logs: Path) -> Iterator[Children]:
    """Programs that end with this context, whatever happens inside."""
    group = Children(logs)
    try:
        yield group
    finally:
        group.end()


def swarm_bot(*arguments: str) -> list[str]:
    """The argv of one of our own commands."""
    return [sys.executable, "-m", "bot", *arguments]


def tail(log: Path, lines: int = 20) -> str:
    """The last lines of a log file."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:]) if log.exists() else ""


def _ready_line(name: str, process: subprocess.Popen[bytes], log: Path, limit_s: float) -> Mapping[str, Any]:
    assert process.stdout is not None  # noqa: S101  # PIPE above
    end = time.monotonic() + limit_s
    data = b""
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while b"\n" not in data:
            left_s = end - time.monotonic()
            if left_s <= 0 or not selector.select(left_s):
                process.kill()
                process.wait()
                raise Permanent(f"{name} was not ready within {limit_s:g} s:\n{tail(log)}")
            chunk = os.read(process.stdout.fileno(), 65536)
            if not chunk:
                process.wait()
                raise Permanent(
                    f"{name} ended with status {process.returncode} before it was ready:\n{tail(log)}"
                )
            data += chunk
    line = data.split(b"\n")[0]
    try:
        said = json.loads(line)
    except ValueError:
        said = None
    if not isinstance(said, dict):
        process.kill()
        process.wait()
        raise Permanent(f"{name} said {line!r} instead of a line of JSON")
    return said
