"""How slow a server is: a time for each kind of call, and the round trip of every connection. Changed at any time."""

import math
import re
import time
from collections.abc import Iterable, Mapping
from types import MappingProxyType

from bot.core.errors import UserError

_AFTER = {
    "create": r"POST /vm/new_root",
    "branch": r"POST /vm/(branch/.+|[^/]+/branch|from_commit)",
    "commit": r"POST /vm/[^/]+/commit",
}
"""Calls that make something: it is there soon, in the lists, too, and the answer comes late."""
_BEFORE = {
    "delete": r"DELETE /vm/[^/]+",
    "state": r"PATCH /vm/[^/]+/state",
    "exec": r"POST /vm/[^/]+/exec(/stream)?|SSH .+",
    "files": r"(GET|PUT) /vm/[^/]+/files",
}
"""Calls that take their time first. `exec` is a command by itself: over the API, or on an SSH connection of its own,
which is what was measured. A further command on a connection that stands costs a round trip."""
KINDS = (*_AFTER, *_BEFORE)
MEASURED: Mapping[str, float] = MappingProxyType({"branch": 10.2, "exec": 2.9, "delete": 6.6})
"""Means on the real service in July 2026, in seconds, as its users published them."""


class Conditions:
    """The present ones. Thread-safe: both values are replaced as a whole."""

    def __init__(self, delays: Mapping[str, float] | None = None, round_trip_ms: float = 0.0) -> None:
        """
        Args:
            delays: seconds by kind, of `KINDS`.
            round_trip_ms: what every connection to the API, to the TLS front and to published ports takes there and back.

        Raises:
            UserError: there is no such kind, or a time is negative.
        """
        self.delays: Mapping[str, float] = {}
        self.round_trip_ms = 0.0
        self.change(delays or {}, round_trip_ms)

    def change(self, delays: Mapping[str, float] | None, round_trip_ms: float | None) -> None:
        """Replace what is given; None leaves it. Connections that stand keep a round trip of zero. Raises as above."""
        if strange := set(delays or {}) - set(KINDS):
            raise UserError(f"there is no delay '{min(strange)}'; there are {', '.join(KINDS)}")
        if any(not 0 <= value < 3600 for value in [*(delays or {}).values(), round_trip_ms or 0.0]):
            raise UserError("a delay is a number of seconds, and a round trip of milliseconds, from 0")
        if delays is not None:
            self.delays = dict(delays)
        if round_trip_ms is not None:
            self.round_trip_ms = round_trip_ms

    def one_way_s(self) -> float:
        """Half a round trip, in seconds."""
        return self.round_trip_ms / 2000

    def before(self, route: str) -> None:
        """Wait as long as a call of this route waits until it begins."""
        time.sleep(self._seconds(_BEFORE, route))

    def after(self, route: str, began_at: float) -> None:
        """Wait until a call of this route, which began then by the monotonic clock, may be answered."""
        time.sleep(max(0.0, began_at + self._seconds(_AFTER, route) - time.monotonic()))

    def _seconds(self, kinds: Mapping[str, str], route: str) -> float:
        delays = self.delays
        return sum(delays.get(kind, 0.0) for kind, pattern in kinds.items() if re.fullmatch(pattern, route))


def parse_delays(words: Iterable[str]) -> dict[str, float]:
    """`KIND=SECONDS` as a command line has it.

    Raises:
        UserError: it is not of that form.
    """
    found = {}
    for word in words:
        kind, equals, seconds = word.partition("=")
        try:
            found[kind] = float(seconds) if equals else float("nan")
        except ValueError:
            found[kind] = float("nan")
        if math.isnan(found[kind]):
            raise UserError(f"'{word}' is not KIND=SECONDS, like branch=10.2")
    return found
