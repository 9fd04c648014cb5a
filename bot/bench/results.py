"""All that a bench has measured so far: kept as bench.json, and the few numbers that it comes down to."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import fmean
from typing import Any

from bot.bench.agents import Held
from bot.bench.built import COMPARED_RATE, Built, Contender
from bot.bench.form import NO_DELAYS, VERS_DELAYS
from bot.bench.numbers import Fit, fit
from bot.core.codec import dump, load

FILE = "bench.json"


@dataclass(slots=True)
class Results:
    """What was measured. A thing measured again replaces what it was.

    Attributes:
        main: name of the issue that is compared.
        ready_s: seconds until so many agents were ready, by their number.
        held: what agents cost, by their number.
        failures: what could not be measured, and why.
        about: the machine, the versions, when.
    """

    main: str
    built: list[Built] = field(default_factory=list)
    ready_s: dict[int, float] = field(default_factory=dict)
    held: dict[int, Held] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    about: dict[str, Any] = field(default_factory=dict)

    def add(self, one: Built) -> None:
        """Put a build in the place of one under the same circumstances."""
        self.built = [each for each in self.built if _circumstances(each) != _circumstances(one)] + [one]

    def fit(self, contender: Contender) -> Fit | None:
        """T = a + beta · T_LB over a contender's builds of the main issue without delays; None with less than two."""
        mine = self._of(contender, NO_DELAYS.name)
        paths = {round(each.path_s, 3) for each in mine}
        return fit([(each.path_s, each.seconds) for each in mine]) if len(paths) > 1 else None

    def compared(self, contender: Contender, conditions: str = NO_DELAYS.name) -> Built | None:
        """A contender's build of the main issue at `COMPARED_RATE`: measured, or else on the line through its others."""
        mine = self._of(contender, conditions)
        if found := next((each for each in mine if each.rate == COMPARED_RATE), None):
            return found
        line = self.fit(contender) if conditions == NO_DELAYS.name else None
        if line is None:
            return None
        path_s = fmean(each.path_at_80_s for each in mine)
        seconds = line.at(path_s)
        return replace(
            mine[-1], rate=COMPARED_RATE, seconds=seconds, path_s=path_s, fitted=True, phases={}, lost=(),
        )  # fmt: skip

    def summary(self) -> dict[str, Any]:
        """The numbers that targets are set for; None where nothing was measured."""
        warm, delayed = self.compared(Contender.PRODUCT), self.compared(Contender.PRODUCT, VERS_DELAYS.name)
        guide, alone = self.compared(Contender.GUIDE), self.compared(Contender.ALONE)
        line = self.fit(Contender.PRODUCT)
        held = self.held[min(self.held)] if self.held else None
        return {
            "rho_warm": warm and round(warm.ratio, 4),
            "rho_vers_delays": delayed and round(delayed.ratio, 4),
            "a_seconds": line and round(line.a_s, 3),
            "beta": line and round(line.beta, 4),
            "guide_way_rho": guide and round(guide.ratio, 4),
            "single_agent_seconds": alone and round(alone.seconds, 2),
            "swarm_seconds": warm and round(warm.seconds, 2),
            "spawn_ready_seconds": {str(count): round(s, 2) for count, s in sorted(self.ready_s.items())},
            "ack_ms": held and dict(held.ack_ms),
            "event_ms": held and dict(held.event_ms),
            "bytes_per_kb": held and round(held.bytes_per_kb, 1),
        }

    def json(self) -> dict[str, Any]:
        """Everything, JSON-safe."""
        return {
            **self.summary(),
            "about": self.about,
            "failures": self.failures,
            "main_issue": self.main,
            "points": [{"ratio": each.ratio, **dump(each)} for each in self.built],
            "agents": [dump(each) for _, each in sorted(self.held.items())],
        }

    def save(self, folder: Path) -> None:
        """Write bench.json."""
        folder.mkdir(parents=True, exist_ok=True)
        fresh = folder / f".{FILE}"
        fresh.write_text(json.dumps(self.json(), indent=1) + "\n")
        fresh.replace(folder / FILE)

    def _of(self, contender: Contender, conditions: str) -> list[Built]:
        return [
            each for each in self.built
            if (each.contender, each.issue, each.conditions) == (contender, self.main, conditions)
        ]  # fmt: skip


def _circumstances(one: Built) -> tuple[Any, ...]:
    return one.contender, one.issue, one.rate, one.conditions


def stored(folder: Path) -> Results | None:
    """What an earlier bench left in a folder; None if there is nothing."""
    file = folder / FILE
    if not file.is_file():
        return None
    kept: Mapping[str, Any] = json.loads(file.read_text())
    return Results(
        kept["main_issue"],
        load(list[Built], kept["points"]),
        {int(count): seconds for count, seconds in kept["spawn_ready_seconds"].items()},
        {each.agents: each for each in load(list[Held], kept["agents"])},
        dict(kept["failures"]),
        dict(kept["about"]),
    )
