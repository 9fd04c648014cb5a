"""One build's swarm: its machines, its agents, their tool calls, until the architect settles."""

import logging
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from bot.agents import rpc
from bot.agents.bench import Bench
from bot.agents.calls import CallDesk
from bot.agents.conventions import Conventions
from bot.agents.crew import Crew
from bot.agents.daemon import START, PiGone
from bot.agents.gather import Gather
from bot.agents.home import Homes
from bot.agents.lines import Lines
from bot.agents.machines import PURPOSE, Machines
from bot.agents.outcome import GaveTask, RanCommand, SwarmLimits, SwarmOutcome, Waited
from bot.agents.outside import Outside
from bot.agents.pool import Pool
from bot.agents.replacing import Replacing
from bot.agents.roster import ARCHITECT, Roster
from bot.agents.spawning import Spawning
from bot.agents.tasking import Tasking
from bot.agents.tools import Tools, message_for
from bot.agents.vmtools import VmTools
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
_LOOK_EVERY_S = 1.0


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
        self._outside = outside or Outside()
        self._told: set[str] = set()
        self._start = NOTHING
        self._stopping = threading.Event()
        self._background = ThreadPoolExecutor(max_workers=4, thread_name_prefix="swarm")
        self._ahead: Future[None] | None = None
        self._machines = Machines(
            run, golden=golden, deployment=limits.deployment, provider=provider, connect=connect,
            fleet=fleet, lines=lines, now=now,
        )  # fmt: skip
        self._roster = Roster(run, runs=runs, fleet=fleet, usage=usage, now=now)
        homes = Homes(self._machines, now)
        tasking = Tasking(fleet=fleet, roster=self._roster, machines=self._machines, texts=texts)
        self._crew = Crew(
            run, limits=limits, fleet=fleet, roster=self._roster, machines=self._machines, tasking=tasking,
            now=now, new_secret=new_secret, start=lambda: self._start,
        )  # fmt: skip
        self._bench = Bench(self._machines, self._crew.start_pi)
        vmtools = VmTools(
            limits=limits, fleet=fleet, roster=self._roster, machines=self._machines, bench=self._bench,
            crew=self._crew, homes=homes, golden=golden, now=now,
        )  # fmt: skip
        spawning = Spawning(
            run, golden=golden, limits=limits, fleet=fleet, roster=self._roster, machines=self._machines,
            bench=self._bench, enlist=self._crew.enlist, money_left=lambda: usage.cap_microusd - usage.committed_microusd(run), now=now,
        )  # fmt: skip
        gather = Gather(roster=self._roster, machines=self._machines, start=lambda: self._start)
        self._replacing = Replacing(
            run, runs=runs, roster=self._roster, machines=self._machines, bench=self._bench, tasking=tasking, homes=homes,
            enlist=self._crew.enlist, profile=spawning.profile, background=self._background,
        )  # fmt: skip
        pool = Pool(
            fleet=fleet, roster=self._roster, spawning=spawning, tasking=tasking, gather=gather, homes=homes,
            stopping=self._stopping, message_for=lambda agent: message_for(self._roster, agent),
            pending=self._replacing.pending,
        )  # fmt: skip
        self._conventions = Conventions(
            roster=self._roster, machines=self._machines, tasking=tasking, now=now
        )
        self._tools = Tools(
            roster=self._roster, machines=self._machines, spawning=spawning, pool=pool, vmtools=vmtools,
            replacing=self._replacing, tasking=tasking, gather=gather, homes=homes,
            rediscover=self._crew.rediscover, now=now, stopping=self._stopping,
            before_spawn=self._outside.before_spawn, farewell=self._outside.farewell,
        )  # fmt: skip
        self._desk = CallDesk(
            run, fleet=fleet, plan=self._tools.plan, execute=self._tools.execute, daemon=self._crew.daemon
        )
        self._crew.desk = self._desk

    # Steps of a build ------------------------------------------------------------------------------

    def prepare(self, start: Callable[[], Start] = lambda: NOTHING) -> None:
        """Branch the architect's machine; start pi on it and on the workers' machines in the background. Idempotent.

        Args:
            start: fetches what lies in every agent's workspace before it begins; called in the background.

        Raises:
            BotError: there is no machine for the architect.
        """
        if self._ahead is not None:
            return
        (vm,) = self._machines.take([_FIRST])
        self._ahead = self._background.submit(self._start_ahead, vm, start)
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
        self.prepare(lambda: start)
        try:
            self._runs.check_cancelled(self._run)
            self._start_architect(prompt)
            self._crew.resume_workers()
            self._conventions.start()
            return self._outcome(self._serve())
        finally:
            self._ask_to_stop()

    def steer(self, text: str, message: str) -> None:
        """Turn the architect while it works: it reads `text` as soon as its open tool calls have ended, and a wait ends.

        Delivered once, however often this is repeated with the same `message` id (letters, digits and dashes).

        Raises:
            NotFound: there is no architect.
            BotError: it takes no messages any more.
        """
        vm = self._roster.view(ARCHITECT).vm if ARCHITECT in self._roster.labels() else None
        if vm is None:
            raise NotFound("this build has no architect yet")
        command = f"steer-{message}"
        watch = self._roster.watch(ARCHITECT)
        if watch is not None:
            watch.expect(command)
        try:
            self._crew.daemon(vm).deliver(command, rpc.prompt(command, text, steer=True))
        except BotError:
            if watch is not None:
                watch.unexpect(command)
            raise

    def present(self) -> list[AgentLabel]:
        """The agents whose machines are there."""
        there = set(self._machines.all().values())
        return [row.agent for row in self._fleet.agents(self._run) if row.vm in there]

    def shell_of(self, agent: AgentLabel) -> Shell:
        """The line to an agent's machine.

        Raises:
            NotFound: no such agent, or it has no machine.
        """
        row = self._roster.row(agent)
        if row is None or row.vm is None:
            raise NotFound(f"agent {agent} has no machine")
        return self._machines.shell(row.vm)

    def was_told(self, message: str) -> bool:
        """Whether the architect has got a message from outside, by its id."""
        return message in self._told

    def take_orders(self) -> None:
        """There is no architect: a person says by `order` what it would. Agents of before a restart are watched again."""
        self._roster.add(ARCHITECT, Role.ARCHITECT)
        self._crew.resume_workers()

    def order(self, order: str, tool: str, params: Mapping[str, Any]) -> dict[str, Any]:
        """Execute a swarm tool for a person, once per `order`: {"ok", "text"}, as an architect would read it.

        `_folder` among the parameters is the folder of this computer that stands for an architect's workspace.
        """
        return self._desk.order(order, tool, params)

    def withdraw(self, order: str) -> None:
        """Nobody waits for an order any more: what it does ends soon."""
        self._desk.withdraw(order)

    def look(self) -> None:
        """Write down what time alone has changed in the agents' states, and replace whoever was lost."""
        self._roster.refresh()
        self._replacing.look()

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

    def _start_ahead(self, vm: VmId, start: Callable[[], Start]) -> None:
        """The line, the files, pi: ready when the prompt is. The workers' pi comes after, or it would slow the architect's."""
        self._machines.shell(vm)
        row = self._roster.row(ARCHITECT)
        if row is None or row.pi_start != START:  # else it is at work, and its files are its own
            self._start = start()
            self._crew.start_pi(vm, Role.ARCHITECT)
        self._bench.warm()

    def _start_architect(self, prompt: str) -> None:
        (vm,) = self._machines.take([_FIRST])
        self._roster.add(ARCHITECT, Role.ARCHITECT)
        self._roster.placed(ARCHITECT, vm)
        if self._ahead is not None:
            self._ahead.result()
        watch = self._crew.enlist(ARCHITECT, vm)
        watch.expect(PROMPT)
        try:
            self._crew.daemon(vm).deliver(PROMPT, rpc.prompt(PROMPT, prompt))
        except PiGone:  # the watch reads why, and the build ends with that reason
            watch.unexpect(PROMPT)
        self._roster.tasked(ARCHITECT, 1)
        self._roster.changed(ARCHITECT)

    def _serve(self) -> str:
        """Until the architect has ended; why it was stopped, if it was."""
        while True:
            self._runs.check_cancelled(self._run)
            if self._stopping.is_set():
                raise Transient("the swarm was closed while it was building")
            self._roster.refresh()
            self._replacing.look()
            if self._roster.view(ARCHITECT).state.ended:
                return ""
            self._pass_on()
            if self._now() > self._limits.run_deadline + self._outside.paused_s():
                self._abort_architect()
                return "the build did not finish within its time limit"
            self._roster.wait(_LOOK_EVERY_S)

    def _pass_on(self) -> None:
        """What people say reaches the architect after its present tool call, which is why a wait ends early."""
        for message in self._outside.messages():
            if message.id not in self._told:
                try:
                    self.steer(message.text, message.id)
                except PiGone:
                    return  # its watch sees that, too
                self._told.add(message.id)

    def _abort_architect(self) -> None:
        vm = self._roster.view(ARCHITECT).vm
        try:
            if vm is not None:
                self._crew.daemon(vm).deliver("abort-1", rpc.abort("abort-1"))
        except BotError as error:  # its machine is deleted soon anyway
            log.warning("the architect could not be told to stop: %s", error, extra={"run": self._run})

    def _ask_to_stop(self) -> None:
        self._stopping.set()
        self._desk.close()
        for watch in self._roster.watches():
            watch.ask_to_stop()

    def _stop_watching(self) -> None:
        self._ask_to_stop()
        self._conventions.close()
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
