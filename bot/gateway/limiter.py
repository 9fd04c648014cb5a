"""One provider key's rate limit, as the provider tells it in its answers, obeyed by all calls together."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

_KINDS = ("requests", "tokens", "input-tokens", "output-tokens")
_LONGEST_WAIT_S = 300.0
_BYTES_PER_TOKEN = 4  # what calls usually have: a pessimistic count would wait where nothing is refused


@dataclass(slots=True)
class _Bucket:
    remaining: int
    resets_at: float


class Limiter:
    """Says how long a call has to wait. Thread-safe.

    Source: Rate limits reference, `anthropic-ratelimit-<kind>-remaining` and `-reset` (RFC 3339), `retry-after` in
    seconds.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._lock = threading.Lock()
        self._buckets: dict[str, _Bucket] = {}
        self._held_until = 0.0

    def take(self, body_bytes: int) -> float:
        """0.0 and the call is counted, or the seconds after which to ask again."""
        needs = {
            "requests": 1,
            "tokens": body_bytes // _BYTES_PER_TOKEN,
            "input-tokens": body_bytes // _BYTES_PER_TOKEN,
            "output-tokens": 1,
        }
        with self._lock:
            now = self._now()
            self._buckets = {kind: bucket for kind, bucket in self._buckets.items() if bucket.resets_at > now}
            waits = [self._held_until - now] + [
                bucket.resets_at - now
                for kind, bucket in self._buckets.items()
                if bucket.remaining < needs[kind]
            ]
            wait_s = max(waits)
            if wait_s > 0:
                return min(wait_s, _LONGEST_WAIT_S)
            for kind, bucket in self._buckets.items():
                bucket.remaining -= needs[kind]
            return 0.0

    def observe(self, headers: Mapping[str, str]) -> None:
        """Learn from an answer's headers (names in lower case)."""
        with self._lock:
            for kind in _KINDS:
                remaining = headers.get(f"anthropic-ratelimit-{kind}-remaining", "")
                reset = headers.get(f"anthropic-ratelimit-{kind}-reset", "")
                try:
                    bucket = _Bucket(int(remaining), datetime.fromisoformat(reset).timestamp())
                except ValueError:
                    continue  # absent, or not of the documented form
                self._buckets[kind] = bucket

    def hold(self, seconds: float) -> None:
        """No call for so long: the provider answered 429 with a Retry-After."""
        with self._lock:
            self._held_until = max(self._held_until, self._now() + min(seconds, _LONGEST_WAIT_S))
