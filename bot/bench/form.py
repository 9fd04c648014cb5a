"""What a bench runs: its parts, and how much of each a form has."""

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum

from bot.bench.built import COMPARED_RATE, Conditions
from bot.core.errors import UserError
from bot.local.vers.conditions import MEASURED

SNAKE = 0
"""In place of a number of tiles: the demo's issue."""
NO_DELAYS, VERS_DELAYS = Conditions(), Conditions("Vers' delays", MEASURED)


class Part(StrEnum):
    """What can be measured by itself."""

    AGENTS = "agents"
    """Spawn to ready, acknowledgements, events, bytes, CPU and memory."""
    RATES = "rates"
    """The product at several token rates."""
    DELAYS = "delays"
    """The product with the delays of the real Vers."""
    CONTENDERS = "contenders"
    """One agent alone, and the guide's way."""
    WORKERS = "workers"
    """The product with more and fewer workers."""
    ROUND_TRIPS = "round-trips"
    """The product far away from its machines."""
    MANY = "many"
    """As many agents as one process can be expected to hold."""


def parse_parts(names: Collection[str]) -> frozenset[Part]:
    """Parts by their names; all of them without any.

    Raises:
        UserError: there is no such part.
    """
    if unknown := set(names) - set(Part):
        raise UserError(f"there is no part '{min(unknown)}'; there are {', '.join(Part)}")
    return frozenset(map(Part, names)) or frozenset(Part)


@dataclass(frozen=True, slots=True)
class Form:
    """How much is measured. An empty tuple or a zero leaves it out.

    Attributes:
        issue: tiles of the board that is built, or `SNAKE`.
        rates: of the product, tokens per second.
        delayed_rates: of the product with Vers' delays.
        alone_rates: of one agent alone.
        guide_rates: of the guide's way. At `COMPARED_RATE` it takes minutes, which only the full form has.
        sizes: workers of the boards that the product builds, at `size_rate`.
        size_rate: see there.
        round_trips_ms: of the product, at `COMPARED_RATE`.
        spawned: how many agents are spawned at once.
        held: how many agents are measured in detail.
        samples: commands to each of them.
        many: how many one process holds at last.
    """

    name: str
    issue: int = SNAKE
    rates: tuple[float, ...] = (8000.0, 800.0, COMPARED_RATE)
    delayed_rates: tuple[float, ...] = (COMPARED_RATE,)
    alone_rates: tuple[float, ...] = (800.0, COMPARED_RATE)
    guide_rates: tuple[float, ...] = (800.0, 200.0)
    sizes: tuple[int, ...] = ()
    size_rate: float = COMPARED_RATE
    round_trips_ms: tuple[float, ...] = ()
    spawned: tuple[int, ...] = (1, 3, 8, 20)
    held: int = 3
    samples: int = 100
    many: int = 0


SHORT = Form("short")
FULL = Form(
    "full", guide_rates=(800.0, 200.0, COMPARED_RATE), sizes=(1, 2, 3, 5, 8), round_trips_ms=(50.0, 150.0), many=50
)  # fmt: skip
TINY = Form(
    "tiny", issue=1, rates=(8000.0,), delayed_rates=(), alone_rates=(), guide_rates=(), spawned=(), held=1, samples=5
)  # fmt: skip
"""Does the bench work? Its numbers are real, but few."""
