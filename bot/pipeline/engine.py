"""Durable workflows, steps, queues and timers. The only module that knows DBOS.

Facts about DBOS 3.4.0 that shaped this room: queues are polled; a step is at-least-once, its recorded result is final;
a cancelled DBOS workflow can run no clean-up step, so stopping a build is our own affair (`journal.cancellations`);
recovery happens at launch for rows of the same executor id, so the one worker of a database keeps a fixed id behind a lock.
"""

import fcntl
import json
import logging
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import tenacity
from dbos import DBOS, DBOSClient, EnqueueOptions
from dbos import Serializer as DbosSerializer
from sqlalchemy import Connection, create_engine, func, make_url, select

from bot.core import errors
from bot.core.errors import BotError, Permanent, Transient, UserError
from bot.patience import Look, pause

log = logging.getLogger(__name__)

APPLICATION = "swarm-build"
VERSION = "swarm-1"
"""Pinned by hand: DBOS's default, a hash of the sources, would strand every build in flight at each deploy."""
EVENTS, BUILDS, HOUSEKEEPING, EXHIBITS = "events", "builds", "housekeeping", "exhibits"
HANDLE_EVENT, BUILD, END_PREVIEW, SHOW_AGAIN = "handle_event", "build_v1", "end_preview", "show_again"
EXHIBIT = "exhibit"

Workflow = Callable[[str], None]

_WORKER_LOCK = 0x5377_6172_6D
"""The advisory lock of the worker: "Swarm" in ASCII."""


class _Json(DbosSerializer):
    """JSON instead of DBOS's pickle, which would run code for whoever can write to the database."""

    def serialize(self, data: Any) -> str:
        return json.dumps(data, default=_error_to_json)

    def deserialize(self, serialized_data: str) -> Any:
        return json.loads(serialized_data, object_hook=_error_from_json)

    def name(self) -> str:
        return "swarm_build_json"


def _error_to_json(value: object) -> Any:
    if isinstance(value, BaseException):
        return {"__error__": type(value).__name__, "message": str(value)}
    raise TypeError(f"a {type(value).__name__} does not belong in a workflow's arguments or results")


def _error_from_json(data: dict[str, Any]) -> Any:
    name = data.get("__error__")
    if name is None:
        return data
    kind = getattr(errors, name, Permanent)
    return (
        kind(data["message"])
        if isinstance(kind, type) and issubclass(kind, BotError)
        else Permanent(data["message"])
    )


def dbos_url(database_url: str) -> str:
    """The URL as DBOS wants it: it adds its own driver name for Postgres."""
    url = make_url(database_url)
    backend = url.get_backend_name()
    return url.set(drivername=backend).render_as_string(hide_password=False)


def migrate(database_url: str) -> None:
    """Create or upgrade DBOS's own tables; ours are `journal.migrate`'s."""
    DBOS.migrate(dbos_url(database_url))


def _client(database_url: str) -> DBOSClient:
    return DBOSClient(
        system_database_url=dbos_url(database_url),
        application_name=APPLICATION,
        serializer=_Json(),
        retry_connection_errors=False,
        lazy=True,
    )


class Jobs:
    """Puts work on the queues, from any process that has the database. Never retries: the caller answers 503."""

    def __init__(self, database_url: str) -> None:
        self._url = database_url
        self._client: DBOSClient | None = None
        self._lock = threading.Lock()

    def _connected(self) -> DBOSClient:
        with self._lock:  # made on first use: a client from before gunicorn's fork breaks on Postgres
            if self._client is None:
                self._client = _client(self._url)
            return self._client

    def event(self, db: Connection, delivery: str, partition: str) -> None:
        """Handle a stored delivery; one at a time per partition (the repository), in the caller's transaction."""
        self._enqueue(db, HANDLE_EVENT, EVENTS, f"event-{delivery}", partition, delivery)

    def build(self, db: Connection, run: str, partition: str) -> None:
        """Run a build; one at a time per partition (the repository), in the caller's transaction."""
        self._enqueue(db, BUILD, BUILDS, f"build-{run}", partition, run)

    def _enqueue(
        self, db: Connection, workflow: str, queue: str, job: str, partition: str, argument: str
    ) -> None:
        options: EnqueueOptions = {
            "workflow_name": workflow,
            "queue_name": queue,
            "workflow_id": job,
            "queue_partition_key": partition,
            "app_version": VERSION,
        }
        self._connected().enqueue_in_transaction(db, options, argument)

    def end_preview_later(self, run: str, delay_s: float, occasion: str = "") -> None:
        """Look after a delay whether a build's preview has to go; a second call for one occasion changes nothing."""
        job = f"preview-{run}-{occasion}" if occasion else f"preview-{run}"
        self._keep_house(END_PREVIEW, job, run, delay_s)

    def show_again(self, order: str, delivery: str) -> None:
        """Start a build's branch again, soon; once per delivery. `order` is for `Desk.show_again`."""
        self._keep_house(SHOW_AGAIN, f"show-{delivery}", order)

    def exhibit(self, run: str) -> None:
        """Add picture and transcripts to what a build shows, soon; once per build."""
        self._keep_house(EXHIBIT, f"exhibit-{run}", run, queue=EXHIBITS)

    def _keep_house(
        self,
        workflow: str,
        job: str,
        argument: str,
        delay_s: float | None = None,
        queue: str = HOUSEKEEPING,
    ) -> None:
        options: EnqueueOptions = {
            "workflow_name": workflow,
            "queue_name": queue,
            "workflow_id": job,
            "app_version": VERSION,
        }
        if delay_s is not None:
            options["delay_seconds"] = delay_s
        self._connected().enqueue(options, argument)

    def close(self) -> None:
        """Let go of the database."""
        if self._client is not None:
            self._client.destroy()


class Steps:
    """What a workflow calls: each step's result is recorded once, so that a restart does not repeat it."""

    def __init__(self, *, patience_s: float = 180.0, first_wait_s: float = 0.5, durable: bool = True) -> None:
        """`durable` False is for a build that lives and ends with its process: nothing is recorded, no workflow is needed."""
        self._patience_s = patience_s
        self._first_wait_s = first_wait_s
        self._durable = durable

    def run(
        self,
        name: str,
        step: Callable[[], Any],
        *,
        patience_s: float | None = None,
        look: Look = lambda: None,
    ) -> Any:
        """Run a step, or take its recorded result.

        `Transient` is tried again, with back-off or after as long as the other side asked for, until `patience_s` (by
        default the object's) would be passed; other errors end the step at once. The error itself is recorded, too,
        and raised again. `look` is asked each second of a wait and may raise.

        Raises:
            BotError: what the step raised; anything else comes out as `Permanent`.
        """
        limit_s = self._patience_s if patience_s is None else patience_s

        def work() -> dict[str, Any]:
            return self._attempt(name, step, limit_s, look)

        outcome = DBOS.run_step({"name": name}, work) if self._durable else work()
        if "error" in outcome:
            raise outcome["error"]
        return outcome["value"]

    def _attempt(self, name: str, step: Callable[[], Any], patience_s: float, look: Look) -> dict[str, Any]:
        trying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(Transient),
            wait=self._next_wait_s,
            stop=tenacity.stop_before_delay(patience_s),
            sleep=lambda seconds: pause(seconds, look),
            reraise=True,
        )
        try:
            return {"value": trying(step)}
        except BotError as error:
            if not isinstance(error, UserError):
                log.warning("step %s: %s: %s", name, type(error).__name__, error)
            return {"error": error}
        except Exception as error:
            log.exception("step %s broke", name)
            return {"error": Permanent(f"{name}: {type(error).__name__}: {error}")}

    def _next_wait_s(self, state: tenacity.RetryCallState) -> float:
        error = state.outcome and state.outcome.exception()
        if isinstance(error, Transient) and error.retry_after_s is not None:
            return error.retry_after_s
        return float(min(30.0, self._first_wait_s * 2 ** (state.attempt_number - 1)))


class Engine:
    """The worker's side: runs the workflows from the queues until `stop`."""

    def __init__(self, database_url: str, *, concurrent_builds: int) -> None:
        self._url = database_url
        self._concurrent_builds = concurrent_builds

    def launch(
        self,
        *,
        handle_event: Workflow,
        build: Workflow,
        end_preview: Workflow,
        show_again: Workflow,
        exhibit: Workflow,
    ) -> None:
        """Register the workflows, take up what a former process left, and start to poll the queues."""
        self._register_queues()
        DBOS(
            config={
                "name": APPLICATION,
                "system_database_url": dbos_url(self._url),
                "application_version": VERSION,
                "executor_id": "worker",
                "serializer": _Json(),
                "max_executor_threads": 64,
                "log_level": "WARNING",
                "run_migrations": False,
            }
        )
        DBOS.workflow(name=HANDLE_EVENT)(_named("handle_event", handle_event))
        DBOS.workflow(name=BUILD)(_named("build", build))
        DBOS.workflow(name=END_PREVIEW)(_named("end_preview", end_preview))
        DBOS.workflow(name=SHOW_AGAIN)(_named("show_again", show_again))
        DBOS.workflow(name=EXHIBIT)(_named("exhibit", exhibit))
        DBOS.launch()

    def _register_queues(self) -> None:
        """Before the launch, which polls the queues that it knows at once and looks for others only once a second."""
        client = _client(self._url)
        try:
            # Polled four times a second: a label waits an eighth of a second on average, for a tenth of a core at the most.
            client.register_queue(
                EVENTS, partition_concurrency=1, worker_concurrency=8, polling_interval_sec=0.25
            )
            client.register_queue(
                BUILDS,
                partition_concurrency=1,
                worker_concurrency=self._concurrent_builds,
                polling_interval_sec=0.25,
            )
            client.register_queue(HOUSEKEEPING, worker_concurrency=2, polling_interval_sec=2.0)
            # Apart from the rest: the first one builds an image, which takes minutes.
            client.register_queue(EXHIBITS, worker_concurrency=1, polling_interval_sec=2.0)
        finally:
            client.destroy()

    def stop(self) -> None:
        """Stop polling. Steps that run are abandoned; the next worker runs them again."""
        DBOS.destroy(workflow_completion_timeout_sec=0)


def _named(name: str, workflow: Workflow) -> Workflow:
    def run(argument: str) -> None:
        workflow(argument)

    run.__name__ = run.__qualname__ = name
    return run


@contextmanager
def only_worker(database_url: str) -> Iterator[None]:
    """Hold the lock that makes this process the one worker of a database.

    Until workers have ids and heartbeats of their own, a second one would take up the first one's builds.

    Raises:
        UserError: another worker holds it.
    """
    url = make_url(database_url)
    if url.get_backend_name() != "sqlite":
        with _only_on_postgres(database_url):
            yield
        return
    if not url.database:
        yield
        return
    path = Path(f"{url.database}.worker.lock")
    handle = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(f"another worker runs on {url.database}: there can be one") from None
        yield
    finally:
        os.close(handle)


@contextmanager
def _only_on_postgres(database_url: str) -> Iterator[None]:
    database = create_engine(make_url(database_url).set(drivername="postgresql+psycopg"))
    with database.connect() as session:  # the lock lives as long as this session
        if not session.execute(select(func.pg_try_advisory_lock(_WORKER_LOCK))).scalar():
            raise UserError("another worker runs on this database: for now there can be one")
        yield
    database.dispose()
