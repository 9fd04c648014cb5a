"""One build that was measured, by whichever of the three contenders."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

COMPARED_RATE = 80.0
"""Tokens per second, about those of a large model."""


class Contender(StrEnum):
    """Who builds."""

    PRODUCT = "product"
    """Label to pull request with a probed preview."""
    ALONE = "alone"
    """One agent on one machine: goal to the answering app."""
    GUIDE = "guide"
    """The guide's way: goal to the answering app."""


@dataclass(frozen=True, slots=True)
class Conditions:
    """How slow the local Vers was made. `delays` are seconds per kind of call."""

    name: str = "none"
    delays: Mapping[str, float] = field(default_factory=dict)
    round_trip_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class Built:
    """A measured build.

    Attributes:
        issue: which of the scripted builds.
        rate: tokens per second.
        seconds: wall time.
        path_s: T_LB, the longest path of that run; copying through the model is not in it.
        fitted: not run at this rate: computed from the line through the rates that were.
        path_at_80_s: T_LB of that run at the rate for which all are compared.
        own_path_s: T_LB with copying through the model counted as work.
        output_tokens: what the model generated, over all agents.
        phases: seconds of each step of the product's pipeline; "queue" is from the label to the build's first step.
        lost: where the swarm waited for something else than model and commands: edge and seconds, longest first.
    """

    contender: Contender
    issue: str
    workers: int
    rate: float
    conditions: str
    seconds: float
    path_s: float
    path_at_80_s: float
    fitted: bool = False
    own_path_s: float = 0.0
    output_tokens: int = 0
    phases: Mapping[str, float] = field(default_factory=dict)
    lost: tuple[tuple[str, float], ...] = ()

    @property
    def ratio(self) -> float:
        """rho: what the build took, by what it could not do without."""
        return self.seconds / self.path_s
