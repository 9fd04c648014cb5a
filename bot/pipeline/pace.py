"""How often progress may be written: one budget for all builds of an installation, phase changes first."""

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum

HOUR_S = 3600.0
PER_HOUR = 300
"""Of the 500 that GitHub allows an App for content, so that answers and pull requests always find room.

Source: https://docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api, secondary limits.
"""
LEAST_S = 15.0


class Weight(Enum):
    """Why something is to be written; the value is the share of the budget that such writes may fill."""

    ROUTINE = 0.6
    PHASE = 0.9
    LAST = 1.0
    """How a build ended that could not say a word before. The others paid for it with their first."""


@dataclass(slots=True)
class Pace:
    """Shared by all builds of the process. Safe to use from several threads."""

    now: Callable[[], float]
    per_hour: int = PER_HOUR
    _written: dict[int, deque[float]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def take(
        self, installation: int, weight: Weight, *, active: int = 1, last_at: float = 0.0, slots: int = 1
    ) -> bool:
        """Whether this may be written now; if so, it counts.

        Args:
            installation: whose budget.
            weight: why it is to be written.
            active: builds that share the budget; a routine write waits so long that all of them together keep it.
            last_at: when this build wrote last, seconds since the epoch.
            slots: how many writes it counts for.
        """
        with self._lock:
            now = self.now()
            written = self._written.setdefault(installation, deque())
            while written and written[0] <= now - HOUR_S:
                written.popleft()
            if len(written) + slots > self.per_hour * weight.value:
                return False
            if weight is Weight.ROUTINE and now - last_at < self.routine_s(active):
                return False
            written.extend([now] * slots)
            return True

    def routine_s(self, active: int) -> float:
        """Seconds between two routine writes of one build, when so many share the budget."""
        return max(LEAST_S, max(1, active) * HOUR_S / (self.per_hour * Weight.ROUTINE.value))
