"""Where the local Vers keeps things below the cache folder, and the advisory locks that guard them. Standard library only."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Layout:
    """The folders of one cache.

    Attributes:
        root: everything of the local Vers. Mount options name paths relative to it, which keeps them short.
    """

    root: Path

    @classmethod
    def in_cache(cls, cache: Path) -> "Layout":
        """The layout below the product's cache folder; folders are made."""
        layout = cls(cache.expanduser().absolute() / "vers")
        for folder in (layout.root, layout.bases, layout.layers, layout.tls):
            folder.mkdir(parents=True, exist_ok=True)
        layout.root.chmod(0o700)
        return layout

    @property
    def bases(self) -> Path:
        """Base trees by recipe hash."""
        return self.root / "base"

    @property
    def layers(self) -> Path:
        """Upper layers of commits. They outlive servers."""
        return self.root / "layers"

    @property
    def tls(self) -> Path:
        """Certificate authority and server certificate of the front."""
        return self.root / "tls"

    @property
    def account_file(self) -> Path:
        """Keys, commits, tags, repositories, variables."""
        return self.root / "account.json"

    def runs(self) -> list[Path]:
        """The folders of running (or crashed) servers."""
        return sorted(self.root.glob("run-*"))

    def private_file(self, run: str, name: str, text: str) -> None:
        """Write a file of a running server's folder, which goes with the folder. It may hold a key: only its owner reads it."""
        path = self.root / run / name
        path.touch(mode=0o600)
        path.write_text(text)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on a file against other processes and threads; waits for it."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def try_lock(path: Path) -> int | None:
    """Take an exclusive lock for as long as the returned descriptor (or a child's copy of it) stays open.

    None when somebody alive holds it. This, not a process id, tells a running server from a crashed one.
    """
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        return None
    return fd
