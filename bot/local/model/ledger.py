"""What was really generated, when and for whom: the measure that builds are compared with."""

import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any


@dataclass(frozen=True, slots=True)
class Entry:
    """One answered call. Times in seconds of CLOCK_MONOTONIC, which all processes of a machine share.

    Attributes:
        id: the message's id.
        run: what the caller sent as `x-swarm-run`.
        agent: what the caller sent as `x-swarm-agent`.
        first_token: None until then.
        end: None while the answer is being sent.
        output_tokens: as sent so far.
        outcome: "open", "complete", "cut" (by a fault, or the caller left).
    """

    id: str
    run: str
    agent: str
    model: str
    input_tokens: int
    start: float
    first_token: float | None = None
    end: float | None = None
    output_tokens: int = 0
    outcome: str = "open"


class Ledger:
    """Entries in the order in which the calls came. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: list[Entry] = []

    def open(self, entry: Entry) -> int:
        """Add a call; its number."""
        with self._lock:
            self._entries.append(entry)
            return len(self._entries) - 1

    def change(self, number: int, **values: Any) -> None:
        """Bring a call's entry up to date."""
        with self._lock:
            self._entries[number] = replace(self._entries[number], **values)

    def close(self, number: int, end: float, outcome: str) -> None:
        """The call's answer ended so; a second ending changes nothing."""
        with self._lock:
            if self._entries[number].end is None:
                self._entries[number] = replace(self._entries[number], end=end, outcome=outcome)

    def rows(self) -> list[Mapping[str, Any]]:
        """All entries, JSON-safe."""
        with self._lock:
            return [asdict(entry) for entry in self._entries]
