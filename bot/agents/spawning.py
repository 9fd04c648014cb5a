"""Spawning workers: what is decided before (names, limits), and how a waiting machine becomes an agent."""

import json
import logging
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import Any

from bot.agents import params
from bot.agents.bench import Bench, Seat
from bot.agents.calls import succeeded
from bot.agents.machines import Machines
from bot.agents.outcome import Profile, SwarmLimits
from bot.agents.roster import ARCHITECT, Roster
from bot.core.errors import BotError, Permanent, UserError
from bot.core.models import AgentLabel, AgentState, CommitId, Role, RunId, VmId
from bot.core.usage import price
from bot.pipeline.journal.fleet import Fleet, ToolCall

log = logging.getLogger(__name__)

SPAWN, POOL = "vers_swarm_spawn", "vers_swarm_pool"
_MANY_WORKERS = 5
_SETTLE_S = 5.0
_LEAST_S = 5.0
"""Less time than this is no use to a worker."""


class Spawning:
    """`vers_swarm_spawn`. `plan` is called before the call's row is written, `execute` any number of times after."""

    def __init__(
        self,
        run: RunId,
        *,
        golden: CommitId,
        limits: SwarmLimits,
        fleet: Fleet,
        roster: Roster,
        machines: Machines,
        bench: Bench,
        enlist: Callable[[AgentLabel, VmId, Profile | None], object],
        money_left: Callable[[], int],
        now: Callable[[], float],
    ) -> None:
        """`enlist` makes a machine on which pi runs an agent's, and begins to watch it; `money_left` is in micro-dollars."""
        self._run = run
        self._golden = golden
        self._limits = limits
        self._fleet = fleet
        self._roster = roster
        self._machines = machines
        self._bench = bench
        self._enlist = enlist
        self._money_left = money_left
        self._now = now

    def plan(self, given: Mapping[str, Any]) -> Mapping[str, Any]:
        """The workers' names, or why there will be none: fixed once, so that a repeated call means the same workers."""
        try:
            wish = params.read(params.Spawn, given)
            return {"_labels": self._labels(wish), "_profile": asdict(self._profile(wish))}
        except UserError as refusal:
            return {"_refusal": str(refusal)}

    def _labels(self, wish: params.Spawn) -> list[str]:
        if wish.commitId and wish.commitId not in (self._golden, *self._machines.commits()):
            raise UserError(
                f"Workers start from this swarm's golden image ({self._golden}) or a snapshot that you made with "
                "vers_vm_commit: leave commitId out."
            )
        known = self._known_labels()
        labels = wish.labels or _default_labels(wish.count, known)
        if len(labels) != wish.count:
            raise UserError(f"There are {len(labels)} labels for {wish.count} workers: give one for each.")
        for label in labels:
            if not params.LABEL.fullmatch(label):
                raise UserError(
                    f"{label!r} cannot be a label: use up to 32 lower-case letters, digits and dashes."
                )
            if label in known or labels.count(label) > 1:
                raise UserError(f"The label {label} is taken: every agent of a swarm has a name of its own.")
        self._check_budget(wish.count)
        return labels

    def _profile(self, wish: params.Spawn) -> Profile:
        usual = self._limits.profile(Role.WORKER)
        allowed = list(dict.fromkeys([usual.model, self._limits.model, *self._limits.allowed_models]))
        if wish.model and wish.model not in allowed:
            raise UserError(f"This swarm uses {', '.join(allowed)} only: leave model out.")
        if wish.model and price(wish.model) is None:
            raise UserError(f"{wish.model} has no price, so no budget can hold it: leave model out.")
        return Profile(
            wish.model or usual.model, wish.thinking or usual.thinking, tuple(wish.tools or usual.tools)
        )

    def profile(self, label: AgentLabel) -> Profile | None:
        """How a worker was asked to be; None if nobody asked."""
        calls = (call for call in self._spawns() if label in call.params.get("_labels", ()))
        found = next((call.params["_profile"] for call in calls), None)
        return Profile(found["model"], found["thinking"], tuple(found["tools"])) if found else None

    def _known_labels(self) -> set[str]:
        planned = (label for call in self._spawns() for label in call.params.get("_labels", ()))
        return {*self._roster.labels(), *planned}

    def _spawns(self) -> list[ToolCall]:
        """Calls that made workers or still may; one that was refused left its names free."""
        calls = (call for call in self._fleet.calls(self._run) if call.tool in (SPAWN, POOL))
        return [call for call in calls if call.result is None or succeeded(call)]

    def _check_budget(self, count: int) -> None:
        left_s = self._limits.run_deadline - self._now()
        if left_s < _LEAST_S:
            raise UserError(
                f"This build has {max(left_s, 0):.0f} seconds left, too few for another worker: do the rest yourself, and finish."
            )
        if self._money_left() <= 0:
            raise UserError(
                "This build's dollars are spent: the model answers nobody soon. Finish with what you have."
            )
        alive = set(self._machines.of_agents().values())
        present = [view.label for view in self._roster.views() if view.vm is None or view.vm in alive]
        coming = {label for call in self._spawns() for label in call.params.get("_labels", ())}
        taken = len({*present, *(coming - set(self._roster.labels()))}) + len(self._machines.of_scratch())
        room = self._limits.max_agents - taken
        if count > room:
            raise UserError(
                f"This swarm may have {self._limits.max_agents} agents at once and has {taken}, you included, so there is "
                f"room for {max(room, 0)} more: spawn fewer, or remove finished workers with vers_swarm_teardown first."
            )

    def execute(self, call: ToolCall) -> str:
        """Make the planned workers; those that exist already stay as they are."""
        if refusal := call.params.get("_refusal"):
            raise UserError(str(refusal))
        labels = [AgentLabel(label) for label in call.params["_labels"]]
        for label in labels:
            self._roster.add(label, Role.WORKER)
        homeless = [label for label in labels if self._roster.view(label).vm is None]
        given = call.params.get("commitId")
        commit = CommitId(given) if given and given != self._golden else None
        seats = dict(zip(homeless, self._bench.claim(len(homeless), commit), strict=False))
        with ThreadPoolExecutor(max_workers=8, thread_name_prefix="spawn") as pool:
            list(pool.map(lambda label: self._settle_in(label, seats.get(label), commit), labels))
        return self._report(labels)

    def _settle_in(self, label: AgentLabel, seat: Seat | None, commit: CommitId | None) -> None:
        """Make a worker of a machine. One that does not come up has failed, with the reason, and leaves no machine."""
        try:
            vm = self._roster.view(label).vm or self._machine(label, seat, commit)
            self._enlist(label, vm, self.profile(label))
        except Exception as error:  # one worker's trouble must not lose the answer about the others
            if not isinstance(error, BotError):
                log.exception("spawning %s", label, extra={"run": self._run})
            self._roster.end(label, AgentState.FAILED, str(error) or type(error).__name__)
            if placed := self._roster.view(label).vm:
                self._remove(placed)

    def _machine(self, label: AgentLabel, seat: Seat | None, commit: CommitId | None) -> VmId:
        """The seat's machine, or another one if it turns out to be no good."""
        try:
            vm = self._ready(seat)
        except BotError:
            if seat is None:
                raise
            self._discard(seat)
            another = next(iter(self._bench.claim(1, commit)), None)
            try:
                vm = self._ready(another)
            except BotError:
                if another is not None:
                    self._discard(another)
                raise
        self._roster.placed(label, vm)
        return vm

    @staticmethod
    def _ready(seat: Seat | None) -> VmId:
        if seat is None or seat.ready is None:
            raise Permanent("there is no machine for it: the build is ending")
        return seat.ready.result()

    def _discard(self, seat: Seat) -> None:
        if seat.vm.done() and seat.vm.exception() is None:
            self._remove(seat.vm.result())

    def _remove(self, vm: VmId) -> None:
        try:
            self._machines.delete(vm)
        except BotError as error:  # it is in the journal: the build's end deletes it
            log.warning(
                "machine %s of a worker that did not come up: %s", vm, error, extra={"run": self._run}
            )

    def _report(self, labels: list[AgentLabel]) -> str:
        self._roster.until(
            lambda: all(view.state is not AgentState.STARTING for view in self._roster.views(labels)),
            _SETTLE_S,
        )
        rows = [
            {"agentId": view.label, "vmId": view.vm, "state": view.state}
            | ({"reason": view.reason} if view.reason else {})
            for view in self._roster.views(labels)
        ]
        workers = len(self._roster.labels(Role.WORKER))
        answer: dict[str, Any] = {"agents": rows}
        if workers >= _MANY_WORKERS:
            answer["warning"] = (
                f"With {workers} workers you may spend more time on mending mismatches than they on building. "
                "Keep to three unless their components are truly independent."
            )
        return json.dumps(answer, indent=1)


def _default_labels(count: int, known: set[str]) -> list[str]:
    free = (f"agent-{number}" for number in range(1, len(known) + count + 2))
    return [label for label in free if label not in known and label != ARCHITECT][:count]
