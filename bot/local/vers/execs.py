"""Commands inside a machine: frames of a stream, the backlog that a later attach reads, and the machine's log."""

import base64
import contextlib
import json
import os
import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bot.local.vers.line import LabError
from bot.local.vers.store import now

_CHUNK_BYTES = 32 << 10
BACKLOG_BYTES = 8 << 20
"""What an attach can replay of one command; older chunks are forgotten. Vers' own limit is not published."""


@dataclass(frozen=True, slots=True)
class Command:
    """What to run. `argv` is not a shell line; `timeout_secs` 0 means none."""

    argv: tuple[str, ...]
    env: dict[str, str]
    working_dir: str
    stdin: bytes
    timeout_secs: int
    exec_id: str


class Exec:
    """One command, running or ended, whose output any number of readers follow by cursor."""

    def __init__(self, exec_id: str, log: Path) -> None:
        self.exec_id = exec_id
        self._log = log
        self._changed = threading.Condition()
        self._frames: deque[dict[str, Any]] = deque()
        self._kept_bytes = 0
        self._cursor = 0
        self._ended = False

    def start(self, run: Callable[[tuple[int, int, int]], dict[str, Any]], stdin: bytes) -> None:
        """Run in the background. `run` gets stdin, stdout and stderr and blocks until the command has ended."""
        descriptors, readers = _pipes(stdin)

        def wait() -> None:
            try:
                last = _last_frame(run(descriptors))
            except LabError as error:
                last = {"type": "error", "code": "spawn_failed", "message": str(error)}
            finally:
                for descriptor in descriptors:
                    os.close(descriptor)
            for thread in threads:
                thread.join()  # a child may still hold the pipes, as on the real machine
            self._append(last, final=True)

        threads = [
            threading.Thread(target=self._follow, args=(name, reader), daemon=True)
            for name, reader in readers.items()
        ]
        for thread in (*threads, threading.Thread(target=wait, daemon=True)):
            thread.start()

    def frames(self, cursor: int | None, *, from_latest: bool = False) -> Iterator[dict[str, Any]]:
        """The frames after a cursor (all that are kept without one), until the last one."""
        with self._changed:
            after = self._cursor if from_latest else (cursor or 0)
            if from_latest and self._ended:
                after -= 1  # the exit frame is news to everybody
        while True:
            with self._changed:
                while not (ready := [f for f in self._frames if f["cursor"] > after]) and not self._ended:
                    self._changed.wait()
            for frame in ready:
                after = frame["cursor"]
                yield frame
                if frame["type"] != "chunk":
                    return
            if not ready:
                return

    def _follow(self, stream: str, reader: int) -> None:
        while data := os.read(reader, _CHUNK_BYTES):
            encoded = base64.b64encode(data).decode()
            entry = {"timestamp": now(), "stream": stream, "data_b64": encoded, "exec_id": self.exec_id}
            with self._changed:
                with contextlib.suppress(FileNotFoundError), self._log.open("a") as log:  # machine deleted
                    log.write(json.dumps(entry) + "\n")
                self._append({"type": "chunk", "stream": stream, "data_b64": encoded})
        os.close(reader)

    def _append(self, frame: dict[str, Any], *, final: bool = False) -> None:
        with self._changed:
            self._cursor += 1
            self._frames.append({**frame, "cursor": self._cursor, "exec_id": self.exec_id})
            self._kept_bytes += len(frame.get("data_b64", ""))
            while self._kept_bytes > BACKLOG_BYTES:
                self._kept_bytes -= len(self._frames.popleft().get("data_b64", ""))
            self._ended = final
            self._changed.notify_all()


def _pipes(stdin: bytes) -> tuple[tuple[int, int, int], dict[str, int]]:
    source = os.memfd_create("stdin")
    os.write(source, stdin)
    os.lseek(source, 0, os.SEEK_SET)
    out_read, out_write = os.pipe()
    err_read, err_write = os.pipe()
    return (source, out_write, err_write), {"stdout": out_read, "stderr": err_read}


def _last_frame(reply: dict[str, Any]) -> dict[str, Any]:
    if reply["timed_out"]:
        return {"type": "error", "code": "timeout", "message": "command timed out"}
    return {"type": "exit", "exit_code": reply["exit_code"]}


def read_log(path: Path, offset: int, max_entries: int, stream: str | None) -> dict[str, Any]:
    """A page of a machine's log, from a byte offset."""
    entries: list[Any] = []
    eof = True
    if path.exists():
        with path.open("rb") as log:
            log.seek(offset)
            for line in log:
                if len(entries) >= max_entries:
                    eof = False
                    break
                offset += len(line)
                entry = json.loads(line)
                if stream in {None, entry["stream"]}:
                    entries.append(entry)
    return {"entries": entries, "next_offset": offset, "eof": eof}
