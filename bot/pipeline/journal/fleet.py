"""Machines, agents and tool calls: what exists outside of us because of a build, written down before it does."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from bot.core.models import AgentLabel, AgentState, CommitId, Role, RunId, VmId
from bot.pipeline.journal.database import Clock, agents, commits, golden_images, reading, tool_calls, vms


@dataclass(frozen=True, slots=True)
class VmRow:
    """A machine, or the intent to have one. State: "intended", "live" or "gone"."""

    intent: str
    run: RunId
    purpose: str
    commit: CommitId
    vm: VmId | None
    state: str
    created_at: float
    keep_until: float | None


@dataclass(frozen=True, slots=True)
class AgentRow:
    """An agent as the journal has it."""

    run: RunId
    agent: AgentLabel
    role: Role
    vm: VmId | None
    state: AgentState
    doing: str
    reason: str
    pi_start: str
    tasks: int
    files: int
    """How many it has written."""
    heard_at: float
    """When it last began something else, in seconds since the epoch; 0 for never."""


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One call of a swarm tool. State: "open", "done" (has a result) or "answered" (pi has it, too)."""

    run: RunId
    vm: VmId
    pi_start: str
    dialog: str
    agent: AgentLabel
    tool: str
    params: Mapping[str, Any]
    state: str
    result: str | None


class Fleet:
    """Machines, agents, tool calls and golden images."""

    def __init__(self, engine: Engine, now: Clock) -> None:
        self._engine = engine
        self._reader = reading(engine)
        self._now = now

    # Machines --------------------------------------------------------------------------------------

    def intend(self, run: RunId, purpose: str, commit: CommitId, keep_until: float | None = None) -> VmRow:
        """Write down that a machine is wanted, before the provider is asked; the present row if it was.

        `purpose` is unique within the run: "agent-1" … for agents, "preview" for the clean machine.
        """
        intent = f"{run}/{purpose}"
        try:
            with self._engine.begin() as db:
                db.execute(
                    insert(vms).values(
                        intent=intent,
                        run=run,
                        purpose=purpose,
                        commit_id=commit,
                        state="intended",
                        created_at=self._now(),
                        keep_until=keep_until,
                    )
                )
        except IntegrityError:
            pass  # a step that is run again intends the same machine
        with self._engine.begin() as db:
            return _vm(db.execute(select(vms).where(vms.c.intent == intent)).one())

    def bind(self, intent: str, vm: VmId) -> None:
        """The intended machine exists."""
        with self._engine.begin() as db:
            db.execute(update(vms).where(vms.c.intent == intent).values(vm=vm, state="live"))

    def gone(self, vm: VmId) -> None:
        """The machine was deleted."""
        with self._engine.begin() as db:
            db.execute(update(vms).where(vms.c.vm == vm).values(state="gone"))

    def abandon(self, intent: str) -> None:
        """An intent that never became a machine is withdrawn."""
        with self._engine.begin() as db:
            db.execute(update(vms).where(vms.c.intent == intent, vms.c.vm.is_(None)).values(state="gone"))

    def keep_vm(self, vm: VmId, until: float) -> None:
        """A preview's machine outlives its run, until this time (seconds since the epoch)."""
        with self._engine.begin() as db:
            db.execute(update(vms).where(vms.c.vm == vm).values(keep_until=until))

    def machines(self, run: RunId | None = None, *, live: bool = True) -> list[VmRow]:
        """Machines of a run (or of all), by age; with `live`, only those that are intended or exist."""
        query = select(vms).order_by(vms.c.created_at, vms.c.intent)
        if run is not None:
            query = query.where(vms.c.run == run)
        if live:
            query = query.where(vms.c.state != "gone")
        with self._reader.begin() as db:
            return [_vm(row) for row in db.execute(query)]

    # Snapshots of a run ----------------------------------------------------------------------------

    def intend_commit(self, run: RunId, name: str) -> CommitId | None:
        """Write down that a snapshot is wanted; the snapshot, if it was made before."""
        try:
            with self._engine.begin() as db:
                db.execute(
                    insert(commits).values(name=name, run=run, state="intended", created_at=self._now())
                )
        except IntegrityError:
            pass  # a call that is executed again wants the same snapshot
        with self._engine.begin() as db:
            made = db.execute(select(commits.c.commit_id).where(commits.c.name == name)).scalar_one()
        return CommitId(made) if made else None

    def bind_commit(self, name: str, commit: CommitId) -> None:
        """The intended snapshot exists."""
        with self._engine.begin() as db:
            db.execute(update(commits).where(commits.c.name == name).values(commit_id=commit, state="live"))

    def commit_gone(self, name: str) -> None:
        """The snapshot was deleted, or never came to be."""
        with self._engine.begin() as db:
            db.execute(update(commits).where(commits.c.name == name).values(state="gone"))

    def commits(self, run: RunId) -> dict[str, CommitId | None]:
        """The snapshots that a run has or intends, by name, oldest first."""
        query = select(commits).where(commits.c.run == run, commits.c.state != "gone")
        with self._engine.begin() as db:
            rows = db.execute(query.order_by(commits.c.created_at, commits.c.name)).all()
        return {row.name: row.commit_id and CommitId(row.commit_id) for row in rows}

    def snapshots(self) -> list[CommitId]:
        """The snapshots that the runs have."""
        query = select(commits.c.commit_id).where(commits.c.state != "gone", commits.c.commit_id.is_not(None))
        with self._reader.begin() as db:
            return [CommitId(commit) for commit in db.execute(query).scalars()]

    def runs_with_commits(self) -> list[RunId]:
        """The runs that have or intend snapshots."""
        query = select(commits.c.run).where(commits.c.state != "gone").distinct()
        with self._reader.begin() as db:
            return [RunId(run) for run in db.execute(query).scalars()]

    # Agents ----------------------------------------------------------------------------------------

    def add_agent(self, run: RunId, agent: AgentLabel, role: Role) -> bool:
        """A new agent in state starting; False if the label is taken."""
        try:
            with self._engine.begin() as db:
                db.execute(
                    insert(agents).values(
                        run=run,
                        agent=agent,
                        role=role,
                        state=AgentState.STARTING,
                        created_at=self._now(),
                        doing="",
                        reason="",
                        pi_start="",
                        bearer_sha256="",
                        tasks=0,
                    )
                )
        except IntegrityError:
            return False
        return True

    def update_agent(
        self,
        run: RunId,
        agent: AgentLabel,
        *,
        vm: VmId | None = None,
        state: AgentState | None = None,
        doing: str | None = None,
        reason: str | None = None,
        pi_start: str | None = None,
        bearer_sha256: str | None = None,
        tasks: int | None = None,
        files: int | None = None,
        heard_at: float | None = None,
    ) -> None:
        """Change what is given; None leaves a column as it is."""
        given = {
            "vm": vm, "state": state, "doing": doing, "reason": reason,
            "pi_start": pi_start, "bearer_sha256": bearer_sha256, "tasks": tasks,
            "files": files, "heard_at": heard_at,
        }  # fmt: skip
        changes = {name: value for name, value in given.items() if value is not None}
        if changes:
            with self._engine.begin() as db:
                db.execute(update(agents).where(agents.c.run == run, agents.c.agent == agent).values(changes))

    def agents(self, run: RunId) -> list[AgentRow]:
        """All agents of a run, in the order in which they were spawned."""
        query = select(agents).where(agents.c.run == run).order_by(agents.c.created_at, agents.c.agent)
        with self._reader.begin() as db:
            return [_agent(row) for row in db.execute(query)]

    def agent_of_bearer(self, bearer_sha256: str) -> AgentRow | None:
        """The agent that a bearer was issued to, if it was not revoked."""
        if not bearer_sha256:
            return None
        with self._reader.begin() as db:
            row = db.execute(select(agents).where(agents.c.bearer_sha256 == bearer_sha256)).first()
        return _agent(row) if row else None

    def revoke_bearers(self, run: RunId) -> None:
        """No bearer of this run opens anything any more."""
        with self._engine.begin() as db:
            db.execute(update(agents).where(agents.c.run == run).values(bearer_sha256=""))

    # Tool calls ------------------------------------------------------------------------------------

    def open_call(
        self,
        run: RunId,
        vm: VmId,
        pi_start: str,
        dialog: str,
        agent: AgentLabel,
        tool: str,
        params: Mapping[str, Any],
    ) -> ToolCall:
        """Write a call down before it is executed; the present row if it was seen before."""
        key = {"run": run, "vm": vm, "pi_start": pi_start, "dialog": dialog}
        try:
            with self._engine.begin() as db:
                db.execute(
                    insert(tool_calls).values(
                        **key,
                        agent=agent,
                        tool=tool,
                        params=dict(params),
                        state="open",
                        opened_at=self._now(),
                    )
                )
        except IntegrityError:
            pass  # the event was read again after a restart or a lost line
        with self._engine.begin() as db:
            return _call(db.execute(select(tool_calls).filter_by(**key)).one())

    def finish_call(self, call: ToolCall, result: str) -> None:
        """Store a call's result, before it is answered."""
        self._set_call(call, state="done", result=result)

    def answered(self, call: ToolCall) -> None:
        """Pi has the answer."""
        self._set_call(call, state="answered")

    def _set_call(self, call: ToolCall, **values: str) -> None:
        with self._engine.begin() as db:
            db.execute(
                update(tool_calls)
                .where(
                    tool_calls.c.run == call.run,
                    tool_calls.c.vm == call.vm,
                    tool_calls.c.pi_start == call.pi_start,
                    tool_calls.c.dialog == call.dialog,
                )
                .values(**values)
            )

    def calls(self, run: RunId) -> list[ToolCall]:
        """All tool calls of a run, oldest first."""
        query = select(tool_calls).where(tool_calls.c.run == run).order_by(tool_calls.c.opened_at)
        with self._reader.begin() as db:
            return [_call(row) for row in db.execute(query)]

    # Golden images ---------------------------------------------------------------------------------

    def golden(self, recipe: str) -> CommitId | None:
        """The golden commit of a recipe hash."""
        with self._reader.begin() as db:
            row = db.execute(
                select(golden_images.c.commit_id).where(golden_images.c.recipe == recipe)
            ).first()
        return CommitId(row.commit_id) if row else None

    def golden_commits(self) -> list[CommitId]:
        """The golden commits of all recipes that were built."""
        with self._reader.begin() as db:
            return [CommitId(row.commit_id) for row in db.execute(select(golden_images.c.commit_id))]

    def forget_golden(self, commit: CommitId) -> None:
        """The commit was deleted."""
        with self._engine.begin() as db:
            db.execute(delete(golden_images).where(golden_images.c.commit_id == commit))

    def set_golden(self, recipe: str, commit: CommitId, name: str) -> None:
        with self._engine.begin() as db:
            values = {"commit_id": commit, "name": name, "created_at": self._now()}
            if not db.execute(
                update(golden_images).where(golden_images.c.recipe == recipe).values(values)
            ).rowcount:
                db.execute(insert(golden_images).values(recipe=recipe, **values))


def _vm(row: Any) -> VmRow:
    return VmRow(
        row.intent, RunId(row.run), row.purpose, CommitId(row.commit_id), row.vm and VmId(row.vm),
        row.state, row.created_at, row.keep_until,
    )  # fmt: skip


def _agent(row: Any) -> AgentRow:
    return AgentRow(
        RunId(row.run), AgentLabel(row.agent), Role(row.role), row.vm and VmId(row.vm), AgentState(row.state),
        row.doing, row.reason, row.pi_start, row.tasks, row.files, row.heard_at,
    )  # fmt: skip


def _call(row: Any) -> ToolCall:
    return ToolCall(
        RunId(row.run), VmId(row.vm), row.pi_start, row.dialog, AgentLabel(row.agent), row.tool, row.params,
        row.state, row.result,
    )  # fmt: skip
