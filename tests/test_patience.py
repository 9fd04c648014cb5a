"""Calls that block are given up when somebody who looks around says so."""

import threading

import pytest

from bot.core.errors import Cancelled
from bot.patience import pause, watched


def test_the_result_comes_out() -> None:
    """Also when nobody has anything to say meanwhile."""
    assert watched(lambda: 42, lambda: None) == 42


def test_errors_come_out_as_themselves() -> None:
    """A TimeoutError of the call's own included."""
    for error in (ValueError("odd"), TimeoutError("its own")):

        def call(error: Exception = error) -> None:
            raise error

        with pytest.raises(type(error), match=str(error)):
            watched(call, lambda: None)


def test_a_blocked_call_is_left_behind() -> None:
    """What the one who looks raises comes out while the call still blocks."""
    forever, looks = threading.Event(), iter([None, Cancelled("stop")])

    def look() -> None:
        if (error := next(looks)) is not None:
            raise error

    with pytest.raises(Cancelled, match="stop"):
        watched(forever.wait, look, every_s=0.01)
    forever.set()


def test_a_pause_looks_around() -> None:
    """A wait of hours ends when the build is stopped."""

    def look() -> None:
        raise Cancelled("stop")

    with pytest.raises(Cancelled):
        pause(3600.0, look)
