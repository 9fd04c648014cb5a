"""One build's swarm: its machines, its agents, their tool calls, until the architect settles."""

import hashlib
import logging
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

from bot.agents import rpc
from bot.agents.bench import Bench
from bot.agents.calls import CallDesk, succeeded
from bot.agents.collect import pack
from bot.agents.daemon import START, Daemon, Identity, PiGone
from bot.agents.lines import WORKSPACE, Lines
from bot.agents.machines import PURPOSE, Machines
from bot.agents.outcome import GaveTask, RanCommand, SwarmLimits, SwarmOutcome, Waited
from bot.agents.outside import Outside
from bot.agents.roster import ARCHITECT, Roster
from bot.agents.spawning import Spawning
from bot.agents.tools import Tools
from bot.agents.watch import Watch, WatchLimits
from bot.core.errors import BotError, NotFound, Transient
from bot.core.models import AgentLabel, AgentState, CommitId, Role, RunId, VmId
from bot.core.texts import Texts
from bot.core.tree import NOTHING, Start
from bot.pipeline.journal.fleet import Fleet
from bot.pipeline.journal.runs import Runs
from bot.pipeline.journal.usage import Usage
from bot.vms.base import Connect, Provider, Shell

log = logging.getLogger(__name__)

PROMPT = "prompt-1"
"""Id of the one prompt that the architect gets; delivered once however often a build is continued."""
_FIRST = f"{PURPOSE}1"
_LOOK_EVERY_S, _LOOK_FOR_READY_S = 1.0, 0.05


class Swarm:
    """The agents of one build, for one `build`. A new one, after a restart or an error, goes on where the journal says.

    `prepare`, `build`, then `shell_of` while the files are fetched; `close` in any case; `teardown` when the machines are to
    go, also in another process than the one that built.
    """

    def __init__(
        self,
        run: RunId,
        *,
        golden: CommitId,
        provider: Provider,
        connect: Connect,
        runs: Runs,
        fleet: Fleet,
        usage: Usage,
        lines: Lines,
        texts: Texts,
        limits: SwarmLimits,
        now: Callable[[], float],
        new_secret: Callable[[], str],
        outside: Outside | None = None,
    ) -> None:
        self._run = run
        self._runs = runs
        self._fleet = fleet
        self._limits = limits
        self._now = now
        self._new_secret = new_secret
        self._outside = outside or Outside()
        self._told: set[str] = set()
        self._stopping = threading.Event()
        self._hurry = threading.Event()
        self._background = ThreadPoolExecutor(max_workers=4, thread_name_prefix="swarm")
        self._architect_line: Future[Shell] | None = None
        self._start = NOTHING
        self._seeded: set[VmId] = set()
        self._machines = Machines(
            run, golden=golden, deployment=limits.deployment, provider=provider, connect=connect,
            fleet=fleet, lines=lines, now=now,
        )  # fmt: skip
        self._roster = Roster(run, runs=runs, fleet=fleet, usage=usage, now=now)
        self._bench = Bench(self._machines, self._start_pi)
        spawning = Spawning(
            run, golden=golden, limits=limits, fleet=fleet, roster=self._roster, machines=self._machines,
            bench=self._bench, enlist=self._enlist,
        )  # fmt: skip
        self._tools = Tools(
            fleet=fleet, roster=self._roster, machines=self._machines, spawning=spawning, texts=texts,
            now=now, stopping=self._stopping, hurry=self._hurry, before_spawn=self._outside.before_spawn,
            start=lambda: self._start,
        )  # fmt: skip
        self._desk = CallDesk(
            run, fleet=fleet, plan=self._tools.plan, execute=self._tools.execute, daemon=self._daemon
        )

    # Steps of a build ------------------------------------------------------------------------------

    def prepare(self) -> None:
        """Branch the architect's machine and open its line; branch the workers' machines in the background. Idempotent.

        Raises:
            BotError: there is no machine for the architect.
        """
        if self._architect_line is not None:
            return
        (vm,) = self._machines.take([_FIRST])
        self._architect_line = self._background.submit(self._machines.shell, vm)
        taken = {row.vm for row in self._fleet.agents(self._run) if row.vm}
        workers = [row for row in self._fleet.agents(self._run) if row.role is Role.WORKER]
        self._bench.adopt(taken | {vm}, _FIRST)
        if not workers:
            self._bench.fill(min(self._limits.warm_workers, self._limits.max_agents - 1))

    def build(self, prompt: str, start: Start = NOTHING) -> SwarmOutcome:
        """Start the architect on its prompt and serve the swarm until it settles. Idempotent across restarts.

        Args:
            prompt: the architect's.
            start: what lies in every agent's workspace before it begins.

        Raises:
            Cancelled: the build was asked to stop.
            BotError: the architect could not be started.
        """
        self._start = start
        self.prepare()
        try:
            self._runs.check_cancelled(self._run)
            self._start_architect(prompt)
            self._resume_workers()
            return self._outcome(self._serve())
        finally:
            self._ask_to_stop()

    def shell_of(self, agent: AgentLabel) -> Shell:
        """The line to an agent's machine.

        Raises:
            NotFound: no such agent, or it has no machine.
        """
        row = self._roster.row(agent)
        if row is None or row.vm is None:
            raise NotFound(f"agent {agent} has no machine")
        return self._machines.shell(row.vm)

    def take_orders(self) -> None:
        """There is no architect: a person says by `order` what it would. Agents of before a restart are watched again."""
        self._roster.add(ARCHITECT, Role.ARCHITECT)
        self._resume_workers()

    def order(self, order: str, tool: str, params: Mapping[str, Any]) -> dict[str, Any]:
        """Execute a swarm tool for a person, once per `order`: {"ok", "text"}, as an architect would read it."""
        return self._desk.order(order, tool, params)

    def look(self) -> None:
        """Write down what time alone has changed in the agents' states."""
        self._roster.refresh()

    def close(self) -> None:
        """Stop watching and close all lines; machines and agents live on."""
        self._stop_watching()
        self._bench.close()
        self._background.shutdown(wait=True, cancel_futures=True)
        self._machines.close()

    def teardown(self) -> None:
        """Delete all machines of the build's agents and revoke their bearers. Idempotent.

        Raises:
            BotError: a machine could not be deleted, after all were tried.
        """
        self._stop_watching()
        self._bench.close()
        self._fleet.revoke_bearers(self._run)
        try:
            self._machines.delete_all()
        finally:
            self.close()

    # The architect ---------------------------------------------------------------------------------

    def _start_architect(self, prompt: str) -> None:
        (vm,) = self._machines.take([_FIRST])
        self._roster.add(ARCHITECT, Role.ARCHITECT)
        self._roster.placed(ARCHITECT, vm)
        if self._architect_line is not None:
            self._architect_line.result()
        watch = self._enlist(ARCHITECT, vm)
        watch.expect(PROMPT)
        try:
            self._daemon(vm).deliver(PROMPT, rpc.prompt(PROMPT, prompt))
        except PiGone:  # the watch reads why, and the build ends with that reason
            watch.unexpect(PROMPT)
        self._roster.tasked(ARCHITECT, 1)
        self._roster.changed(ARCHITECT)

    def _serve(self) -> str:
        """Until the architect has ended; why it was stopped, if it was."""
        warmed = False
        while True:
            self._runs.check_cancelled(self._run)
            if self._stopping.is_set():
                raise Transient("the swarm was closed while it was building")
            self._roster.refresh()
            if self._roster.view(ARCHITECT).state.ended:
                return ""
            watch = self._roster.watch(ARCHITECT)
            if not warmed and watch is not None and watch.progress.ready:
                self._bench.warm()  # not before: the workers' start would slow the architect's
                warmed = True
            self._pass_on()
            if self._now() > self._limits.run_deadline + self._outside.paused_s():
                self._abort_architect()
                return "the build did not finish within its time limit"
            self._roster.wait(_LOOK_EVERY_S if warmed else _LOOK_FOR_READY_S)

    def _pass_on(self) -> None:
        """What people say reaches the architect after its present tool call, which is why a wait ends early."""
        vm = self._roster.view(ARCHITECT).vm
        for message in self._outside.messages():
            if message.id not in self._told and vm is not None:
                try:
                    self._daemon(vm).deliver(message.id, rpc.steer(message.id, message.text))
                except PiGone:
                    return  # its watch sees that, too
                self._told.add(message.id)
                self._hurry.set()

    def _abort_architect(self) -> None:
        vm = self._roster.view(ARCHITECT).vm
        try:
            if vm is not None:
                self._daemon(vm).deliver("abort-1", rpc.abort("abort-1"))
        except BotError as error:  # its machine is deleted soon anyway
            log.warning("the architect could not be told to stop: %s", error, extra={"run": self._run})

    # Agents ----------------------------------------------------------------------------------------

    def _daemon(self, vm: VmId) -> Daemon:
        return Daemon(self._machines.shell(vm))

    def _seed(self, vm: VmId) -> None:
        """Place what the build starts from. Before pi starts, which reads the repository's instructions as it does."""
        if vm not in self._seeded and self._start.files:
            packed = pack({file.path: file for file in self._start.files}, self._now())
            self._machines.shell(vm).write_tree(WORKSPACE, packed, owner="agent")
            self._seeded.add(vm)

    def _start_pi(self, vm: VmId) -> None:
        self._seed(vm)
        daemon = self._daemon(vm)
        daemon.start(model=self._limits.model, thinking=self._limits.thinking)
        daemon.wait_ready()

    def _enlist(self, label: AgentLabel, vm: VmId) -> Watch:
        """Give a machine to an agent, unless that was done before, and watch it.

        The bearer is written to the machine once only: replacing it later would refuse a call that is on its way.
        """
        row = self._roster.row(label)
        resumed = row is not None and row.pi_start == START
        if not resumed:
            self._seed(vm)
            bearer = self._new_secret()
            digest = hashlib.sha256(bearer.encode()).hexdigest()
            self._fleet.update_agent(self._run, label, vm=vm, bearer_sha256=digest)
            self._daemon(vm).start(
                model=self._limits.model,
                thinking=self._limits.thinking,
                bearer=bearer,
                identity=self._identity(label, vm),
            )
            self._fleet.update_agent(self._run, label, pi_start=START)
        if (watch := self._roster.watch(label)) is None:
            watch = self._watch(label, vm, resumed=resumed)
        return watch

    def _watch(self, label: AgentLabel, vm: VmId, *, resumed: bool) -> Watch:
        watch = Watch(
            label, vm,
            line=lambda: self._machines.shell(vm),
            exists=lambda: self._machines.exists(vm),
            limits=WatchLimits(self._limits.stall_s, self._limits.lost_s),
            now=self._now,
            on_dialog=self._desk.take,
            on_change=self._roster.changed,
            resumed=resumed,
        )  # fmt: skip
        for command in self._delivered_tasks(label):
            watch.expect(command)
        self._roster.watched(label, watch)
        watch.start()
        return watch

    def _delivered_tasks(self, label: AgentLabel) -> list[str]:
        calls = (call for call in self._fleet.calls(self._run) if call.params.get("agentId") == label)
        return [f"task-{call.dialog}" for call in calls if call.tool == "vers_swarm_task" and succeeded(call)]

    def _identity(self, label: AgentLabel, vm: VmId) -> Identity:
        root = self._roster.view(ARCHITECT).vm or vm
        return Identity(
            vmId=vm,
            agentId=label,
            rootVmId=root,
            parentVmId=root if label != ARCHITECT else "",
            depth=0 if label == ARCHITECT else 1,
            maxDepth=1,
            maxVms=self._limits.max_agents,
            createdAt=datetime.fromtimestamp(self._now(), UTC).isoformat(timespec="seconds"),
        )

    def _resume_workers(self) -> None:
        """Watch the workers of before a restart. Those that were not settled in are by their call, which comes again."""
        alive = set(self._machines.of_agents().values())
        for row in self._fleet.agents(self._run):
            settled = row.role is Role.WORKER and row.pi_start == START and row.vm in alive
            if settled and row.vm is not None and self._roster.watch(row.agent) is None:
                self._watch(row.agent, row.vm, resumed=True)

    def _ask_to_stop(self) -> None:
        self._stopping.set()
        self._desk.close()
        for watch in self._roster.watches():
            watch.ask_to_stop()

    def _stop_watching(self) -> None:
        self._ask_to_stop()
        for watch in self._roster.watches():
            watch.stop()

    # The end ---------------------------------------------------------------------------------------

    def _outcome(self, stopped: str) -> SwarmOutcome:
        architect = self._roster.view(ARCHITECT)
        watch = self._roster.watch(ARCHITECT)
        state = AgentState.FAILED if stopped else architect.state
        reason = stopped or architect.reason
        return SwarmOutcome(
            agents=tuple(self._roster.paid_views()),
            architect_state=state,
            architect_vm=architect.vm,
            reason=f"the architect {state}: {reason}"
            if state is not AgentState.DONE and not stopped
            else reason,
            last_text=watch.progress.last_text if watch else "",
            commands=tuple(self._commands()),
            tasks=tuple(
                GaveTask(label, at) for _, labels, at, _ in self._swarm_calls("task") for label in labels
            ),
            waits=tuple(Waited(labels, at, until) for _, labels, at, until in self._swarm_calls("wait")),
        )

    def _commands(self) -> list[RanCommand]:
        return [
            RanCommand(watch.agent, ran.name, ran.doing, ran.started_s + offset, ran.ended_s + offset)
            for watch in self._roster.watches()
            for offset in (watch.clock_offset_s,)
            for ran in watch.progress.tool_runs
            if not ran.name.startswith("vers_")
        ]

    def _swarm_calls(self, verb: str) -> list[tuple[str, tuple[AgentLabel, ...], float, float]]:
        watch = self._roster.watch(ARCHITECT)
        if watch is None:
            return []
        offset, workers = watch.clock_offset_s, tuple(self._roster.labels(Role.WORKER))
        return [
            (
                ran.name,
                tuple(AgentLabel(name) for name in ran.agents) or workers,
                ran.started_s + offset,
                ran.ended_s + offset,
            )
            for ran in watch.progress.tool_runs
            if ran.name == f"vers_swarm_{verb}"
        ]
