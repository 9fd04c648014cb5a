"""Faults on demand: what the real service does on a bad day, injected by tests through `/_local/faults`."""

import fnmatch
import threading
from dataclasses import dataclass
from enum import StrEnum


class FaultKind(StrEnum):
    """When a fault strikes."""

    BEFORE = "before"
    """Answer `status` and do nothing."""
    AFTER = "after"
    """Do it, then answer `status`."""
    CUT = "cut"
    """Do it, then break the connection in the middle of the answer; a stream ends before its exit frame."""
    DELAY = "delay"
    """Wait `seconds` first."""
    REFUSE = "refuse"
    """Close the front's connection at once (routes "SSH <vm>" and "HTTP <vm>")."""


@dataclass(slots=True)
class Fault:
    """One entry of the table.

    Attributes:
        route: shell pattern over "METHOD /path" without /api/v1 ("POST /vm/branch/*"), over "SSH <vm>" and
            "HTTP <vm>" at the front, or over "BOOT <vm>" (only `delay`).
        times: how often it still strikes.
    """

    route: str
    kind: FaultKind
    times: int = 1
    status: int = 503
    seconds: float = 0.0
    body: str | None = None


class FaultTable:
    """The faults still to strike, oldest first."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: list[Fault] = []

    def add(self, fault: Fault) -> None:
        with self._lock:
            self._faults.append(fault)

    def clear(self) -> int:
        """Forget all; how many strikes were left."""
        with self._lock:
            left = sum(fault.times for fault in self._faults)
            self._faults.clear()
            return left

    def take(self, route: str, *kinds: FaultKind) -> Fault | None:
        """Use up one strike of the first fault for this route, if there is one."""
        with self._lock:
            for fault in self._faults:
                if fault.kind in kinds and fnmatch.fnmatchcase(route, fault.route):
                    fault.times -= 1
                    if fault.times <= 0:
                        self._faults.remove(fault)
                    return fault
        return None
