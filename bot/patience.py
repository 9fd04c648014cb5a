"""Calls that block for long, and somebody who looks around meanwhile."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotYet
from typing import TypeVar

T = TypeVar("T")

Look = Callable[[], None]
"""Asked each second while something blocks; raises to have it given up."""


def watched(call: Callable[[], T], look: Look, *, every_s: float = 1.0) -> T:
    """The result of a call, made in a thread of its own; `look` is asked meanwhile and may raise.

    What `look` raises comes out at once. The call itself is not interrupted: it ends by itself when what it works on
    (a line, a machine) is taken away, and its result is nobody's.
    """
    answer: Future[T] = Future()

    def run() -> None:
        try:
            answer.set_result(call())
        except BaseException as error:  # noqa: BLE001  # it is raised again where the result is wanted
            answer.set_exception(error)

    threading.Thread(target=run, name="watched", daemon=True).start()
    while True:
        look()
        try:
            return answer.result(timeout=every_s)
        except NotYet:
            if answer.done():
                raise  # the call's own TimeoutError, not ours


def pause(seconds: float, look: Look) -> None:
    """Wait, looking around each second."""
    never = threading.Event()
    while seconds > 0:
        look()
        never.wait(min(1.0, seconds))
        seconds -= 1.0
