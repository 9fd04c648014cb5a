"""Records in memory, written through to one SQLite file so that a restart finds them again."""

import json
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from bot.core import codec
from bot.local.github import records


class _Record(Protocol):
    @property
    def id(self) -> int: ...


R = TypeVar("R", bound=_Record)


class Table(Generic[R]):
    """All records of one kind by id, oldest first."""

    def __init__(self, connection: sqlite3.Connection, kind: type[R]) -> None:
        self._connection = connection
        self._name = kind.__name__
        connection.execute(f'CREATE TABLE IF NOT EXISTS "{self._name}" (id INTEGER PRIMARY KEY, json TEXT)')
        found = connection.execute(f'SELECT json FROM "{self._name}" ORDER BY id')  # noqa: S608  # a class name
        self._records: dict[int, R] = {}
        for (text,) in found:
            record = codec.load(kind, json.loads(text))
            self._records[record.id] = record

    def __iter__(self) -> Iterator[R]:
        return iter(list(self._records.values()))

    def get(self, record_id: int | None) -> R | None:
        """The record of an id, or None."""
        return None if record_id is None else self._records.get(record_id)

    def where(self, **wanted: Any) -> list[R]:
        """Records whose fields have the given values, oldest first."""
        tests = list(wanted.items())
        return [
            record
            for record in self._records.values()
            if all(getattr(record, name) == value for name, value in tests)
        ]

    def one(self, **wanted: Any) -> R | None:
        """The first record whose fields have the given values, or None."""
        return next(iter(self.where(**wanted)), None)

    def put(self, record: R) -> R:
        """Add or replace."""
        self._records[record.id] = record
        self._connection.execute(
            f'INSERT OR REPLACE INTO "{self._name}" VALUES (?, ?)',  # noqa: S608  # a class name
            (record.id, json.dumps(codec.dump(record))),
        )
        return record

    def drop(self, record_id: int) -> None:
        """Remove; nothing happens if it is not there."""
        self._records.pop(record_id, None)
        self._connection.execute(f'DELETE FROM "{self._name}" WHERE id = ?', (record_id,))  # noqa: S608


class Store:
    """All tables. Callers hold `lock` around what belongs together; the file is written in autocommit mode."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.lock = threading.RLock()
        self._connection = sqlite3.connect(folder / "state.db", check_same_thread=False, isolation_level=None)
        # The state is thrown away with its folder; a power cut may lose the last seconds.
        self._connection.execute("PRAGMA synchronous = OFF")
        self._connection.execute("PRAGMA journal_mode = MEMORY")
        self._connection.execute("CREATE TABLE IF NOT EXISTS counter (name TEXT PRIMARY KEY, value INTEGER)")
        self.accounts = Table(self._connection, records.Account)
        self.repositories = Table(self._connection, records.Repository)
        self.apps = Table(self._connection, records.App)
        self.installations = Table(self._connection, records.Installation)
        self.tokens = Table(self._connection, records.Token)
        self.manifest_codes = Table(self._connection, records.ManifestCode)
        self.labels = Table(self._connection, records.Label)
        self.issues = Table(self._connection, records.Issue)
        self.pulls = Table(self._connection, records.Pull)
        self.comments = Table(self._connection, records.Comment)
        self.review_comments = Table(self._connection, records.ReviewComment)
        self.reactions = Table(self._connection, records.Reaction)
        self.deployments = Table(self._connection, records.Deployment)
        self.deployment_statuses = Table(self._connection, records.DeploymentStatus)
        self.environments = Table(self._connection, records.Environment)
        self.check_suites = Table(self._connection, records.CheckSuite)
        self.check_runs = Table(self._connection, records.CheckRun)
        self.commit_statuses = Table(self._connection, records.CommitStatus)
        self.deliveries = Table(self._connection, records.Delivery)

    def next_id(self, counter: str = "id", *, first: int = 1000) -> int:
        """The next number of a counter; ids of all kinds share one, issue numbers have one per repository."""
        with self.lock:
            self._connection.execute(
                "INSERT INTO counter VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = value + 1",
                (counter, first),
            )
            found = self._connection.execute("SELECT value FROM counter WHERE name = ?", (counter,))
            return int(found.fetchone()[0])

    def close(self) -> None:
        """Close the file. The store is of no use afterwards."""
        with self.lock:
            self._connection.close()
