"""Deliveries, builds, their events and their cancellations."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from bot.core.codec import dump, load
from bot.core.errors import Cancelled, NotFound, translate
from bot.core.models import BuildRequest, Phase, Repo, RunId, RunState
from bot.pipeline.journal.database import (
    DATABASE_ERRORS,
    Clock,
    cancellations,
    deliveries,
    reading,
    run_events,
    runs,
)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Run:
    """One build as the journal has it."""

    id: RunId
    state: RunState
    phase: Phase
    request: BuildRequest
    reason: str
    comment_id: int | None
    result: Mapping[str, Any]
    """Facts that later steps and pages need, by name: brief, files, evidence, published."""
    created_at: float
    ended_at: float | None

    def fact(self, name: str, kind: type[T]) -> T | None:
        """One of the facts as a value; None as long as no step has kept it."""
        data = self.result.get(name)
        return None if data is None else load(kind, data)


@dataclass(frozen=True, slots=True)
class RunEvent:
    """One line of a build's history: the only source of progress for comment, pages and demo.

    Kinds: "phase" {phase}, "agent" {label, role, state, doing, reason}, "note" {text}, "warning" {text},
    "step" {name, seconds}, "state" {state, reason}, "collected" {files: {worker: {path: content id}}}.
    """

    run: RunId
    seq: int
    at: float
    kind: str
    data: Mapping[str, Any]


class Runs:
    """Deliveries and builds."""

    def __init__(self, engine: Engine, now: Clock) -> None:
        self._engine = engine
        self._reader = reading(engine)
        self._now = now

    def ping(self) -> None:
        """
        Raises:
            Transient: the database does not answer, or has no tables yet.
        """
        with translate(DATABASE_ERRORS, "asking the database"), self._reader.begin() as db:
            db.execute(select(runs.c.id).limit(1))

    # Deliveries ------------------------------------------------------------------------------------

    def accept(
        self, delivery: str, event: str, content_hash: str, parsed: Any, then: Callable[[Connection], None]
    ) -> bool:
        """Store a delivery and do `then` in the same transaction; False if this id or content is known.

        `then` gets the open connection, so that the job on the queue exists exactly if the row does.

        Raises:
            Transient: the database is down; nothing was stored.
        """
        try:
            with translate(DATABASE_ERRORS, "storing the delivery"), self._engine.begin() as db:
                db.execute(
                    insert(deliveries).values(
                        id=delivery,
                        event=event,
                        content_hash=content_hash,
                        received_at=self._now(),
                        parsed=parsed,
                        outcome="",
                    )
                )
                then(db)
        except IntegrityError:
            return False
        return True

    def delivery(self, delivery: str) -> Any:
        """The parsed event of a stored delivery, as `accept` got it."""
        with self._reader.begin() as db:
            row = db.execute(select(deliveries.c.parsed).where(deliveries.c.id == delivery)).first()
        if row is None:
            raise NotFound(f"no delivery {delivery}")
        return row.parsed

    def has_delivery(self, delivery: str) -> bool:
        """Whether a delivery was stored."""
        with translate(DATABASE_ERRORS, "looking for the delivery"), self._reader.begin() as db:
            return db.execute(select(deliveries.c.id).where(deliveries.c.id == delivery)).first() is not None

    def note_outcome(self, delivery: str, outcome: str) -> None:
        """What became of a delivery, for the operator."""
        with self._engine.begin() as db:
            db.execute(update(deliveries).where(deliveries.c.id == delivery).values(outcome=outcome))

    # Builds ----------------------------------------------------------------------------------------

    def create(
        self, run: RunId, request: BuildRequest, then: Callable[[Connection], None] | None = None
    ) -> bool:
        """A new build in state queued, with `then` in the same transaction; False if the id is known."""
        try:
            with self._engine.begin() as db:
                db.execute(
                    insert(runs).values(
                        id=run,
                        repo=request.repo.full_name,
                        issue=request.issue,
                        state=RunState.QUEUED,
                        phase=Phase.ADMIT,
                        request=dump(request),
                        reason="",
                        result={},
                        created_at=self._now(),
                    )
                )
                if then:
                    then(db)
        except IntegrityError:
            return False
        return True

    def get(self, run: RunId) -> Run:
        """
        Raises:
            NotFound: no such build.
        """
        with self._reader.begin() as db:
            row = db.execute(select(runs).where(runs.c.id == run)).first()
        if row is None:
            raise NotFound(f"no build {run}")
        return _run(row)

    def of_issue(self, repo: str, issue: int) -> list[Run]:
        """All builds of an issue, newest first."""
        query = (
            select(runs).where(runs.c.repo == repo, runs.c.issue == issue).order_by(runs.c.created_at.desc())
        )
        with self._reader.begin() as db:
            return [_run(row) for row in db.execute(query)]

    def of_repo(self, repo: str) -> list[Run]:
        """All builds of a repository, newest first."""
        with self._reader.begin() as db:
            return [
                _run(row)
                for row in db.execute(
                    select(runs).where(runs.c.repo == repo).order_by(runs.c.created_at.desc())
                )
            ]

    def rename(self, repo: Repo) -> int:
        """Give the builds of a repository, known by its id, the name that it has now; how many had another."""
        with self._engine.begin() as db:
            found = [
                row
                for row in db.execute(select(runs.c.id, runs.c.request).where(runs.c.repo != repo.full_name))
                if row.request["repo"]["id"] == repo.id
            ]
            for row in found:
                request = {**row.request, "repo": {**row.request["repo"], "full_name": repo.full_name}}
                known = update(runs).where(runs.c.id == row.id)
                db.execute(known.values(repo=repo.full_name, request=request))
        return len(found)

    def recent(self, limit: int = 50) -> list[Run]:
        """The newest builds of all repositories."""
        with self._reader.begin() as db:
            return [
                _run(row) for row in db.execute(select(runs).order_by(runs.c.created_at.desc()).limit(limit))
            ]

    def active(self) -> list[Run]:
        """Builds that have not ended."""
        query = select(runs).where(runs.c.state.in_([RunState.QUEUED, RunState.RUNNING]))
        with self._reader.begin() as db:
            return [_run(row) for row in db.execute(query)]

    def usual_s(self, of: int = 20) -> float | None:
        """The median of how long the newest builds that succeeded took, in seconds; None if there is none."""
        query = (
            select(runs.c.ended_at - runs.c.created_at)
            .where(runs.c.state == RunState.SUCCEEDED)
            .order_by(runs.c.created_at.desc())
            .limit(of)
        )
        with self._reader.begin() as db:
            took = [float(seconds) for seconds in db.execute(query).scalars()]
        return median(took) if took else None

    def enter(self, run: RunId, phase: Phase) -> None:
        """The build is now in this phase; recorded as an event unless it was already."""
        with self._engine.begin() as db:
            changed = db.execute(
                update(runs)
                .where(
                    runs.c.id == run,
                    runs.c.ended_at.is_(None),
                    (runs.c.phase != phase) | (runs.c.state == RunState.QUEUED),
                )
                .values(phase=phase, state=RunState.RUNNING)
            ).rowcount
            if changed:
                self._record(db, run, "phase", {"phase": phase})

    def end(self, run: RunId, state: RunState, reason: str) -> None:
        """The build's one terminal state. A second call changes nothing."""
        with self._engine.begin() as db:
            changed = db.execute(
                update(runs)
                .where(runs.c.id == run, runs.c.ended_at.is_(None))
                .values(state=state, reason=reason, ended_at=self._now())
            ).rowcount
            if changed:
                self._record(db, run, "state", {"state": state, "reason": reason})

    def set_comment(self, run: RunId, comment_id: int) -> None:
        with self._engine.begin() as db:
            db.execute(update(runs).where(runs.c.id == run).values(comment_id=comment_id))

    def keep(self, run: RunId, **facts: Any) -> None:
        """Merge JSON-safe facts into the build's `result`."""
        with self._engine.begin() as db:
            row = db.execute(select(runs.c.result).where(runs.c.id == run).with_for_update()).one()
            db.execute(update(runs).where(runs.c.id == run).values(result={**row.result, **facts}))

    # Events ----------------------------------------------------------------------------------------

    def record(self, run: RunId, kind: str, **data: Any) -> None:
        """Append one line to the build's history."""
        with self._engine.begin() as db:
            self._record(db, run, kind, data)

    def _record(self, db: Connection, run: RunId, kind: str, data: Mapping[str, Any]) -> None:
        # The row of the build serialises writers on Postgres; SQLite has one writer anyway.
        db.execute(select(runs.c.id).where(runs.c.id == run).with_for_update())
        last = db.execute(select(func.max(run_events.c.seq)).where(run_events.c.run == run)).scalar() or 0
        db.execute(
            insert(run_events).values(run=run, seq=last + 1, at=self._now(), kind=kind, data=dict(data))
        )

    def events(self, run: RunId, after: int = 0) -> list[RunEvent]:
        """The build's history, oldest first, from the line after `after`."""
        query = (
            select(run_events)
            .where(run_events.c.run == run, run_events.c.seq > after)
            .order_by(run_events.c.seq)
        )
        with self._reader.begin() as db:
            return [RunEvent(RunId(r.run), r.seq, r.at, r.kind, r.data) for r in db.execute(query)]

    # Cancellation ----------------------------------------------------------------------------------

    def cancel(self, run: RunId, by: str, reason: str) -> bool:
        """Ask a build to stop; False if it was asked already or has ended."""
        with self._engine.begin() as db:
            alive = db.execute(select(runs.c.id).where(runs.c.id == run, runs.c.ended_at.is_(None))).first()
            known = db.execute(select(cancellations.c.run).where(cancellations.c.run == run)).first()
            if alive is None or known is not None:
                return False
            db.execute(insert(cancellations).values(run=run, by=by, reason=reason, at=self._now()))
            why = _stopped(by, reason)
            # One that has not begun needs no clean-up: it ends here, before its predecessor lets it begin.
            ended = db.execute(
                update(runs)
                .where(runs.c.id == run, runs.c.state == RunState.QUEUED)
                .values(state=RunState.CANCELLED, reason=why, ended_at=self._now())
            ).rowcount
            if ended:
                self._record(db, run, "state", {"state": RunState.CANCELLED, "reason": why})
            return True

    def cancellation(self, run: RunId) -> str:
        """Who asked the build to stop, and why: "stopped by @ada: …"; empty if nobody did."""
        with self._reader.begin() as db:
            row = db.execute(select(cancellations).where(cancellations.c.run == run)).first()
        if row is None:
            return ""
        return _stopped(row.by, row.reason)

    def check_cancelled(self, run: RunId) -> None:
        """
        Raises:
            Cancelled: the build was asked to stop; the message says by whom and why.
        """
        if why := self.cancellation(run):
            raise Cancelled(why)


def _stopped(by: str, reason: str) -> str:
    return f"stopped by @{by}: {reason}" if by else reason


def _run(row: Any) -> Run:
    return Run(
        id=RunId(row.id),
        state=RunState(row.state),
        phase=Phase(row.phase),
        request=load(BuildRequest, row.request),
        reason=row.reason,
        comment_id=row.comment_id,
        result=row.result,
        created_at=row.created_at,
        ended_at=row.ended_at,
    )


def elapsed_s(run: Run, now: float) -> float:
    """Seconds since the trigger was accepted, until the build ended or until now."""
    return (run.ended_at or now) - run.created_at
