"""The machine tools: scratch machines and snapshots of this swarm, made, copied to and from, and deleted."""

import json
from collections.abc import Callable, Mapping
from pathlib import PurePosixPath
from typing import Any

from bot.agents import collect, params
from bot.agents.bench import Bench
from bot.agents.calls import Heed
from bot.agents.crew import Crew
from bot.agents.home import Home, Homes, MachineHome, owner_on
from bot.agents.lines import WORKSPACE
from bot.agents.machines import SCRATCH, Machines
from bot.agents.outcome import SwarmLimits
from bot.agents.remote import Hands
from bot.agents.roster import ARCHITECT, Roster
from bot.core.artifacts import Limits, inspect
from bot.core.errors import BotError, NotFound, UserError
from bot.core.models import CommitId, VmId
from bot.pipeline.journal.fleet import Fleet, ToolCall

_COPY_LIMITS = Limits(max_file_bytes=64 << 20, max_total_bytes=64 << 20)
_MAKERS = ("vers_vm_create", "vers_vm_branch", "vers_vm_restore")


class VmTools:
    """Executes `vers_vms` and `vers_vm_…`. Only machines of this swarm exist for them, by id or by the label of an agent."""

    def __init__(
        self,
        *,
        limits: SwarmLimits,
        fleet: Fleet,
        roster: Roster,
        machines: Machines,
        bench: Bench,
        crew: Crew,
        homes: Homes,
        golden: CommitId,
        now: Callable[[], float],
    ) -> None:
        self._limits = limits
        self._fleet = fleet
        self._roster = roster
        self._machines = machines
        self._bench = bench
        self._crew = crew
        self._golden = golden
        self._now = now
        self._homes = homes
        hands = Hands(machines=machines, homes=homes, which=self._which)
        self.tools: Mapping[str, Callable[[ToolCall, Heed], str]] = {
            "vers_vms": self._list,
            "vers_vm_create": self._create,
            "vers_vm_delete": self._delete,
            "vers_vm_branch": self._branch,
            "vers_vm_commit": self._commit,
            "vers_vm_restore": self._restore,
            "vers_vm_state": self._state,
            "vers_vm_use": self._use,
            "vers_vm_local": lambda _call, _heed: "read, bash, edit and write work on your own machine.",
            "vers_vm_copy": self._copy,
            "vm_exec": hands.exec,
            "vm_fetch": hands.fetch,
            "vm_store": hands.store,
        }

    def plan(self, tool: str) -> Mapping[str, Any]:
        """What the new machine of a call will be called, fixed once, so that a repeated call means the same machine."""
        if tool not in _MAKERS:
            return {}
        run = self._roster.run
        used = {row.purpose for row in self._fleet.machines(run, live=False)}
        used |= {str(call.params.get("_purpose")) for call in self._fleet.calls(run)}
        number = next(n for n in range(1, len(used) + 2) if f"{SCRATCH}{n}" not in used)
        return {"_purpose": f"{SCRATCH}{number}"}

    # Machines --------------------------------------------------------------------------------------

    def _list(self, call: ToolCall, _heed: Heed) -> str:
        owners = {view.vm: view.label for view in self._roster.views()}
        rows = []
        for purpose, vm in self._machines.all().items():
            if vm in owners or purpose.startswith(SCRATCH):
                whose = {"agentId": owners[vm]} if vm in owners else {"role": "scratchpad"}
                rows.append({"vmId": vm, **whose, "state": self._state_of(vm), "yours": vm == call.vm})
        return json.dumps({"vms": rows, "commits": self._machines.commits()}, indent=1)

    def _state_of(self, vm: VmId) -> str:
        try:
            return self._machines.state(vm)
        except NotFound:
            return "gone"
        except BotError:
            return "unknown"

    def _create(self, call: ToolCall, _heed: Heed) -> str:
        wish = params.read(params.CreateVm, call.params)
        purpose = self._room(call)
        vm = self._machines.create(
            purpose, memory_mib=wish.mem_size_mib, disk_mib=wish.fs_size_mib, vcpus=wish.vcpu_count
        )
        return self._settled(purpose, vm)

    def _delete(self, call: ToolCall, _heed: Heed) -> str:
        vm = self._scratch(call)
        self._machines.delete(vm)
        return f"Machine {vm} is deleted."

    def _branch(self, call: ToolCall, _heed: Heed) -> str:
        purpose = self._room(call)
        vm, told = self._at_rest(call)
        commit = self._machines.commit(vm, self._commit_name(call))
        (made,) = self._machines.take([purpose], commit)
        return self._settled(purpose, made, told)

    def _commit(self, call: ToolCall, _heed: Heed) -> str:
        vm, told = self._at_rest(call)
        commit = self._machines.commit(vm, self._commit_name(call))
        return json.dumps({"commitId": commit} | ({"note": told} if told else {}))

    def _restore(self, call: ToolCall, _heed: Heed) -> str:
        wish = params.read(params.Restore, call.params)
        known = [*self._machines.commits(), self._golden]
        if wish.commitId not in known:
            raise UserError(
                f"{wish.commitId!r} is no snapshot of this swarm. Its snapshots are: {', '.join(known)}."
            )
        purpose = self._room(call)
        (vm,) = self._machines.take([purpose], CommitId(wish.commitId))
        return self._settled(purpose, vm)

    def _state(self, call: ToolCall, _heed: Heed) -> str:
        wish = params.read(params.VmStateWanted, call.params)
        vm = self._scratch(call)
        self._machines.set_paused(vm, paused=wish.state == "Paused")
        return f"Machine {vm} is {self._machines.state(vm)}."

    def _use(self, call: ToolCall, _heed: Heed) -> str:
        vm = self._other(call)
        folder = WORKSPACE
        self._machines.shell(vm).run(f"mkdir -p {folder}")
        user = owner_on(self._machines.shell(vm))
        return json.dumps({"vmId": vm, "folder": folder, "user": user})

    def _copy(self, call: ToolCall, _heed: Heed) -> str:
        wish = params.read(params.Copy, call.params)
        vm, home = self._other(call), self._homes.of(call)
        there = MachineHome(self._machines.shell(vm), self._now)
        local, remote = collect.relative(wish.localPath, home.where), collect.relative(wish.remotePath)
        if wish.direction == "to_vm":
            return self._transfer((home, local), (there, remote))
        return self._transfer((there, remote), (home, local))

    def _transfer(self, source: tuple[Home, str], target: tuple[Home, str]) -> str:
        """Files and folders by the rules for artifacts: regular files of the workspace, no links, nothing that steers agents."""
        found = inspect(source[0].tree(source[1]), limits=_COPY_LIMITS)
        wanted = {
            self._renamed(file.path, source[1], target[1]): file
            for file in found.files
            if not source[1] or file.path == source[1] or file.path.startswith(source[1] + "/")
        }
        left_out = [row for row in found.left_out if not source[1] or row.path.startswith(source[1])]
        if not wanted and not left_out:
            raise UserError(f"There is no {source[0].where}/{source[1]} to copy.")
        if wanted:
            target[0].put(wanted)
        lines = [f"{len(wanted)} files were copied to {target[0].where}/{target[1]}."]
        return "\n".join([*lines, *(f"Left out: {row.path}: {row.reason}." for row in left_out)])

    @staticmethod
    def _renamed(path: str, source: str, target: str) -> str:
        inner = path if not source else str(PurePosixPath(path).relative_to(source))
        whole = PurePosixPath(target or ".") / ("" if inner == "." else inner)
        return collect.relative(str(whole))

    # What may be done to which ---------------------------------------------------------------------

    def _which(self, given: str) -> VmId:
        by_label = {str(view.label): view.vm for view in self._roster.views() if view.vm}
        ours = set(self._machines.all().values())
        vm = by_label.get(given) or VmId(given)
        if vm not in ours:
            raise UserError(
                f"{given!r} is no machine of this swarm. vers_vms lists them; an agent's label will do, too."
            )
        return vm

    def _other(self, call: ToolCall) -> VmId:
        vm = self._which(params.read(params.OfVm, call.params).vmId)
        if vm == call.vm:
            raise UserError("That is your own machine: use vers_vm_local.")
        return vm

    def _scratch(self, call: ToolCall) -> VmId:
        vm = self._which(params.read(params.OfVm, call.params).vmId)
        if vm not in self._machines.of_scratch().values():
            raise UserError(
                "That is the machine of an agent: stop it with vers_swarm_stop, or remove it with vers_swarm_teardown."
            )
        return vm

    def _at_rest(self, call: ToolCall) -> tuple[VmId, str]:
        """The machine, with no pi on it and no bearer; what that meant for its agent."""
        vm = self._which(params.read(params.OfVm, call.params).vmId)
        label = next((view.label for view in self._roster.views() if view.vm == vm), None)
        if label is None:
            return vm, ""
        if label == ARCHITECT:
            raise UserError(
                "Your own machine cannot be copied, because your pi would have to be stopped first. Make another with "
                "vers_vm_create and bring your files there with vers_vm_copy."
            )
        return vm, self._crew.retire(label, vm)

    def _commit_name(self, call: ToolCall) -> str:
        return f"swarm-run-{call.run}-{call.dialog}"[:96]

    def _room(self, call: ToolCall) -> str:
        """The purpose of the machine that a call makes, if there is room for it."""
        purpose = str(call.params["_purpose"])
        if purpose not in self._machines.of_scratch():
            taken = len(self._machines.all())
            if taken >= self._limits.max_agents:
                self._bench.make_room(taken - self._limits.max_agents + 1)
                taken = len(self._machines.all())
            if taken >= self._limits.max_agents:
                raise UserError(
                    f"This swarm may have {self._limits.max_agents} machines at once and has {taken}, yours included: delete one "
                    "with vers_vm_delete, or remove finished workers with vers_swarm_teardown first."
                )
        return purpose

    def _settled(self, purpose: str, vm: VmId, told: str = "") -> str:
        try:
            self._crew.introduce(purpose, vm)
        except NotFound:
            raise UserError(f"Machine {vm} went before it could be used.") from None
        return json.dumps({"vmId": vm} | ({"note": told} if told else {}))
