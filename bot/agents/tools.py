"""The swarm tools but spawning, as the bot executes them. Text in, text out; a `UserError` is what the model may mend."""

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from bot.agents import collect, params, rpc
from bot.agents.calls import Heed
from bot.agents.daemon import Daemon
from bot.agents.gather import Gather
from bot.agents.home import Homes
from bot.agents.machines import Machines
from bot.agents.pool import Pool
from bot.agents.replacing import Replacing
from bot.agents.roster import ARCHITECT, Roster
from bot.agents.spawning import POOL, SPAWN, Spawning
from bot.agents.tasking import Tasking, command_of, told
from bot.agents.vmtools import VmTools
from bot.core.errors import Cancelled, UserError
from bot.core.models import AgentLabel, AgentState, AgentView, Role
from bot.pipeline.journal.fleet import ToolCall
from bot.vms.base import Shell

RESULT_LIMIT_BYTES = 50_000
_BAD = (AgentState.FAILED, AgentState.LOST, AgentState.STALLED)
_STOP_LIMIT_S = 20.0

BeforeSpawn = Callable[[str, Sequence[str], str, Callable[[], bool]], str]
"""See `outside.Outside.before_spawn`."""
Tool = Callable[[ToolCall, Heed], str]


class Tools:
    """Executes the calls of one swarm's architect."""

    def __init__(
        self,
        *,
        roster: Roster,
        machines: Machines,
        spawning: Spawning,
        pool: Pool,
        vmtools: VmTools,
        replacing: Replacing,
        tasking: Tasking,
        gather: Gather,
        homes: Homes,
        rediscover: Callable[[], list[AgentLabel]],
        now: Callable[[], float],
        stopping: threading.Event,
        before_spawn: BeforeSpawn,
        farewell: Callable[[AgentLabel, Shell], None],
    ) -> None:
        """`rediscover` follows agents again that were lost and can be reached once more, and names them."""
        self._roster = roster
        self._machines = machines
        self._spawning = spawning
        self._pool = pool
        self._vmtools = vmtools
        self._replacing = replacing
        self._tasking = tasking
        self._gather = gather
        self._homes = homes
        self._rediscover = rediscover
        self._now = now
        self._stopping = stopping
        self._before_spawn = before_spawn
        self._farewell = farewell
        self._told: set[AgentLabel] = set()
        self._tools: Mapping[str, Tool] = {
            SPAWN: self._spawn,
            "vers_swarm_task": self._task,
            "vers_swarm_stop": self._stop,
            "vers_swarm_status": self._status,
            "vers_swarm_read": self._read,
            "vers_swarm_wait": self._wait,
            "vers_swarm_collect": self._collect,
            "vers_swarm_discover": self._discover,
            "vers_swarm_teardown": self._teardown,
            POOL: self._run_pool,
            **vmtools.tools,
        }

    def plan(self, agent: AgentLabel, tool: str, given: Mapping[str, Any]) -> Mapping[str, Any]:
        """What a call decides before it is written down."""
        if agent != ARCHITECT:
            return {}
        if tool == POOL:
            return self._pool.plan(given)
        return self._spawning.plan(given) if tool == SPAWN else self._vmtools.plan(tool)

    def execute(self, call: ToolCall, heed: Heed) -> str:
        """Do it and say what came of it.

        Raises:
            BotError: it cannot be done; the message is for the model.
        """
        if call.agent != ARCHITECT:
            raise UserError(
                "Only the architect may use the swarm's tools: a worker stands at the greatest depth (1) already. "
                "Do your task on this machine."
            )
        tool = self._tools.get(call.tool)
        if tool is None:
            raise UserError(f"There is no tool {call.tool!r}.")
        text = tool(call, heed)
        return self._within_limit(call, text) if call.tool.startswith("vers_") else text

    def _within_limit(self, call: ToolCall, text: str) -> str:
        whole = text.encode("utf-8", "replace")
        if len(whole) <= RESULT_LIMIT_BYTES:
            return text
        path = self._homes.of(call).keep(call.dialog, whole)
        start = whole[:RESULT_LIMIT_BYTES].decode("utf-8", "ignore")
        return (
            f"{start}\n[cut after {RESULT_LIMIT_BYTES:,} of {len(whole):,} bytes: the whole text is in {path}; "
            "read it with offset and limit]"
        )

    # The tools -------------------------------------------------------------------------------------

    def _spawn(self, call: ToolCall, _heed: Heed) -> str:
        self._ask_before(call)
        return self._spawning.execute(call)

    def _run_pool(self, call: ToolCall, heed: Heed) -> str:
        self._ask_before(call)
        return self._pool.execute(call, heed)

    def _ask_before(self, call: ToolCall) -> None:
        """
        Raises:
            UserError: somebody objects to these workers.
        """
        labels = call.params.get("_labels")
        if labels and (
            objection := self._before_spawn(
                call.dialog, labels, self._homes.of(call).spec(), self._stopping.is_set
            )
        ):
            raise UserError(objection)

    def _task(self, call: ToolCall, _heed: Heed) -> str:
        wish = params.read(params.Task, call.params)
        (label,) = self._workers([wish.agentId])
        spec = self._homes.of(call).spec()
        given = self._tasking.give(label, command_of(call), wish.task, spec, steer=wish.steer)
        self._told.discard(label)
        with_spec = " with SPEC.md" if given.with_spec else " without a specification: there is no SPEC.md"
        turned = " It hears of it as soon as its open tool calls have ended."
        queued = " It begins when its present one is done."
        return f"{label} has its task{with_spec}." + (
            (turned if wish.steer else queued) if given.busy else ""
        )

    def _stop(self, call: ToolCall, heed: Heed) -> str:
        wish = params.read(params.Stop, call.params)
        (label,) = self._workers([wish.agentId])
        view, watch = self._roster.view(label), self._roster.watch(label)
        if watch is None or watch.ended or view.vm is None:
            raise UserError(f"{label} cannot be stopped: it is {told(view)}.")
        if view.state not in (AgentState.WORKING, AgentState.STALLED):
            return f"{label} was not at work: it is {told(view)}."
        daemon = Daemon(self._machines.shell(view.vm))
        for verb, line in (("clear", rpc.clear_queue), ("abort", rpc.abort)):
            command = f"{verb}-{call.dialog}"
            daemon.deliver(command, line(command))
        deadline = self._now() + _STOP_LIMIT_S
        while not self._roster.view(label).state.ended and self._now() < deadline:
            self._look(heed)
            self._roster.wait(0.2)
        self._told.add(label)
        view = self._roster.view(label)
        if not view.state.ended:
            return f"{label} was told to stop and is still {told(view)}."
        return f"{label} is stopped. Its files stay, and it takes another task."

    def _status(self, _call: ToolCall, _heed: Heed) -> str:
        return table(self._roster.views())

    def _discover(self, _call: ToolCall, _heed: Heed) -> str:
        found = self._rediscover()
        heard = f"Found again: {', '.join(found)}." if found else "Nobody was lost and found again."
        return f"{heard}\n{table(self._roster.views())}"

    def _read(self, call: ToolCall, _heed: Heed) -> str:
        wish = params.read(params.Read, call.params)
        label = self._known([wish.agentId])[0]
        watch, view = self._roster.watch(label), self._roster.view(label)
        if watch is None:
            return table([view])
        progress = watch.progress
        words = progress.last_text
        shown = words[-wish.tail :] if wish.tail else words
        files = ", ".join(progress.files) or "none"
        return f"{table([view])}\nFiles that it wrote: {files}\nIts last words:\n{shown or '(none)'}"

    def _wait(self, call: ToolCall, heed: Heed) -> str:
        wish = params.read(params.Wait, call.params)
        named = self._workers(wish.agentIds)
        tasked = [label for label in named if self._roster.tasks(label)]
        untasked = [label for label in named if label not in tasked]
        deadline = self._now() + min(max(wish.timeoutSeconds, 0.0), params.LONGEST_WAIT_S)

        def enough() -> bool:
            self._look(heed)
            views = self._roster.views(tasked)
            if self._now() >= deadline or self._replacing.has_news or message_for(self._roster, call.agent):
                return True
            if self._replacing.pending(tasked):
                return False
            news = any(view.state in _BAD and view.label not in self._told for view in views)
            return news or all(view.state.ended for view in views)

        while not enough():
            self._roster.wait(min(1.0, max(deadline - self._now(), 0.01)))
        views = self._roster.views(tasked)
        self._told |= {view.label for view in views if view.state in _BAD}
        notes = [f"Not waited for, because they have no task: {', '.join(untasked)}"] if untasked else []
        notes[:0] = self._replacing.news()
        if message_for(self._roster, call.agent):
            notes.insert(0, "There is a message for you, which comes next. Heed it, then wait again.")
        return "\n".join([summary(views), table(views), *notes])

    def _look(self, heed: Heed) -> None:
        """
        Raises:
            Cancelled: the build is ending.
            Withdrawn: nobody waits for this call.
        """
        if self._stopping.is_set():
            raise Cancelled("the build is ending")
        heed.check()

    def _collect(self, call: ToolCall, _heed: Heed) -> str:
        wish, home = params.read(params.Collect, call.params), self._homes.of(call)
        return self._gather(
            self._workers(wish.agentIds),
            home,
            paths=[collect.relative(path) for path in wish.paths or ()],
            destination=collect.relative(wish.destination, home.where),
            prefer=self._workers([wish.prefer])[0] if wish.prefer else None,
        )

    def _teardown(self, call: ToolCall, _heed: Heed) -> str:
        labels = self._workers(params.read(params.Teardown, call.params).agentIds)
        alive = set(self._machines.of_agents().values())

        for label in labels:
            view = self._roster.view(label)
            over = view.state.ended
            self._roster.end(
                label,
                view.state if over else AgentState.FAILED,
                view.reason if over else "removed by the architect",
            )
            if view.vm is not None and view.vm in alive:
                self._machines.leave(view.vm, partial(self._farewell, label))
        return f"Removed: {', '.join(labels) or 'nobody, there are no workers'}."

    # Names -----------------------------------------------------------------------------------------

    def _known(self, names: Iterable[str]) -> list[AgentLabel]:
        known = self._roster.labels()
        for name in names:
            if name not in known:
                raise UserError(f"There is no agent {name!r}. The agents are: {', '.join(known)}.")
        return [AgentLabel(name) for name in names]

    def _workers(self, names: list[str] | None) -> list[AgentLabel]:
        if names is None:
            return self._roster.labels(Role.WORKER)
        if ARCHITECT in names:
            raise UserError("You are the architect: name your workers.")
        return list(dict.fromkeys(self._known(names)))


def message_for(roster: Roster, agent: AgentLabel) -> bool:
    """Whether a message waits that an agent gets as soon as its open tool calls have ended."""
    watch = roster.watch(agent)
    return watch is not None and watch.progress.steering > 0


def table(views: Iterable[AgentView]) -> str:
    """A line per agent."""
    return "\n".join(
        f"{view.label} ({view.role}, machine {view.vm or 'none'}): {told(view)}" for view in views
    )


def summary(views: list[AgentView]) -> str:
    """How many are done, in one sentence."""
    if not views:
        return "No worker has a task."
    done = sum(view.state is AgentState.DONE for view in views)
    bad = sum(view.state in _BAD for view in views)
    going = len(views) - done - bad
    parts = [f"{done} of {len(views)} workers done"]
    parts += [f"{bad} failed, lost or stalled"] if bad else []
    parts += [f"{going} still at work: wait again"] if going else []
    return ", ".join(parts) + "."
