"""A fixed token rate: token n of an answer leaves at start + time to first token + n / rate, whatever happens between."""

from collections.abc import Callable
from dataclasses import dataclass
from math import inf

MOST_AT_ONCE = 64
"""Tokens of one delta when the clock does not hold them back; a real model's deltas are small, too."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast the model speaks. `rate_tokens_per_s` 0 means as fast as it can be sent."""

    rate_tokens_per_s: float
    ttft_s: float


class Metronome:
    """The deadlines of one answer.

    Deadlines count from the start of the call, so that the delay of one token is not passed on to the next: over a
    whole answer the rate is exact although no single wait is.
    """

    def __init__(
        self, pace: Pace, start: float, now: Callable[[], float], wait: Callable[[float], object]
    ) -> None:
        self._rate = pace.rate_tokens_per_s or inf
        self._first = start + pace.ttft_s
        self._now = now
        self._wait = wait

    def next_tokens(self, sent: int) -> int:
        """Wait until token `sent + 1` is due; how many are due by then (at least that one)."""
        delay = self._first + (sent + 1) / self._rate - self._now()
        if delay > 0:
            self._wait(delay)
        if self._rate == inf:
            return MOST_AT_ONCE
        due = int((self._now() - self._first) * self._rate) - sent
        return max(1, min(due, MOST_AT_ONCE))
