"""Answers to model calls: written once as they come, read by whoever asks, and kept for a while for who asks again."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Head:
    """How an answer begins."""

    status: int
    content_type: str
    request_id: str = ""


class Answer:
    """One answer in the making: one writer, any number of readers, each from the first byte. Thread-safe."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._head: Head | None = None
        self._data = bytearray()
        self._waiting = False
        self._over = False

    # The writer ------------------------------------------------------------------------------------

    def wait(self) -> None:
        """Say that the call has to wait: readers are told at once instead of left without a word."""
        with self._changed:
            self._waiting = True
            self._changed.notify_all()

    def start(self, head: Head) -> None:
        with self._changed:
            self._head = head
            self._changed.notify_all()

    def append(self, data: bytes) -> None:
        with self._changed:
            self._data += data
            self._changed.notify_all()

    def end(self) -> None:
        with self._changed:
            self._over = True
            self._changed.notify_all()

    # Readers ---------------------------------------------------------------------------------------

    def head(self, timeout_s: float | None, *, even_if_waiting: bool = False) -> Head | None:
        """How the answer begins; None if it has to wait, or has not begun within `timeout_s`."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._head or self._over or (self._waiting and not even_if_waiting), timeout_s
            )
            return self._head

    def read(self, position: int, timeout_s: float) -> tuple[bytes, bool]:
        """The bytes from `position` on, waiting at most `timeout_s` for some; and whether these are the last."""
        with self._changed:
            self._changed.wait_for(lambda: len(self._data) > position or self._over, timeout_s)
            return bytes(memoryview(self._data)[position:]), self._over

    @property
    def ended(self) -> bool:
        """Nothing more will come."""
        return self._over

    @property
    def size(self) -> int:
        """Bytes so far."""
        return len(self._data)


@dataclass(slots=True)
class _Kept:
    answer: Answer
    ended_at: float | None = None


class Memory:
    """Answers by who asked what. One that is being made is joined; one that ended well is kept for `keep_s` seconds.

    When more than `limit_bytes` are kept, the oldest go first. Thread-safe.
    """

    def __init__(
        self,
        *,
        keep_s: float = 600.0,
        limit_bytes: int = 64 << 20,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._keep_s = keep_s
        self._limit_bytes = limit_bytes
        self._now = now
        self._lock = threading.Lock()
        self._kept: dict[bytes, _Kept] = {}  # in the order in which they began

    def find_or_begin(self, key: bytes) -> tuple[Answer, bool]:
        """The answer for this key, and whether it is a new one that the caller must bring about."""
        with self._lock:
            self._prune()
            kept = self._kept.get(key)
            if kept is not None:
                return kept.answer, False
            answer = Answer()
            self._kept[key] = _Kept(answer)
            return answer, True

    def keep(self, key: bytes) -> None:
        """The answer ended well."""
        with self._lock:
            if key in self._kept:
                self._kept[key].ended_at = self._now()
            self._prune()

    def forget(self, key: bytes) -> None:
        """The answer must not be given again."""
        with self._lock:
            self._kept.pop(key, None)

    def _prune(self) -> None:
        oldest = self._now() - self._keep_s
        ended = {key: kept for key, kept in self._kept.items() if kept.ended_at is not None}
        total = sum(kept.answer.size for kept in ended.values())
        for key, kept in ended.items():
            if total > self._limit_bytes or (kept.ended_at or 0.0) < oldest:
                total -= kept.answer.size
                del self._kept[key]
