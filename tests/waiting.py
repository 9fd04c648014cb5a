"""Waiting for a state in tests: poll a condition with a deadline, never sleep and hope."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
_FIRST_PAUSE_S = 0.02
_LONGEST_PAUSE_S = 0.1


def wait_until(
    condition: Callable[[], T | None], timeout_s: float, what: str, *, pause_s: float | None = None
) -> T:
    """The first truthy value of the condition.

    It is asked more and more seldom, so that the waiting takes no time from what is waited for; every `pause_s` when
    the moment passes soon.

    Raises:
        AssertionError: it was not reached in time; the message says what was waited for.
    """
    deadline = time.monotonic() + timeout_s
    pause = pause_s or _FIRST_PAUSE_S
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {timeout_s:g} s in vain until {what}; last seen: {value!r}")
        time.sleep(pause)
        pause = pause_s or min(pause * 1.2, _LONGEST_PAUSE_S)
