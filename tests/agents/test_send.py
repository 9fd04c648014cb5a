"""The sender as the process that it is, on a real FIFO."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.agents.conftest import TEMPLATES
from tests.waiting import wait_until

SEND = [sys.executable, "-I", str(TEMPLATES / "vm" / "send.py")]


class Reader:
    """pi's side of the FIFO: reads all that comes, with a writer of its own so that it never ends by itself."""

    def __init__(self, fifo: Path) -> None:
        self.got = b""
        self._end = os.open(fifo, os.O_RDWR)
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        while not self.got.endswith(b"the end\n"):
            self.got += os.read(self._end, 65536)

    def close(self) -> bytes:
        os.write(self._end, b"the end\n")
        self._thread.join(10)
        os.close(self._end)
        return self.got.removesuffix(b"the end\n")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What the keeper makes for a start."""
    (tmp_path / "sent").mkdir()
    os.mkfifo(tmp_path / "in.fifo")
    return tmp_path


@pytest.fixture
def reader(folder: Path) -> Reader:
    """Somebody who reads."""
    return Reader(folder / "in.fifo")


def send(
    folder: Path, command: str, line: bytes, *, length: int | None = None
) -> subprocess.CompletedProcess[bytes]:
    words = [*SEND, str(folder), command, str(len(line) if length is None else length)]
    return subprocess.run(words, input=line, capture_output=True, check=False, timeout=20)


def test_once_however_often(folder: Path, reader: Reader) -> None:
    """A repeated command is known and not written again."""
    line = b'{"id":"a"}\n'
    assert send(folder, "a", line).stdout == b"sent\n"
    assert send(folder, "a", line).stdout == b"known\n"
    assert send(folder, "b", line).stdout == b"sent\n"
    assert reader.close() == line * 2


def test_large_lines_from_many_senders_stay_whole(folder: Path, reader: Reader) -> None:
    """Far beyond what a pipe holds, five at once: no line is torn."""
    lines = [bytes([letter]) * 300_000 + b"\n" for letter in b"abcde"]
    threads = [threading.Thread(target=send, args=(folder, chr(line[0]), line)) for line in lines]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert sorted(reader.close().splitlines(keepends=True)) == lines


def test_a_short_input_is_not_written(folder: Path, reader: Reader) -> None:
    """A line that was cut by a lost connection leaves nothing behind, and can be sent again."""
    cut = send(folder, "a", b'{"id"', length=11)
    assert cut.returncode == 4
    assert send(folder, "a", b'{"id":"a"}\n').stdout == b"sent\n"
    assert reader.close() == b'{"id":"a"}\n'


@pytest.mark.parametrize("line", [b"no end", b"two\nlines\n", b""])
def test_only_one_whole_line(folder: Path, reader: Reader, line: bytes) -> None:
    """Anything else is refused."""
    assert send(folder, "a", line).returncode == 4
    assert reader.close() == b""


@pytest.mark.parametrize("command", ["../up", ".hidden", ""])
def test_odd_ids_are_refused(folder: Path, reader: Reader, command: str) -> None:
    """An id is a file name."""
    assert send(folder, command, b"x\n").returncode == 4
    assert reader.close() == b""


def test_nobody_reads(folder: Path) -> None:
    """Without a reader the sender says so at once instead of waiting, and remembers nothing."""
    refused = send(folder, "a", b"x\n")
    assert refused.returncode == 3
    assert b"pi is not running" in refused.stderr
    assert list((folder / "sent").iterdir()) == []


def test_a_reader_that_goes_away_in_the_middle(folder: Path) -> None:
    """Half a line is in the pipe: this command failed, and no other may be glued to it."""
    end = os.open(folder / "in.fifo", os.O_RDONLY | os.O_NONBLOCK)
    sender = subprocess.Popen(
        [*SEND, str(folder), "a", "300001"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert sender.stdin
    feeding = threading.Thread(
        target=lambda: (sender.stdin.write(b"x" * 300_000 + b"\n"), sender.stdin.close())
    )
    feeding.start()
    wait_until(lambda: (folder / "lock").exists() and _readable(end), 10, "the sender has begun")
    os.close(end)
    assert sender.wait(10) == 5
    feeding.join(10)
    again = Reader(folder / "in.fifo")
    assert send(folder, "b", b"y\n").returncode == 5
    assert again.close() == b""


def _readable(descriptor: int) -> bool:
    try:
        return bool(os.read(descriptor, 10))
    except BlockingIOError:
        return False
