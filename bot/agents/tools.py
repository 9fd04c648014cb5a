"""The swarm tools but spawning, as the bot executes them. Text in, text out; a `UserError` is what the model may mend."""

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from bot.agents import collect, params, rpc
from bot.agents.daemon import Daemon
from bot.agents.lines import SWARM_HOME, WORKSPACE
from bot.agents.machines import Machines
from bot.agents.roster import ARCHITECT, Roster
from bot.agents.spawning import Spawning
from bot.core.artifacts import Inspection, exclude_patterns, inspect
from bot.core.errors import BotError, Cancelled, Permanent, UserError
from bot.core.models import AgentLabel, AgentState, AgentView, Role
from bot.core.texts import Texts
from bot.core.tree import Start, blob_sha
from bot.pipeline.journal.fleet import Fleet, ToolCall

RESULT_LIMIT_BYTES = 50_000
_SPEC_LIMIT_BYTES = 1 << 20
BeforeSpawn = Callable[[str, Sequence[str], str, Callable[[], bool]], str]
"""See `outside.Outside.before_spawn`."""
_BAD = (AgentState.FAILED, AgentState.LOST, AgentState.STALLED)


@dataclass(frozen=True, slots=True)
class WorkerTask:
    """View of `prompts/worker.md.j2`. `spec` is empty when the task carries it already, or when there is none."""

    label: str
    task: str
    spec: str


class Tools:
    """Executes the calls of one swarm's architect."""

    def __init__(
        self,
        *,
        fleet: Fleet,
        roster: Roster,
        machines: Machines,
        spawning: Spawning,
        texts: Texts,
        now: Callable[[], float],
        stopping: threading.Event,
        hurry: threading.Event,
        before_spawn: BeforeSpawn,
        start: Callable[[], Start],
    ) -> None:
        self._fleet = fleet
        self._roster = roster
        self._machines = machines
        self._spawning = spawning
        self._texts = texts
        self._now = now
        self._stopping = stopping
        self._hurry = hurry
        self._before_spawn = before_spawn
        self._start = start
        self._told: set[AgentLabel] = set()
        self._tools: Mapping[str, Callable[[ToolCall], str]] = {
            "vers_swarm_spawn": self._spawn,
            "vers_swarm_task": self._task,
            "vers_swarm_status": self._status,
            "vers_swarm_read": self._read,
            "vers_swarm_wait": self._wait,
            "vers_swarm_collect": self._collect,
            "vers_swarm_teardown": self._teardown,
        }

    def plan(self, agent: AgentLabel, tool: str, given: Mapping[str, Any]) -> Mapping[str, Any]:
        """What a call decides before it is written down."""
        return self._spawning.plan(given) if tool == "vers_swarm_spawn" and agent == ARCHITECT else {}

    def execute(self, call: ToolCall) -> str:
        """Do it and say what came of it.

        Raises:
            BotError: it cannot be done; the message is for the model.
        """
        if call.agent != ARCHITECT:
            raise UserError("Only the architect may use the swarm's tools. Do your task on this machine.")
        tool = self._tools.get(call.tool)
        if tool is None:
            raise UserError(f"There is no tool {call.tool!r}.")
        return self._within_limit(call, tool(call))

    def _within_limit(self, call: ToolCall, text: str) -> str:
        whole = text.encode("utf-8", "replace")
        if len(whole) <= RESULT_LIMIT_BYTES:
            return text
        path = f"{SWARM_HOME}/results/{call.dialog}.txt"
        self._machines.shell(call.vm).write_file(path, whole)
        start = whole[:RESULT_LIMIT_BYTES].decode("utf-8", "ignore")
        return (
            f"{start}\n[cut after {RESULT_LIMIT_BYTES:,} of {len(whole):,} bytes: the whole text is in {path} on your "
            "machine; read it with offset and limit]"
        )

    # The tools -------------------------------------------------------------------------------------

    def _spawn(self, call: ToolCall) -> str:
        labels = call.params.get("_labels")
        if labels and (
            objection := self._before_spawn(call.dialog, labels, self._specification(), self._stopping.is_set)
        ):
            raise UserError(objection)
        return self._spawning.execute(call)

    def _task(self, call: ToolCall) -> str:
        wish = params.read(params.Task, call.params)
        (label,) = self._workers([wish.agentId])
        view, watch = self._roster.view(label), self._roster.watch(label)
        if watch is None or watch.ended or view.vm is None:
            raise UserError(f"{label} takes no tasks any more: it is {_state(view)}.")
        busy = view.state in (AgentState.WORKING, AgentState.STALLED)
        spec = self._specification()
        text = self._texts.render(
            "prompts/worker.md.j2", WorkerTask(label, wish.task, "" if spec.strip() in wish.task else spec)
        )
        command = f"task-{call.dialog}"
        watch.expect(command)
        try:
            Daemon(self._machines.shell(view.vm)).deliver(command, rpc.prompt(command, text))
        except BotError:
            watch.unexpect(command)
            raise
        self._roster.tasked(label, self._tasks_of(label))
        self._told.discard(label)
        self._roster.changed(label)
        with_spec = " with SPEC.md" if spec else " without a specification: there is no SPEC.md"
        return f"{label} has its task{with_spec}." + (
            " It begins when its present one is done." if busy else ""
        )

    def _tasks_of(self, label: AgentLabel) -> int:
        run = self._roster.run
        calls = (call for call in self._fleet.calls(run) if call.tool == "vers_swarm_task")
        return sum(call.params.get("agentId") == label for call in calls)

    def _specification(self) -> str:
        """The architect's SPEC.md as it is now; "" if there is none. Read as the agent: a link leads no further than it may."""
        vm = self._roster.view(ARCHITECT).vm
        if vm is None:
            return ""
        command = f"runuser -u agent -- head -c {_SPEC_LIMIT_BYTES} -- {WORKSPACE}/SPEC.md"
        read = self._machines.shell(vm).run(command, check=False)
        return read.stdout.decode("utf-8", "replace") if read.exit_status == 0 else ""

    def _status(self, _call: ToolCall) -> str:
        return table(self._roster.views())

    def _read(self, call: ToolCall) -> str:
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

    def _wait(self, call: ToolCall) -> str:
        wish = params.read(params.Wait, call.params)
        named = self._workers(wish.agentIds)
        tasked = [label for label in named if self._roster.tasks(label)]
        untasked = [label for label in named if label not in tasked]
        deadline = self._now() + min(max(wish.timeoutSeconds, 0.0), params.LONGEST_WAIT_S)

        def enough() -> bool:
            if self._stopping.is_set():
                raise Cancelled("the build is ending")
            views = self._roster.views(tasked)
            if self._hurry.is_set():  # there are words for the architect, which it reads between two calls
                self._hurry.clear()
                return True
            news = any(view.state in _BAD and view.label not in self._told for view in views)
            return news or all(view.state.ended for view in views) or self._now() >= deadline

        while not enough():
            self._roster.wait(min(1.0, max(deadline - self._now(), 0.01)))
        views = self._roster.views(tasked)
        self._told |= {view.label for view in views if view.state in _BAD}
        note = f"\nNot waited for, because they have no task: {', '.join(untasked)}" if untasked else ""
        return f"{_summary(views)}\n{table(views)}{note}"

    def _collect(self, call: ToolCall) -> str:
        wish = params.read(params.Collect, call.params)
        labels = self._workers(wish.agentIds)
        prefer = self._workers([wish.prefer])[0] if wish.prefer else None
        paths = [collect.relative(path) for path in wish.paths or ()]
        destination = collect.relative(wish.destination)
        architect = self._roster.view(ARCHITECT).vm
        if architect is None:
            raise Permanent("the architect has no machine")
        with ThreadPoolExecutor(max_workers=8, thread_name_prefix="collect") as pool:
            results = list(pool.map(self._workspace, labels))
        found = [
            (label, got) for label, got in zip(labels, results, strict=True) if isinstance(got, Inspection)
        ]
        troubles = [got for got in results if isinstance(got, str)]
        merged = collect.merge(found, paths=paths, destination=destination, prefer=prefer)
        if merged.files:
            packed = collect.pack(merged.files, self._now())
            self._machines.shell(architect).write_tree(WORKSPACE, packed, owner="agent")
            self._roster.brought(
                {
                    label: {path: blob_sha(merged.files[path].content) for path in paths}
                    for label, paths in merged.by_worker.items()
                }
            )
        troubles += [
            f"{view.label} is still {view.state}: it may change its files."
            for view in self._roster.views(labels)
            if view.state in (AgentState.WORKING, AgentState.STALLED)
        ]
        return collect.report(merged, destination, troubles)

    def _workspace(self, label: AgentLabel) -> Inspection | str:
        vm = self._roster.view(label).vm
        try:
            if vm is None:
                raise Permanent("it has no machine")
            tar = self._machines.shell(vm).read_tree(WORKSPACE, exclude=exclude_patterns())
            return inspect(tar, base=self._start().listing)
        except Cancelled:
            raise
        except BotError as error:
            return f"{label} could not be read: {error}"

    def _teardown(self, call: ToolCall) -> str:
        labels = self._workers(params.read(params.Teardown, call.params).agentIds)
        alive = set(self._machines.of_agents().values())

        def remove(label: AgentLabel) -> None:
            view = self._roster.view(label)
            over = view.state.ended
            self._roster.end(
                label,
                view.state if over else AgentState.FAILED,
                view.reason if over else "removed by the architect",
            )
            if view.vm in alive:
                self._machines.delete(view.vm)

        with ThreadPoolExecutor(max_workers=8, thread_name_prefix="teardown") as pool:
            list(pool.map(remove, labels))
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


def table(views: Iterable[AgentView]) -> str:
    """A line per agent."""
    return "\n".join(
        f"{view.label} ({view.role}, machine {view.vm or 'none'}): {_state(view)}" for view in views
    )


def _state(view: AgentView) -> str:
    about = view.reason or view.doing
    return f"{view.state}: {about}" if about else str(view.state)


def _summary(views: list[AgentView]) -> str:
    if not views:
        return "No worker has a task."
    done = sum(view.state is AgentState.DONE for view in views)
    bad = sum(view.state in _BAD for view in views)
    going = len(views) - done - bad
    parts = [f"{done} of {len(views)} workers done"]
    parts += [f"{bad} failed, lost or stalled"] if bad else []
    parts += [f"{going} still at work: wait again"] if going else []
    return ", ".join(parts) + "."
