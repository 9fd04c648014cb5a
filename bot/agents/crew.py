"""How a machine becomes an agent's: pi started with a bearer and an identity of its own, watched, found again, replaced."""

import hashlib
import json
import logging
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime

from bot.agents.calls import CallDesk, succeeded
from bot.agents.collect import pack
from bot.agents.daemon import START, Daemon, Identity
from bot.agents.lines import SWARM_HOME, WORKSPACE
from bot.agents.machines import Machines
from bot.agents.outcome import Profile, SwarmLimits
from bot.agents.roster import ARCHITECT, Roster
from bot.agents.tasking import Tasking, command_of
from bot.agents.watch import Watch, WatchLimits
from bot.core.errors import BotError
from bot.core.models import AgentLabel, AgentState, Role, RunId, VmId
from bot.core.tree import Start
from bot.pipeline.journal.fleet import Fleet

log = logging.getLogger(__name__)


class Crew:
    """The agents' lives. `desk` takes their tool calls; it is set before anybody is enlisted."""

    desk: CallDesk

    def __init__(
        self,
        run: RunId,
        *,
        limits: SwarmLimits,
        fleet: Fleet,
        roster: Roster,
        machines: Machines,
        tasking: Tasking,
        now: Callable[[], float],
        new_secret: Callable[[], str],
        start: Callable[[], Start],
    ) -> None:
        """`start` is what lies in every agent's workspace before it begins."""
        self._run = run
        self._limits = limits
        self._fleet = fleet
        self._roster = roster
        self._machines = machines
        self._tasking = tasking
        self._now = now
        self._new_secret = new_secret
        self._start = start
        self._seeded: set[VmId] = set()

    def daemon(self, vm: VmId) -> Daemon:
        """Pi on a machine."""
        return Daemon(self._machines.shell(vm))

    def start_pi(self, vm: VmId, role: Role = Role.WORKER) -> None:
        """Start pi as most agents of a role have it, before anybody knows whose it will be; returns when it listens."""
        self._seed(vm)
        profile = self._limits.profile(role)
        daemon = self.daemon(vm)
        daemon.start(
            model=profile.model,
            thinking=profile.thinking,
            tools=profile.tools,
            fresh=bool(self._start().files),
        )
        daemon.wait_ready()

    def enlist(self, label: AgentLabel, vm: VmId, profile: Profile | None = None) -> Watch:
        """Give a machine to an agent, unless that was done before, and watch it.

        The bearer is written to the machine once only: replacing it later would refuse a call that is on its way.

        Args:
            label: the agent.
            vm: its machine; pi may run on it already, as most workers have it.
            profile: how this one differs from its role.
        """
        row = self._roster.row(label)
        resumed = row is not None and row.pi_start == START
        if not resumed:
            self._seed(vm)
            role = row.role if row else Role.WORKER
            usual = self._limits.profile(role)
            wanted = profile or usual
            bearer = self._new_secret()
            digest = hashlib.sha256(bearer.encode()).hexdigest()
            self._fleet.update_agent(self._run, label, vm=vm, bearer_sha256=digest)
            daemon = self.daemon(vm)
            if wanted != usual:
                daemon.clean()  # the bench has started it as usual
            daemon.start(
                model=wanted.model,
                thinking=wanted.thinking,
                tools=wanted.tools,
                bearer=bearer,
                identity=self.identity(label, vm),
                fresh=bool(self._start().files),
            )
            self._fleet.update_agent(self._run, label, pi_start=START)
        if (watch := self._roster.watch(label)) is None:
            watch = self._watch(label, vm, resumed=resumed)
        return watch

    def _seed(self, vm: VmId) -> None:
        """Place what the build starts from. Before pi starts, which reads the repository's instructions as it does."""
        files = self._start().files
        if vm not in self._seeded and files:
            packed = pack({file.path: file for file in files}, self._now())
            self._machines.shell(vm).write_tree(WORKSPACE, packed, owner="agent")
            self._seeded.add(vm)

    def resume_workers(self) -> None:
        """Watch the workers of before a restart. Those that were not settled in are by their call, which comes again."""
        alive = set(self._machines.of_agents().values())
        for row in self._fleet.agents(self._run):
            settled = row.role is Role.WORKER and row.pi_start == START and row.vm in alive
            if settled and row.vm is not None and self._roster.watch(row.agent) is None:
                self._watch(row.agent, row.vm, resumed=True)

    def rediscover(self) -> list[AgentLabel]:
        """Follow lost agents again whose machine and pi are there after all."""
        found = []
        alive = set(self._machines.of_agents().values())
        for view in self._roster.views():
            if view.state is not AgentState.LOST or view.vm is None or view.vm not in alive:
                continue
            try:
                there = not self._machines.trouble(view.vm) and self.daemon(view.vm).check().alive
            except BotError as error:
                log.info("%s is still lost: %s", view.label, error, extra={"run": self._run})
                continue
            if there:
                self._watch(view.label, view.vm, resumed=True)
                found.append(view.label)
        return found

    def retire(self, label: AgentLabel, vm: VmId) -> str:
        """End an agent for a snapshot of its machine, which keeps no pi, no bearer and nobody's name; what is to be told."""
        view = self._roster.view(label)
        over = view.state.ended
        self._roster.end(
            label,
            view.state if over else AgentState.FAILED,
            view.reason if over else "its pi was stopped for a snapshot of its machine",
        )
        self._fleet.update_agent(self._run, label, bearer_sha256="")
        self.daemon(vm).clean()
        self.introduce(label, vm)
        return f"The pi of {label} was stopped for this: it takes no more tasks. Its files are there."

    def introduce(self, name: str, vm: VmId) -> None:
        """Write on a machine who it is."""
        text = json.dumps(asdict(self.identity(name, vm)), indent=2) + "\n"
        self._machines.shell(vm).write_file(f"{SWARM_HOME}/identity.json", text.encode())

    def identity(self, name: str, vm: VmId) -> Identity:
        """Who a machine of this swarm is, as `/root/.swarm/identity.json` says."""
        root = self._roster.view(ARCHITECT).vm or vm
        return Identity(
            vmId=vm,
            agentId=name,
            rootVmId=root,
            parentVmId=root if name != ARCHITECT else "",
            depth=0 if name == ARCHITECT else 1,
            maxDepth=1,
            maxVms=self._limits.max_agents,
            createdAt=datetime.fromtimestamp(self._now(), UTC).isoformat(timespec="seconds"),
        )

    def _resume(self, watch: Watch, command: str) -> None:
        watch.expect(command)
        self.desk.submit(self._tasking.resume, watch, command)

    def _watch(self, label: AgentLabel, vm: VmId, *, resumed: bool) -> Watch:
        watch = Watch(
            label, vm,
            line=lambda: self._machines.shell(vm),
            trouble=lambda: self._machines.trouble(vm),
            limits=WatchLimits(self._limits.stall_s, self._limits.lost_s),
            now=self._now,
            on_dialog=self.desk.take,
            on_tools_ended=self.desk.ended,
            on_restart=self._resume,
            on_change=self._roster.changed,
            resumed=resumed,
        )  # fmt: skip
        for call in self._tasking.calls(label):
            if succeeded(call):
                watch.expect(command_of(call))
        self._roster.watched(label, watch)
        watch.start()
        return watch
