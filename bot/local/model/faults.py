"""Faults on demand: what goes wrong with the next calls."""

import threading
from enum import StrEnum

from pydantic import BaseModel, Field


class FaultKind(StrEnum):
    """What happens instead of the answer: a refusal, or an answer that breaks half way."""

    RATE_LIMITED = "429"
    SERVER_ERROR = "500"
    OVERLOADED = "529"
    NO_CREDIT = "credit"
    STALL = "stall"
    """Half of the answer, then silence on an open line, until the caller leaves."""
    CUT = "cut"
    """Half of the answer, then the connection is closed."""
    ERROR = "error"
    """Half of the answer, then an error event."""


class Fault(BaseModel, frozen=True, extra="forbid"):
    """An order for faults.

    Attributes:
        times: how many calls it strikes.
        agent: only calls of this agent (`x-swarm-agent`); of any without it.
        retry_after: seconds that a 429 or 529 names in its `retry-after` header.
    """

    kind: FaultKind
    times: int = Field(1, ge=1)
    agent: str = ""
    retry_after: float | None = Field(None, ge=0)


class Faults:
    """Orders that are not used up, oldest first. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._orders: list[Fault] = []

    def order(self, fault: Fault) -> None:
        """Strike the next calls that fit."""
        with self._lock:
            self._orders.append(fault)

    def strike(self, agent: str) -> Fault | None:
        """The fault for a call of this agent, which uses it up by one."""
        with self._lock:
            for at, order in enumerate(self._orders):
                if order.agent in ("", agent):
                    left = order.model_copy(update={"times": order.times - 1})
                    self._orders[at : at + 1] = [left] if left.times else []
                    return order
        return None
