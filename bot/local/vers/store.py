"""What outlives a server: organisations with their keys and variables, commits, tags and repositories. One JSON file.

Several servers may share the file: each change is read, made and written back under a lock.
"""

import datetime as dt
import json
import os
import secrets
import shutil
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bot.core.codec import dump, load
from bot.local.vers.cgroups import sweep
from bot.local.vers.layout import Layout, locked, try_lock


def now() -> str:
    """RFC 3339 in UTC, as the API writes times."""
    return dt.datetime.now(dt.UTC).isoformat().replace("+00:00", "Z")


@dataclass(slots=True)
class ApiKey:
    """A key of an organisation. What a client holds is `id` (36 characters) followed by `secret` (64 hex)."""

    id: str
    secret: str = field(repr=False)
    label: str
    created_at: str

    @property
    def text(self) -> str:
        return self.id + self.secret


@dataclass(slots=True)
class Tag:
    """A name for a commit, of the organisation or of a repository."""

    id: str
    name: str
    commit: str
    description: str | None
    created_at: str
    updated_at: str


@dataclass(slots=True)
class Repository:
    """A named set of tags."""

    id: str
    name: str
    description: str | None
    created_at: str
    is_public: bool = False
    tags: dict[str, Tag] = field(default_factory=dict)


@dataclass(slots=True)
class Size:
    """What a machine was given. Memory is enforced where there are cgroups; disk and cpus are only remembered."""

    vcpu_count: int = 1
    mem_size_mib: int = 512
    fs_size_mib: int = 1024


@dataclass(slots=True)
class Commit:
    """A snapshot of a machine's disk. `layers` are paths below the layout's root, topmost first, base tree last."""

    id: str
    org: str
    owner: str
    name: str
    description: str | None
    created_at: str
    parent_vm: str
    grandparent_commit: str | None
    layers: list[str]
    size: Size
    is_public: bool = False
    labels: dict[str, str] | None = None
    """Those of its machine at that moment."""


@dataclass(slots=True)
class Organisation:
    """Accounts are kept apart by organisation; its keys see each other's machines."""

    id: str
    name: str
    user_id: str
    run: str | None = None
    """The server that made it for a test; it is forgotten after that server. None: for good."""
    keys: list[ApiKey] = field(default_factory=list)
    variables: dict[str, str] = field(default_factory=dict)
    tags: dict[str, Tag] = field(default_factory=dict)
    repositories: dict[str, Repository] = field(default_factory=dict)
    domains: dict[str, dict[str, str]] = field(default_factory=dict)


@dataclass(slots=True)
class Books:
    """The whole file."""

    organisations: dict[str, Organisation] = field(default_factory=dict)
    commits: dict[str, Commit] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LiveMachine:
    """What a running server has promised to keep: written before a machine is mounted, gone with its folder."""

    id: str
    commit: str | None
    layers: list[str]


class Store:
    """The file, its lock, and the folders that it names."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._thread_lock = threading.RLock()

    def read(self) -> Books:
        """The books as they are on disk now."""
        path = self._layout.account_file
        return load(Books, json.loads(path.read_text())) if path.exists() else Books()

    @contextmanager
    def change(self) -> Iterator[Books]:
        """Read, let the caller change, write back atomically; nothing is written when the caller raises."""
        with self._thread_lock, locked(self._layout.root / "account.lock"):
            books = self.read()
            before = dump(books)
            yield books
            after = dump(books)
            if after == before:
                return  # who only wanted the lock
            fresh = self._layout.account_file.with_suffix(".new")
            with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
                json.dump(after, file, indent=1)
            fresh.replace(self._layout.account_file)

    def first_key(self) -> str:
        """The key made at the very first start."""
        with self.change() as books:
            if not books.organisations:
                add_organisation(books, "local")
            return next(iter(books.organisations.values())).keys[0].text

    def live_machines(self) -> list[LiveMachine]:
        """The machines of all servers on this cache."""
        found = []
        for run in self._layout.runs():
            for path in run.glob("vms/*/machine.json"):
                try:
                    found.append(load(LiveMachine, json.loads(path.read_text())))
                except FileNotFoundError:
                    continue  # deleted this moment
        return found

    def collect_garbage(self, books: Books) -> None:
        """Remove layers that no commit and no machine needs. Call while holding `change`."""
        needed = {layer for commit in books.commits.values() for layer in commit.layers}
        needed |= {layer for machine in self.live_machines() for layer in machine.layers}
        for folder in self._layout.layers.iterdir():
            if str(folder.relative_to(self._layout.root)) not in needed:
                shutil.rmtree(folder)

    def _forget_temporary(self) -> None:
        """Remove the organisations of servers that are gone, with all that they committed."""
        with self.change() as books:
            gone = {
                organisation.id
                for organisation in books.organisations.values()
                if organisation.run and not (self._layout.root / organisation.run).exists()
            }
            books.organisations = {key: org for key, org in books.organisations.items() if key not in gone}
            books.commits = {key: commit for key, commit in books.commits.items() if commit.org not in gone}
            self.collect_garbage(books)

    def new_run(self) -> tuple[Path, int]:
        """A folder for a server's machines, and its lock; first, what crashed servers left is removed."""
        with locked(
            self._layout.root / "runs.lock"
        ):  # so that no half-made folder looks like a crashed server's
            for run in self._layout.runs():
                lock = try_lock(run / "alive")
                if lock is not None:
                    sweep(run.name)
                    shutil.rmtree(run, ignore_errors=True)
                    os.close(lock)
            self._forget_temporary()
            folder = self._layout.root / f"run-{os.getpid()}-{secrets.token_hex(3)}"
            (folder / "vms").mkdir(parents=True)
            lock = try_lock(folder / "alive")
        if lock is None:
            raise RuntimeError(f"{folder} is somebody else's")  # its name is random: cannot happen
        return folder, lock


def add_organisation(books: Books, name: str, run: str | None = None) -> Organisation:
    """A new organisation with one key; with the name of a server, it is forgotten after that one."""
    organisation = Organisation(id=str(uuid.uuid4()), name=name, user_id=str(uuid.uuid4()), run=run)
    add_key(organisation, "default")
    books.organisations[organisation.id] = organisation
    return organisation


def add_key(organisation: Organisation, label: str) -> ApiKey:
    """A further key of an organisation."""
    key = ApiKey(id=str(uuid.uuid4()), secret=secrets.token_hex(32), label=label, created_at=now())
    organisation.keys.append(key)
    return key
