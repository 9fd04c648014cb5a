"""A worker whose machine is lost: replaced once, on a fresh branch, with the same tasks; then the architect is told."""

import logging
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Executor

from bot.agents.bench import Bench
from bot.agents.calls import succeeded
from bot.agents.home import Homes
from bot.agents.machines import Machines
from bot.agents.outcome import Profile
from bot.agents.roster import Roster
from bot.agents.tasking import Tasking, command_of
from bot.core.errors import BotError, Permanent
from bot.core.models import AgentLabel, AgentState, Role, RunId, VmId
from bot.pipeline.journal.runs import Runs

log = logging.getLogger(__name__)

_EVENT = "replaced"
_SEAT_LIMIT_S = 300.0


class Replacing:
    """Looks after losses. That a worker was replaced is in the build's history, so that it happens once in any process."""

    def __init__(
        self,
        run: RunId,
        *,
        runs: Runs,
        roster: Roster,
        machines: Machines,
        bench: Bench,
        tasking: Tasking,
        homes: Homes,
        enlist: Callable[[AgentLabel, VmId, Profile | None], object],
        profile: Callable[[AgentLabel], Profile | None],
        background: Executor,
    ) -> None:
        self._run = run
        self._runs = runs
        self._roster = roster
        self._machines = machines
        self._bench = bench
        self._tasking = tasking
        self._homes = homes
        self._enlist = enlist
        self._profile = profile
        self._background = background
        self._lock = threading.Lock()
        self._known = {str(event.data["label"]) for event in runs.events(run) if event.kind == _EVENT}
        self._under_way: set[AgentLabel] = set()
        self._news: list[str] = []

    def pending(self, labels: Iterable[AgentLabel]) -> bool:
        """Whether one of these is lost and about to be replaced: its loss is no news yet."""
        with self._lock:
            return any(label in self._under_way or self._is_due(label) for label in labels)

    def news(self) -> list[str]:
        """What the architect was not told yet; once."""
        with self._lock:
            news, self._news = self._news, []
            return news

    @property
    def has_news(self) -> bool:
        """Whether there is something to tell."""
        with self._lock:
            return bool(self._news)

    def look(self) -> None:
        """Begin to replace whoever was lost."""
        for label in self._roster.labels(Role.WORKER):
            with self._lock:
                row = self._roster.row(label)
                begun = label in self._known and row is not None and row.pi_start == "" and row.tasks > 0
                due = label not in self._under_way and (self._is_due(label) or begun)
                if not due:
                    continue
                self._under_way.add(label)
            self._background.submit(self._replace, label)

    def _is_due(self, label: AgentLabel) -> bool:
        lost = self._roster.view(label).state is AgentState.LOST
        return lost and label not in self._known and self._roster.tasks(label) > 0

    def _replace(self, label: AgentLabel) -> None:
        why = self._roster.view(label).reason
        try:
            if label not in self._known:
                self._runs.record(self._run, _EVENT, label=label, reason=why)
                self._known.add(label)
            self._again(label)
            told = f"{label} was lost ({why}). It was replaced on a fresh machine and does its tasks again from the start."
        except BotError as error:
            self._roster.end(label, AgentState.LOST, f"{why}; its replacement failed: {error}")
            told = f"{label} was lost ({why}) and could not be replaced: {error}"
        except Exception as error:  # a thread of a pool has no caller
            log.exception("replacing %s", label, extra={"run": self._run})
            self._roster.end(label, AgentState.LOST, why)
            told = f"{label} was lost ({why}) and could not be replaced ({type(error).__name__})."
        with self._lock:
            self._news.append(told)
            self._under_way.discard(label)
        self._roster.stir()

    def _again(self, label: AgentLabel) -> None:
        old = self._roster.view(label).vm
        self._roster.reborn(label)
        if old is not None and old in self._machines.of_agents().values():
            self._machines.delete(old)
        seat = next(iter(self._bench.claim(1)), None)
        if seat is None or seat.ready is None:
            raise Permanent("the build is ending")
        vm = seat.ready.result(timeout=_SEAT_LIMIT_S)
        self._roster.placed(label, vm)
        calls = [call for call in self._tasking.calls(label) if succeeded(call)]
        self._enlist(label, vm, self._profile(label))
        for call in calls:
            self._tasking.give(label, command_of(call), str(call.params["task"]), self._homes.of(call).spec())
