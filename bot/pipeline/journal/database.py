"""The database: tables, connections, and the pragmas that make SQLite fit for several processes."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Engine,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    create_engine,
    event,
    make_url,
)
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from bot.core.errors import Transient, TranslationTable

metadata = MetaData()

DATABASE_ERRORS: TranslationTable = {
    OperationalError: Transient,
    InterfaceError: Transient,
    PoolTimeoutError: Transient,
}
"""What a database that is down, locked or not yet migrated raises."""

Database = Engine
"""An open database, for those who only hand it on."""

Clock = Callable[[], float]
"""Seconds since the epoch, as `time.time` gives them."""

deliveries = Table(
    "deliveries",
    metadata,
    Column("id", String(64), primary_key=True),  # X-GitHub-Delivery
    Column("content_hash", String(64), nullable=False),  # sha256 of event name and body
    Column("event", String(64), nullable=False),
    Column("received_at", Float, nullable=False),
    Column("parsed", JSON, nullable=False),  # the typed event (core.events), not the payload
    Column("outcome", Text, nullable=False, default=""),  # what became of it, for a person
)
Index("deliveries_by_content", deliveries.c.content_hash, unique=True)

runs = Table(
    "runs",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("repo", String(255), nullable=False),
    Column("issue", Integer, nullable=False),
    Column("state", String(16), nullable=False),
    Column("phase", String(16), nullable=False),
    Column("request", JSON, nullable=False),  # core.models.BuildRequest
    Column("reason", Text, nullable=False, default=""),
    Column("comment_id", BigInteger),
    Column("result", JSON, nullable=False, default=dict),  # what later steps and pages need, by name
    Column("created_at", Float, nullable=False),
    Column("ended_at", Float),
)
Index("runs_by_issue", runs.c.repo, runs.c.issue)

run_events = Table(
    "run_events",
    metadata,
    Column("run", String(32), primary_key=True),
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("at", Float, nullable=False),
    Column("kind", String(32), nullable=False),
    Column("data", JSON, nullable=False),
)

cancellations = Table(
    "cancellations",
    metadata,
    Column("run", String(32), primary_key=True),
    Column("by", String(255), nullable=False),
    Column("reason", Text, nullable=False),
    Column("at", Float, nullable=False),
)

orders = Table(
    "orders",
    metadata,
    Column("id", String(64), primary_key=True),  # the delivery that brought it
    Column("run", String(32), nullable=False),
    Column("kind", String(16), nullable=False),  # core.models.OrderKind
    Column("text", Text, nullable=False),
    Column("by", String(255), nullable=False),
    Column("at", Float, nullable=False),
    Column("taken_by", String(64), nullable=False, default=""),  # the tool call that it answered
)
Index("orders_by_run", orders.c.run)

vms = Table(
    "vms",
    metadata,
    Column("intent", String(96), primary_key=True),  # "<run>/<purpose>", written before the provider is asked
    Column("run", String(32), nullable=False),
    Column("purpose", String(64), nullable=False),
    Column("commit_id", String(64), nullable=False, default=""),
    Column("vm", String(64)),
    Column("state", String(16), nullable=False),  # intended | live | gone
    Column("created_at", Float, nullable=False),
    Column("keep_until", Float),  # a preview outlives its run until then
)
Index("vms_by_run", vms.c.run)

commits = Table(
    "commits",
    metadata,
    Column(
        "name", String(96), primary_key=True
    ),  # given to the provider, so that a lost answer is found by it
    Column("run", String(32), nullable=False),
    Column("commit_id", String(64)),
    Column("state", String(16), nullable=False),  # intended | live | gone
    Column("created_at", Float, nullable=False),
)
Index("commits_by_run", commits.c.run)

agents = Table(
    "agents",
    metadata,
    Column("run", String(32), primary_key=True),
    Column("agent", String(32), primary_key=True),
    Column("role", String(16), nullable=False),
    Column("vm", String(64)),
    Column("state", String(16), nullable=False),
    Column("doing", Text, nullable=False, default=""),
    Column("reason", Text, nullable=False, default=""),
    Column("pi_start", String(32), nullable=False, default=""),  # which start of pi on that machine we follow
    Column("bearer_sha256", String(64), nullable=False, default=""),
    Column("tasks", Integer, nullable=False, default=0),  # how many tasks it was given
    Column("files", Integer, nullable=False, default=0, server_default="0"),  # how many it has written
    Column(
        "heard_at", Float, nullable=False, default=0.0, server_default="0"
    ),  # when it last did something else
    Column("created_at", Float, nullable=False),
)
Index("agents_by_bearer", agents.c.bearer_sha256)

tool_calls = Table(
    "tool_calls",
    metadata,
    Column("run", String(32), primary_key=True),
    Column("vm", String(64), primary_key=True),
    Column("pi_start", String(32), primary_key=True),
    Column("dialog", String(64), primary_key=True),
    Column("agent", String(32), nullable=False),
    Column("tool", String(64), nullable=False),
    Column("params", JSON, nullable=False),
    Column("state", String(16), nullable=False),  # open | done | answered
    Column("result", Text),
    Column("opened_at", Float, nullable=False),
)

usage = Table(
    "usage",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("run", String(32), nullable=False),
    Column("agent", String(32), nullable=False),
    Column("model", String(128), nullable=False),
    Column("reserved_microusd", BigInteger, nullable=False),
    Column("settled_microusd", BigInteger),  # None while the call is open
    Column("input", Integer, nullable=False, default=0),
    Column("output", Integer, nullable=False, default=0),
    Column("cache_read", Integer, nullable=False, default=0),
    Column("cache_write", Integer, nullable=False, default=0),
    Column("broken", Boolean, nullable=False, default=False),  # charged as reserved: the upstream broke
    Column("at", Float, nullable=False),
)
Index("usage_by_run", usage.c.run)

artifacts = Table(
    "artifacts",
    metadata,
    Column("run", String(32), primary_key=True),
    Column("path", String(1024), primary_key=True),
    Column("mode", Integer, nullable=False),
    Column("content", LargeBinary, nullable=False),
)

transcripts = Table(
    "transcripts",
    metadata,
    Column("run", String(32), primary_key=True),
    Column("agent", String(32), primary_key=True),
    Column("content", LargeBinary, nullable=False),  # gzip: pi's JSON lines, or the page made of them
    Column("is_page", Boolean, nullable=False),
    Column("created_at", Float, nullable=False),
)
Index("transcripts_by_age", transcripts.c.created_at)

golden_images = Table(
    "golden_images",
    metadata,
    Column("recipe", String(64), primary_key=True),
    Column("commit_id", String(64), nullable=False),
    Column("name", String(255), nullable=False),
    Column("created_at", Float, nullable=False),
)

credentials = Table(
    "credentials",
    metadata,
    Column(
        "name", String(96), primary_key=True
    ),  # "app", or "state:[admin:]<sha256>" of a set-up that has begun
    Column("sealed", LargeBinary, nullable=False),  # Fernet (web.setup)
    Column("created_at", Float, nullable=False),
)


def sqlite_file(url: str) -> Path | None:
    """The file of a SQLite database; None for one in memory or on a server."""
    parsed = make_url(url)
    named = parsed.get_backend_name() == "sqlite" and parsed.database not in (None, "", ":memory:")
    return Path(str(parsed.database)) if named else None


def open_database(url: str) -> Engine:
    """Connect to the database of the settings.

    SQLite files get WAL, a 30 s busy timeout and mode 0600. Every transaction begins IMMEDIATE, because a read that
    becomes a write would otherwise fail at once under contention instead of waiting its turn; only what `reading`
    hands out begins as a mere reader, who in WAL mode waits for nobody.

    A database that does not answer is `Transient` wherever it happens.
    """
    engine = _open(url)

    @event.listens_for(engine, "handle_error")
    def _translate(context: ExceptionContext) -> None:
        error = context.sqlalchemy_exception
        if isinstance(error, tuple(DATABASE_ERRORS)):
            raise Transient(f"the database does not answer: {context.original_exception}") from error

    return engine


def reading(engine: Engine) -> Engine:
    """The same database for transactions that only read."""
    return engine.execution_options(swarm_reading=True)


def _open(url: str) -> Engine:
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite":
        return create_engine(parsed.set(drivername="postgresql+psycopg"), pool_pre_ping=True)
    if path := sqlite_file(url):
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    engine = create_engine(url, connect_args={"timeout": 30})

    @event.listens_for(engine, "connect")
    def _prepare(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # the driver's own implicit BEGIN would be DEFERRED
        for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Any) -> None:
        reads = connection.get_execution_options().get("swarm_reading", False)
        connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")

    return engine
