"""The machines of one build: branched from the golden image, labelled, connected, deleted. Intents are rows first."""

import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait

import stamina

from bot.agents.lines import Lines
from bot.agents.snapshots import delete_snapshots
from bot.agents.strays import Strays
from bot.core.errors import BotError, NotFound, Transient
from bot.core.models import CommitId, RunId, VmId
from bot.pipeline.journal.fleet import Fleet, VmRow
from bot.vms.base import Connect, Provider, Shell, VmState, labels_of

log = logging.getLogger(__name__)

PURPOSE = "agent-"
"""What an agent's machine is for, with a number behind it; the first is the architect's."""
SCRATCH = "scratch-"
"""What a machine without an agent is for, made by an agent to try something on."""
_TROUBLE = {
    VmState.DEAD: "its machine is gone",
    VmState.PAUSED: "its machine was paused",
    VmState.SLEEPING: "its machine was put to sleep",
}
"""The bot pauses no machine that has an agent: somebody else did."""


class Machines:
    """Branches machines for purposes and keeps one shell per machine. Safe to use from several threads."""

    def __init__(
        self,
        run: RunId,
        *,
        golden: CommitId,
        deployment: str,
        provider: Provider,
        connect: Connect,
        fleet: Fleet,
        lines: Lines,
        now: Callable[[], float],
    ) -> None:
        self._run = run
        self._golden = golden
        self._deployment = deployment
        self._provider = provider
        self._connect = connect
        self._fleet = fleet
        self._lines = lines
        self._now = now
        self._shells: dict[VmId, Shell] = {}
        self._states: dict[VmId, VmState] = {}
        self._gates: dict[VmId, threading.Lock] = {}
        self._lock = threading.Lock()
        self._leaving: dict[VmId, Future[None]] = {}
        self._background = ThreadPoolExecutor(max_workers=8, thread_name_prefix="leave")

    def intend(self, purposes: Sequence[str], commit: CommitId | None = None) -> None:
        """Write down that these machines are wanted, from a snapshot of this run or from the golden image."""
        for purpose in purposes:
            self._fleet.intend(self._run, purpose, commit or self._golden)

    def take(self, purposes: Sequence[str], commit: CommitId | None = None) -> list[VmId]:
        """One machine per purpose, in that order: those that exist, and new ones for the rest.

        A branch whose answer was lost is made again; the machine that it may have left behind carries no label and is found
        by `delete_all`.
        """
        commit = commit or self._golden
        rows = [self._fleet.intend(self._run, purpose, commit) for purpose in purposes]
        missing = [row for row in rows if row.vm is None]
        try:
            self._branch(commit, missing)
        finally:  # those that were named before an error stay, too
            made = self.all()
            for row in missing:
                if row.purpose in made:
                    self._label(made[row.purpose], row.purpose)
        bound = self.all()
        if gone := [purpose for purpose in purposes if purpose not in bound]:
            raise NotFound(f"the machines of this build are deleted: {', '.join(gone)}")
        return [bound[purpose] for purpose in purposes]

    def create(self, purpose: str, *, memory_mib: int, disk_mib: int, vcpus: int) -> VmId:
        """A fresh machine of the provider's default image; the present one if it was made for this purpose before."""
        row = self._fleet.intend(self._run, purpose, CommitId(""))
        if row.vm is None:
            vm = self._provider.create(
                memory_mib=memory_mib, disk_mib=disk_mib, vcpus=vcpus, labels=self._labels(purpose)
            )
            self._fleet.bind(row.intent, vm)
        return self.all()[purpose]

    def _branch(self, commit: CommitId, rows: Sequence[VmRow]) -> None:
        """Give these rows machines. One that was named is bound at once, whatever becomes of the others."""
        left = list(rows)
        for attempt in stamina.retry_context(on=Transient, attempts=4, timeout=90.0):
            with attempt:
                while left:
                    for vm in self._provider.branch(commit, len(left)):
                        self._fleet.bind(left.pop(0).intent, vm)

    def _label(self, vm: VmId, purpose: str) -> None:
        for attempt in stamina.retry_context(on=Transient, attempts=4, timeout=30.0):
            with attempt:
                self._provider.label(vm, self._labels(purpose))

    def _labels(self, purpose: str) -> dict[str, str]:
        return labels_of(self._deployment, run=self._run, agent=purpose)

    # Snapshots -------------------------------------------------------------------------------------

    def commit(self, vm: VmId, name: str) -> CommitId:
        """A snapshot, deleted with the machines of this run; the present one if it was made under this name before."""
        if made := self._fleet.intend_commit(self._run, name):
            return made
        made = next((each.id for each in self._provider.commits() if each.name == name), None)
        made = made or self._provider.commit(vm, name)
        if self._provider.status(vm).state in (VmState.PAUSED, VmState.SLEEPING):
            self._provider.set_paused(vm, paused=False)  # some servers leave it so
        self._fleet.bind_commit(name, made)  # last: whoever finds it need not look after the machine
        return made

    def commits(self) -> list[CommitId]:
        """The snapshots of this run."""
        return [commit for commit in self._fleet.commits(self._run).values() if commit]

    def free_purposes(self, count: int) -> list[str]:
        """Names for machines that were never intended in this run."""
        known = [row.purpose for row in self._fleet.machines(self._run, live=False)]
        numbers = [int(name.removeprefix(PURPOSE)) for name in known if name.startswith(PURPOSE)]
        first = max([*numbers, 1]) + 1
        return [f"{PURPOSE}{number}" for number in range(first, first + count)]

    def of_agents(self) -> dict[str, VmId]:
        """The agents' machines that exist, by purpose."""
        return {purpose: vm for purpose, vm in self.all().items() if purpose.startswith(PURPOSE)}

    def all(self) -> dict[str, VmId]:
        """All machines of this swarm that exist and stay, by purpose; the clean machine is not among them."""
        rows = [row for row in self._fleet.machines(self._run) if row.purpose.startswith((PURPOSE, SCRATCH))]
        return {row.purpose: row.vm for row in rows if row.vm and row.vm not in self._leaving}

    def of_scratch(self) -> dict[str, VmId]:
        """The machines without an agent, by purpose."""
        return {purpose: vm for purpose, vm in self.all().items() if purpose.startswith(SCRATCH)}

    def state(self, vm: VmId) -> VmState:
        """What the provider says of a machine."""
        self._states[vm] = self._provider.status(vm).state
        return self._states[vm]

    def known_state(self, vm: VmId) -> VmState:
        """The state that a machine was last set to or seen in; its provider is asked if there is none."""
        return self._states.get(vm) or self.state(vm)

    def set_paused(self, vm: VmId, *, paused: bool) -> None:
        """Pause a machine, whose line is closed first, or let it go on."""
        if paused:
            self._close_line(vm)
        self._provider.set_paused(vm, paused=paused)
        self._states[vm] = VmState.PAUSED if paused else VmState.RUNNING

    def shell(self, vm: VmId) -> Shell:
        """The line to a machine, with both services forwarded; opened on first use."""
        with self._lock:
            gate = self._gates.setdefault(vm, threading.Lock())
        with gate:
            if (shell := self._shells.get(vm)) is None:
                shell = self._connect(vm)
                self._lines.open_on(shell)
                self._shells[vm] = shell
            return shell

    def trouble(self, vm: VmId) -> str:
        """Why nobody can work on a machine, as its provider says; empty when it runs, and when the provider cannot say."""
        try:
            return _TROUBLE.get(self._provider.status(vm).state, "")
        except NotFound:
            return _TROUBLE[VmState.DEAD]
        except BotError as error:
            log.info("the state of %s is not known: %s", vm, error)
            return ""

    def close(self) -> None:
        """Close all lines, after the deletions that were begun."""
        self._background.shutdown(wait=True)
        with self._lock:
            shells, self._shells = list(self._shells.values()), {}
        for shell in shells:
            shell.close()

    def delete(self, vm: VmId) -> None:
        """Delete a machine and note that it is gone."""
        self._close_line(vm)
        for attempt in stamina.retry_context(on=Transient, attempts=6, timeout=60.0):
            with attempt:
                self._provider.delete(vm)
        self._fleet.gone(vm)

    def leave(self, vm: VmId, first: Callable[[Shell], None]) -> None:
        """Delete a machine in the background: a deletion takes Vers seconds, and nobody needs to wait for it.

        It is none of the swarm's from now on. `first` has a last look at it. If it cannot be deleted, `delete_all` tries again.
        """
        with self._lock:
            if vm not in self._leaving:
                self._leaving[vm] = self._background.submit(self._leave, vm, first)

    def _leave(self, vm: VmId, first: Callable[[Shell], None]) -> None:
        try:
            first(self.shell(vm))
        except BotError as error:
            log.warning("a last look at %s: %s", vm, error)
        self.delete(vm)

    def _close_line(self, vm: VmId) -> None:
        with self._lock:
            shell = self._shells.pop(vm, None)
        if shell is not None:
            shell.close()

    def delete_all(self) -> None:
        """Delete the swarm's machines, in parallel, its snapshots, and what lost answers of this build left behind.

        Raises:
            BotError: the first failure, after all were tried.
        """
        wait(self._leaving.values())
        rows = [row for row in self._fleet.machines(self._run) if row.purpose.startswith((PURPOSE, SCRATCH))]
        bound = [row.vm for row in rows if row.vm]
        unclear = [row for row in rows if row.vm is None]
        failures: list[BotError] = []

        def delete(vm: VmId) -> None:
            try:
                self.delete(vm)
            except BotError as error:
                failures.append(error)

        with ThreadPoolExecutor(max_workers=8) as pool:
            list(pool.map(delete, bound))
        for stray in self._strays(failures):
            delete(stray)
        for row in unclear:
            self._fleet.abandon(row.intent)
        failures += delete_snapshots(self._provider, self._fleet, self._run)
        if failures:
            raise failures[0]

    def _strays(self, failures: list[BotError]) -> list[VmId]:
        try:
            return Strays(self._run, self._golden, self._provider, self._fleet, self._now).find()
        except BotError as error:
            failures.append(error)
            return []
