"""Workers' machines that wait for a name: branched while the architect still thinks, pi running on them, nobody's yet."""

import logging
import threading
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait

from bot.agents.machines import Machines
from bot.core.errors import Transient
from bot.core.models import CommitId, VmId

log = logging.getLogger(__name__)

_BRANCH_LIMIT_S = 240.0


class Seat:
    """One machine on the bench. `vm` comes with the branch, `ready` when pi listens on it."""

    def __init__(self, purpose: str) -> None:
        self.purpose = purpose
        self.vm: Future[VmId] = Future()
        self.ready: Future[VmId] | None = None


class Bench:
    """Branches machines ahead and hands them out, once each."""

    def __init__(self, machines: Machines, start: Callable[[VmId], None]) -> None:
        """
        Args:
            machines: where they come from.
            start: connects to a machine and starts pi on it; returns when pi listens.
        """
        self._machines = machines
        self._start = start
        self._pool = ThreadPoolExecutor(max_workers=32, thread_name_prefix="bench")
        self._lock = threading.Lock()
        self._free: list[Seat] = []
        self._closed = False

    def adopt(self, taken: Collection[VmId], architect: str) -> None:
        """After a restart: machines of this build that no agent has."""
        with self._lock:
            for purpose, vm in self._machines.of_agents().items():
                if purpose != architect and vm not in taken:
                    seat = Seat(purpose)
                    seat.vm.set_result(vm)
                    self._free.append(seat)

    def fill(self, count: int) -> None:
        """Have at least `count` free seats; their machines are branched in the background."""
        with self._lock:
            self._add(count - len(self._free))

    def warm(self) -> None:
        """Start pi on every free seat, in the background."""
        with self._lock:
            for seat in self._free:
                self._warm(seat)

    def make_room(self, count: int) -> None:
        """Give up so many free seats: another machine of the swarm takes their place."""
        with self._lock:
            given_up, self._free = self._free[:count], self._free[count:]
        for seat in given_up:
            if seat.ready is not None:
                wait([seat.ready])
            self._machines.delete(seat.vm.result(timeout=_BRANCH_LIMIT_S))

    def claim(self, count: int, commit: CommitId | None = None) -> list[Seat]:
        """`count` seats that nobody else gets; more are branched if there are not enough, or if they start from a snapshot."""
        with self._lock:
            if commit is not None:
                seats = self._branched(count, commit)
                for seat in seats:
                    self._warm(seat)
                return seats
            self._add(count - len(self._free))
            claimed, self._free = self._free[:count], self._free[count:]
            for seat in claimed:
                self._warm(seat)
            return claimed

    def close(self) -> None:
        """Let what was begun come to its end, begin nothing more."""
        with self._lock:
            self._closed = True
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _add(self, count: int) -> None:
        self._free.extend(self._branched(count))

    def _branched(self, count: int, commit: CommitId | None = None) -> list[Seat]:
        if count <= 0 or self._closed:
            return []
        purposes = self._machines.free_purposes(count)
        self._machines.intend(purposes, commit)
        seats = [Seat(purpose) for purpose in purposes]
        self._pool.submit(self._branch, seats, commit)
        return seats

    def _branch(self, seats: Sequence[Seat], commit: CommitId | None) -> None:
        try:
            made = self._machines.take([seat.purpose for seat in seats], commit)
        except BaseException as error:  # noqa: BLE001 - whoever waits for the seat gets it
            present = self._machines.of_agents()
            for seat in seats:
                if seat.purpose in present:
                    seat.vm.set_result(present[seat.purpose])
                else:
                    seat.vm.set_exception(error)
            return
        for seat, vm in zip(seats, made, strict=True):
            seat.vm.set_result(vm)

    def _warm(self, seat: Seat) -> None:
        if seat.ready is None and not self._closed:
            seat.ready = self._pool.submit(self._ready, seat)

    def _ready(self, seat: Seat) -> VmId:
        try:
            vm = seat.vm.result(timeout=_BRANCH_LIMIT_S)
        except TimeoutError as error:
            raise Transient(f"its machine did not come within {_BRANCH_LIMIT_S:.0f} s") from error
        self._start(vm)
        return vm
