#!/usr/bin/env python3
"""Write one command into pi's FIFO, exactly once. Usage: send.py FOLDER COMMAND_ID LENGTH, the line on stdin.

The sender may lose the connection at any moment and repeat itself: a command id that was written is not written again,
and a line that did not arrive whole (shorter than LENGTH) is not written at all. Prints `sent` or `known`.
Exit status 3: nobody reads, pi is gone. 4: the input is not one whole line. 5: pi stopped reading in the middle.
"""

import errno
import fcntl
import os
import signal
import sys
from pathlib import Path

WRITE_LIMIT_S = 60


def fail(status, sentence):
    print(sentence, file=sys.stderr)
    sys.exit(status)


def open_fifo(path):
    """The FIFO's writing end; never waits for a reader."""
    try:
        fifo = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
    except OSError as error:
        if error.errno in (errno.ENXIO, errno.ENOENT):
            fail(3, "pi is not running: nobody reads its commands")
        raise
    fcntl.fcntl(
        fifo, fcntl.F_SETFL, fcntl.fcntl(fifo, fcntl.F_GETFL) & ~os.O_NONBLOCK
    )  # lines beyond the pipe's 64 KB
    return fifo


def give_up(*_):
    raise TimeoutError


def write_all(fifo, line, folder):
    signal.signal(signal.SIGALRM, give_up)
    signal.alarm(WRITE_LIMIT_S)
    written = 0
    try:
        while written < len(line):
            written += os.write(fifo, line[written:])
    except (TimeoutError, BrokenPipeError):
        if written:  # half a line is in the pipe: whatever follows would be glued to it
            (folder / "broken").touch()
        fail(5, "pi stopped reading its commands")
    finally:
        signal.alarm(0)


def main():
    folder, command, length = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    line = sys.stdin.buffer.read(length + 1)
    if len(line) != length or not line.endswith(b"\n") or line.count(b"\n") != 1:
        fail(4, f"the command has {len(line)} bytes instead of {length}, or is not one line")
    if not command or "/" in command or command.startswith("."):
        fail(4, "the command id is not a plain name")
    for name in (signal.SIGHUP, signal.SIGTERM, signal.SIGINT):
        signal.signal(name, signal.SIG_IGN)  # between the write and its record there is no turning back
    sent = folder / "sent"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if (sent / command).exists():
            print("known")
            return
        if (folder / "broken").exists():
            fail(5, "pi stopped reading its commands")
        fifo = open_fifo(folder / "in.fifo")
        write_all(fifo, line, folder)
        (sent / command).touch()
        print("sent")


if __name__ == "__main__":
    main()
