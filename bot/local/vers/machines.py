"""The machines of one server: create, branch, commit, pause, delete, and the ways into them."""

import contextlib
import select
import socket
import subprocess
import threading
import time
import uuid
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from bot.core.errors import NotFound, Permanent
from bot.local.vers.faults import FaultKind, FaultTable
from bot.local.vers.habits import Habits
from bot.local.vers.layout import Layout
from bot.local.vers.line import LabError, LabLine
from bot.local.vers.machine import Machine, State, prepare_folder
from bot.local.vers.store import Commit, Organisation, Size, Store, now

_BOOT_LIMIT_S = 60.0
_PARALLEL_BOOTS = 8
_FLATTEN_ABOVE = 100
"""Layers of a chain, above which a commit is copied as one (an overlay mount takes about 150)."""


class StillUsed(Exception):
    """A commit with live machines cannot go."""


@dataclass(frozen=True, slots=True)
class Owner:
    """Who asks: an organisation, and which of its keys."""

    org: str
    key: str


@dataclass(frozen=True, slots=True)
class _Start:
    """What new machines start from."""

    layers: list[str]
    size: Size
    commit: str | None = None
    parent_vm: str | None = None


class Machines:
    """All machines of this server. Thread-safe; operations on one machine follow one another."""

    def __init__(
        self,
        layout: Layout,
        store: Store,
        line: LabLine,
        base: Path,
        faults: FaultTable,
        *,
        habits: Habits,
        flatten_above: int = _FLATTEN_ABOVE,
    ) -> None:
        self._layout, self._store, self._line, self._faults = layout, store, line, faults
        self._base = base
        self._habits = habits
        self._flatten_above = flatten_above
        self._lock = threading.Lock()
        self._machines: dict[str, Machine] = {}
        self._boots = ThreadPoolExecutor(_PARALLEL_BOOTS, thread_name_prefix="boot")
        self.created = 0
        """How many machines this server has made, for tests of lost answers."""

    # --- life -------------------------------------------------------------------------------------------------------

    def create(
        self, owner: Owner, organisation: Organisation, size: Size, labels: Mapping[str, str] | None
    ) -> Machine:
        """A fresh machine from the base tree, `booting` until its sshd answers."""
        start = _Start([str(self._base.relative_to(self._layout.root))], size)
        machine = self._register([self._new(owner, start)], start)[0]
        machine.labels = dict(labels) if labels is not None else None
        machine.state = State.BOOTING
        try:
            self._boot(machine, start, variables=organisation.variables)
        except BaseException:
            self.delete(machine)
            raise
        threading.Thread(target=self._await_boot, args=(machine,), daemon=True).start()
        return machine

    def branch(self, owner: Owner, commit: Commit, count: int) -> list[Machine]:
        """Machines from a commit, `running` at once (their sshd needs a moment). No variables, and labels only by habit."""
        start = _Start(commit.layers, commit.size, commit.id, commit.parent_vm)
        machines = self._register([self._new(owner, start) for _ in range(count)], start)
        if self._habits.inherits_labels:
            for machine in machines:
                machine.labels = dict(commit.labels) if commit.labels is not None else None
        boots = [self._boots.submit(self._boot, machine, start) for machine in machines]
        failures = [error for boot in boots if (error := boot.exception())]
        if failures:
            for machine in machines:
                self.delete(machine)
            raise failures[0]
        return machines

    def _new(self, owner: Owner, start: _Start) -> Machine:
        identity = str(uuid.uuid4())
        return Machine(
            id=identity,
            org=owner.org,
            owner=owner.key,
            created_at=now(),
            size=start.size,
            layers=start.layers,
            parent_commit=start.commit,
            grandparent_vm=start.parent_vm,
            folder=self._layout.root / self._line.run / "vms" / identity,
        )

    def _register(self, machines: list[Machine], start: _Start) -> list[Machine]:
        with self._store.change() as books:  # so that nobody deletes the commit's layers meanwhile
            if start.commit and start.commit not in books.commits:
                raise NotFound("commit not found")
            for machine in machines:
                machine.promise()
        with self._lock:
            self._machines |= {machine.id: machine for machine in machines}
            self.created += len(machines)
        return machines

    def _boot(self, machine: Machine, start: _Start, variables: Mapping[str, str] | None = None) -> None:
        prepare_folder(machine, self._base / "etc/environment", variables, forwarding=self._habits.forwarding)
        fault = self._faults.take(f"BOOT {machine.id}", FaultKind.DELAY)
        time.sleep(fault.seconds if fault else 0)
        reply, descriptors = self._line.request(
            "create",
            id=machine.id,
            run=self._line.run,
            folder=str(machine.folder.relative_to(self._layout.root)),
            lowers=start.layers,
            hostname=machine.hostname,
            authorized_key=machine.public_key,
            limits={
                "memory.max": str(machine.size.mem_size_mib << 20),
                "memory.swap.max": "0",
                "pids.max": "4096",
            },
            fresh_host_keys=self._habits.fresh_host_keys,
            prefix=self._line.prefix,
        )
        machine.address = reply["address"]
        machine.started(descriptors[0], self._line.run)

    def _await_boot(self, machine: Machine) -> None:
        deadline = time.monotonic() + _BOOT_LIMIT_S
        while machine.state is State.BOOTING and time.monotonic() < deadline:
            with contextlib.suppress(LabError, OSError), self._line.dial(machine.address, 22) as line:
                line.settimeout(5)
                if line.recv(4) == b"SSH-":
                    break
            if machine.wait_ended(0.02):
                break
        machine.booted()

    def get(self, org: str, identity: str) -> Machine:
        """A machine of an organisation.

        Raises:
            NotFound: there is none, or it is another organisation's.
        """
        with self._lock:
            machine = self._machines.get(identity)
        if machine is None or machine.org != org:
            raise NotFound("vm not found")
        return machine

    def anyones(self, identity: str) -> Machine:
        """A machine by its id alone: at the front, the name is all there is.

        Raises:
            NotFound: there is none.
        """
        with self._lock:
            machine = self._machines.get(identity.lower())
        if machine is None:
            raise NotFound("vm not found")
        return machine

    def listed(self, org: str | None = None) -> list[Machine]:
        """All machines (of one organisation), oldest first."""
        with self._lock:
            return [machine for machine in self._machines.values() if org in {None, machine.org}]

    def delete(self, machine: Machine) -> None:
        """Kill it and forget its disk."""
        with machine.lock:
            with self._lock:
                if self._machines.pop(machine.id, None) is None:
                    return
            machine.kill()
            trash = self._layout.root / self._line.run / "trash"
            trash.mkdir(exist_ok=True)
            if machine.folder.exists():
                machine.folder.rename(trash / machine.id)
        threading.Thread(target=_remove, args=(trash / machine.id,), daemon=True).start()

    # --- snapshots --------------------------------------------------------------------------------------------------

    def commit(
        self, machine: Machine, *, name: str | None, description: str | None, keep_paused: bool
    ) -> Commit:
        """Copy the machine's disk while all its processes stand still."""
        layer = uuid.uuid4().hex[:12]
        staging = self._layout.root / self._line.run / "staging" / layer
        staging.parent.mkdir(exist_ok=True)
        with machine.lock:
            was_paused = machine.state is not State.RUNNING
            machine.freeze(frozen=True)
            try:
                _copy(machine.folder / "up", staging)
            finally:
                if keep_paused or was_paused or self._habits.commit_pauses:
                    machine.state = State.PAUSED if machine.state is State.RUNNING else machine.state
                else:
                    machine.freeze(frozen=False)
        layers = [f"layers/{layer}", *machine.layers]
        if len(layers) > self._flatten_above:
            self._flatten(staging, machine.layers)
            layers = layers[:1]
        commit = Commit(
            id=str(uuid.uuid4()),
            org=machine.org,
            owner=machine.owner,
            name=name or f"commit-{layer}",
            description=description,
            created_at=now(),
            parent_vm=machine.id,
            grandparent_commit=machine.parent_commit,
            layers=layers,
            size=machine.size,
            labels=machine.labels,
        )
        with self._store.change() as books:
            staging.rename(self._layout.layers / layer)
            books.commits[commit.id] = commit
        return commit

    def _flatten(self, staging: Path, below: Sequence[str]) -> None:
        """Replace a copied layer by the whole merged tree. The mount lives in a namespace of this command alone."""
        merged, flat = staging.with_suffix(".merged"), staging.with_suffix(".flat")
        merged.mkdir()
        lowers = ":".join([str(staging.relative_to(self._layout.root)), *below])
        script = 'mount -t overlay overlay -o "ro,redirect_dir=on,lowerdir=$1" "$2" && cp -a "$2" "$3"'
        subprocess.run(
            ["unshare", "--mount", "sh", "-c", script, "sh", lowers, str(merged), str(flat)],
            check=True,
            cwd=self._layout.root,
        )
        _remove(staging)
        flat.rename(staging)

    def delete_commit(self, commit: Commit) -> None:
        """Remove a snapshot, and its layers when nothing else needs them.

        Raises:
            StillUsed: machines of it are alive, on this server or another one of this cache.
        """
        with self._store.change() as books:
            users = sum(machine.commit == commit.id for machine in self._store.live_machines())
            if users:
                raise StillUsed(f"commit still has {users} active VM(s)")
            books.commits.pop(commit.id, None)
            for organisation in books.organisations.values():
                for names in (organisation.tags, *(r.tags for r in organisation.repositories.values())):
                    for tag in [tag for tag in names.values() if tag.commit == commit.id]:
                        del names[tag.name]
            self._store.collect_garbage(books)

    # --- ways in ----------------------------------------------------------------------------------------------------

    def dial(self, machine: Machine, port: int, client: socket.socket) -> socket.socket:
        """A connection to a port of a machine. While it is paused this hangs, until the client goes away.

        Raises:
            LabError: refused; or the machine or the client is gone.
        """
        while machine.state is State.PAUSED or machine.state is State.SLEEPING:
            if machine.wait_ended(0.05) or _closed(client):
                raise LabError("gone while the machine was paused", 0)
        if not machine.address:
            raise LabError("the machine is booting", 0)
        connection = self._line.dial(machine.address, port)
        machine.track(connection)
        return connection

    def stop(self) -> None:
        """Let go of everything; the lab's end has killed the machines."""
        self._boots.shutdown()
        for machine in self.listed():
            machine.close()


def _closed(client: socket.socket) -> bool:
    poll = select.poll()
    poll.register(client, select.POLLRDHUP | select.POLLHUP)
    return bool(poll.poll(0))


def _copy(source: Path, target: Path) -> None:
    result = subprocess.run(
        ["cp", "-a", "--reflink=auto", str(source), str(target)], capture_output=True, text=True, check=False
    )
    if result.returncode:
        _remove(target)
        raise Permanent(f"the machine's disk could not be copied: {result.stderr[-500:]}")


def _remove(folder: Path) -> None:
    subprocess.run(["rm", "-rf", str(folder)], check=False)
