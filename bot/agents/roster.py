"""Who is in the swarm and how they are: watches and rows together, written down when they change, waited for."""

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from bot.agents.watch import Watch
from bot.core.models import AgentLabel, AgentState, AgentView, Role, RunId, VmId
from bot.pipeline.journal.fleet import AgentRow, Fleet
from bot.pipeline.journal.runs import Runs
from bot.pipeline.journal.usage import Usage

ARCHITECT = AgentLabel("architect")
_RECORD_EVERY_S = 1.0


@dataclass
class _Entry:
    role: Role
    vm: VmId | None
    state: AgentState
    doing: str
    reason: str
    tasks: int
    files: int = 0
    heard_at: float = 0.0
    watch: Watch | None = None
    recorded_at: float = 0.0
    dirty: bool = False
    over: bool = False
    """Its last state was said by us; its watch has no more say."""


class Roster:
    """The agents of one build. `changed` is called by watches; readers get views, and may wait for the next change."""

    def __init__(
        self, run: RunId, *, runs: Runs, fleet: Fleet, usage: Usage, now: Callable[[], float]
    ) -> None:
        self.run = run
        self._runs = runs
        self._fleet = fleet
        self._usage = usage
        self._now = now
        self._entries: dict[AgentLabel, _Entry] = {}
        self._condition = threading.Condition(threading.RLock())
        for row in fleet.agents(run):
            self._entries[row.agent] = _entry(row)

    def add(self, label: AgentLabel, role: Role) -> None:
        """A new agent in state starting; one that is known stays as it is."""
        with self._condition:
            if self._fleet.add_agent(self.run, label, role):
                self._entries[label] = _Entry(role, None, AgentState.STARTING, "", "", 0)
                self._record(label, self._entries[label])

    def row(self, label: AgentLabel) -> AgentRow | None:
        """The agent as the journal has it."""
        return next((row for row in self._fleet.agents(self.run) if row.agent == label), None)

    def placed(self, label: AgentLabel, vm: VmId) -> None:
        """The agent lives on this machine."""
        with self._condition:
            self._entries[label].vm = vm
            self._fleet.update_agent(self.run, label, vm=vm)

    def watched(self, label: AgentLabel, watch: Watch) -> None:
        """From now on the agent's state is what its watch says."""
        with self._condition:
            self._entries[label].watch = watch

    def watch(self, label: AgentLabel) -> Watch | None:
        """The watch of an agent that lives."""
        with self._condition:
            entry = self._entries.get(label)
            return entry.watch if entry and not entry.over else None

    def watches(self) -> list[Watch]:
        """All watches, ended ones included."""
        with self._condition:
            return [entry.watch for entry in self._entries.values() if entry.watch]

    def tasked(self, label: AgentLabel, tasks: int) -> None:
        """The agent was given so many tasks."""
        with self._condition:
            self._entries[label].tasks = tasks
            self._fleet.update_agent(self.run, label, tasks=tasks)

    def tasks(self, label: AgentLabel) -> int:
        """How many tasks an agent was given."""
        with self._condition:
            return self._entries[label].tasks

    def reborn(self, label: AgentLabel) -> None:
        """The agent starts anew, without a machine; its bearer opens nothing any more."""
        with self._condition:
            entry = self._entries[label]
            watch, entry.watch, entry.over, entry.vm = entry.watch, None, False, None
            self._fleet.update_agent(self.run, label, pi_start="", bearer_sha256="")
            self._apply(label, entry, AgentState.STARTING, "", "")
        if watch:
            watch.stop()

    def stir(self) -> None:
        """Wake who waits: something is different that is no agent's state."""
        with self._condition:
            self._condition.notify_all()

    def brought(self, files: Mapping[AgentLabel, Mapping[str, str]]) -> None:
        """Write down whose files came into the architect's workspace: worker -> path -> git's id of the content."""
        self._runs.record(self.run, "collected", files={label: dict(found) for label, found in files.items()})

    def end(self, label: AgentLabel, state: AgentState, reason: str) -> None:
        """The agent's last state, from us: its watch, if any, has no more say."""
        with self._condition:
            entry = self._entries[label]
            watch, entry.over = entry.watch, True
            self._apply(label, entry, state, "", reason)
        if watch:
            watch.ask_to_stop()

    def changed(self, label: AgentLabel) -> None:
        """Take over what the agent's watch says."""
        with self._condition:
            entry = self._entries[label]
            if entry.watch and entry.watch.caught_up and not entry.over:
                entry.files = len(entry.watch.progress.files)
                self._apply(label, entry, entry.watch.state, entry.watch.doing, entry.watch.reason)

    def refresh(self) -> None:
        """Take over what time alone has changed, and write down what was held back."""
        for label in self.labels():
            self.changed(label)

    def wait(self, timeout_s: float) -> None:
        """Until something changes, or so long."""
        with self._condition:
            self._condition.wait(timeout_s)

    def until(self, done: Callable[[], bool], timeout_s: float) -> None:
        """Until the condition holds, or so long at most."""
        with self._condition:
            self._condition.wait_for(done, timeout_s)

    def labels(self, role: Role | None = None) -> list[AgentLabel]:
        """All agents, in the order in which they were spawned."""
        with self._condition:
            return [label for label, entry in self._entries.items() if role in (None, entry.role)]

    def view(self, label: AgentLabel) -> AgentView:
        """An agent as people see it, without tokens."""
        with self._condition:
            entry = self._entries[label]
            return AgentView(
                label, entry.role, entry.vm, entry.state, entry.doing, entry.reason,
                files=entry.files, heard_at=entry.heard_at,
            )  # fmt: skip

    def views(self, labels: Iterable[AgentLabel] | None = None) -> list[AgentView]:
        """Agents as people see them, without tokens."""
        with self._condition:
            return [self.view(label) for label in (self.labels() if labels is None else labels)]

    def paid_views(self) -> list[AgentView]:
        """All agents, with what they have used."""
        spent = self._usage.by_agent(self.run)
        return [
            replace(view, tokens=spent[view.label]) if view.label in spent else view for view in self.views()
        ]

    def _apply(self, label: AgentLabel, entry: _Entry, state: AgentState, doing: str, reason: str) -> None:
        moved = state is not entry.state or reason != entry.reason
        if moved or doing != entry.doing:
            entry.state, entry.doing, entry.reason = state, doing, reason
            entry.dirty, entry.heard_at = True, self._now()
        if entry.dirty and (moved or self._now() - entry.recorded_at >= _RECORD_EVERY_S):
            self._record(label, entry)
        if moved:
            self._condition.notify_all()

    def _record(self, label: AgentLabel, entry: _Entry) -> None:
        entry.recorded_at, entry.dirty = self._now(), False
        self._fleet.update_agent(
            self.run, label, state=entry.state, doing=entry.doing, reason=entry.reason,
            files=entry.files, heard_at=entry.heard_at,
        )  # fmt: skip
        self._runs.record(
            self.run, "agent",
            label=label, role=entry.role, state=entry.state, doing=entry.doing, reason=entry.reason,
        )  # fmt: skip


def _entry(row: AgentRow) -> _Entry:
    return _Entry(row.role, row.vm, row.state, row.doing, row.reason, row.tasks, row.files, row.heard_at)
