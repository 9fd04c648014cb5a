"""What passes between the bot and the machines' TLS front, counted by the kernel."""

import re
import subprocess

from bot.core.errors import Permanent

_BYTES = re.compile(r"\bbytes_(?:sent|received):(\d+)")


def passed(front: str) -> int:
    """Bytes of all connections that are open to `front` (host:port), both ways, TLS included.

    Raises:
        Permanent: the kernel's table cannot be read.
    """
    words = ["ss", "--tcp", "--info", "--no-header", "--numeric", "dst", front]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Permanent(f"ss: {done.stderr.strip()}")
    return sum(map(int, _BYTES.findall(done.stdout)))
