"""So many at once for each machine, and no more: one that takes all it can get leaves the others theirs."""

import threading
from collections import Counter
from collections.abc import Hashable

CONNECTIONS = 64
"""Open connections of one machine to one service."""
CALLS = 8
"""Model calls of one machine that are under way; an agent makes one at a time."""
TOO_MANY_CALLS = f"this machine has {CALLS} model calls under way already"


class Places:
    """A number of places per owner. Thread-safe."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._taken: Counter[Hashable] = Counter()

    def take(self, owner: Hashable) -> bool:
        """Whether there was a place; whoever got one gives it back by `leave`."""
        with self._lock:
            if self._taken[owner] >= self._limit:
                return False
            self._taken[owner] += 1
            return True

    def leave(self, owner: Hashable) -> None:
        with self._lock:
            self._taken[owner] -= 1
            if not self._taken[owner]:
                del self._taken[owner]
