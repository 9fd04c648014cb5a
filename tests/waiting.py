"""Waiting for a state in tests: poll a condition with a deadline, never sleep and hope."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
_PAUSE_S = 0.02


def wait_until(condition: Callable[[], T | None], timeout_s: float, what: str) -> T:
    """The first truthy value of the condition.

    Raises:
        AssertionError: it was not reached in time; the message says what was waited for.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {timeout_s:g} s in vain until {what}; last seen: {value!r}")
        time.sleep(_PAUSE_S)
