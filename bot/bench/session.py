"""One bench from its start to its end: which parts are run, in which order, and what is kept of each as soon as it is known."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from bot.bench import agents, alone, guide, product
from bot.bench.built import COMPARED_RATE, Built, Conditions
from bot.bench.form import NO_DELAYS, SNAKE, VERS_DELAYS, Form, Part
from bot.bench.ground import FAST, Ground, Issue, board, snake
from bot.bench.hand import hand
from bot.bench.results import Results
from bot.core.errors import BotError


def main_issue(form: Form, issues: Path) -> Issue:
    """What the contenders build."""
    return snake(issues) if form.issue == SNAKE else board(form.issue)


@dataclass(slots=True)
class Session:
    """Measures into `results`, which are saved in `out` after each measurement. `tell` gets a sentence for each."""

    ground: Ground
    form: Form
    issue: Issue
    results: Results
    out: Path
    tell: Callable[[str], None]

    def run(self, parts: Collection[Part]) -> None:
        """The form's share of these parts, the quick ones first. What fails is noted, and the rest goes on."""
        for part, measure in (
            (Part.AGENTS, self._agents),
            (Part.RATES, self._rates),
            (Part.CONTENDERS, self._contenders),
            (Part.DELAYS, self._delays),
            (Part.WORKERS, self._workers),
            (Part.ROUND_TRIPS, self._round_trips),
            (Part.MANY, self._many),
        ):
            if part in parts:
                measure()

    def _rates(self) -> None:
        for rate in self.form.rates:
            self._product(self.issue, rate, NO_DELAYS)

    def _delays(self) -> None:
        for rate in self.form.delayed_rates:
            self._product(self.issue, rate, VERS_DELAYS)

    def _workers(self) -> None:
        for size in self.form.sizes:
            self._product(board(size), self.form.size_rate, NO_DELAYS)

    def _round_trips(self) -> None:
        for ms in self.form.round_trips_ms:
            self._product(self.issue, COMPARED_RATE, Conditions(f"round trip {ms:g} ms", round_trip_ms=ms))

    def _product(self, issue: Issue, rate: float, conditions: Conditions) -> None:
        def measure() -> str:
            self.ground.set_conditions(conditions)
            try:
                built, _ = product.build(self.ground, issue, conditions.name)
            finally:
                self.ground.set_conditions(NO_DELAYS)
            return self._keep(built)

        self._one(f"product, {issue.name}, {rate:g} tokens/s, {conditions.name}", rate, measure)

    def _contenders(self) -> None:
        for rate in self.form.alone_rates:
            self._contender("alone", rate, alone.build)
        for rate in self.form.guide_rates:
            self._contender("guide", rate, guide.build)

    def _contender(self, name: str, rate: float, build: Callable[..., tuple[Built, object]]) -> None:
        def measure() -> str:
            with hand(self.ground) as held:
                built, _ = build(self.ground, held, self.issue, NO_DELAYS.name)
            return self._keep(built)

        self._one(f"{name}, {self.issue.name}, {rate:g} tokens/s", rate, measure)

    def _keep(self, built: Built) -> str:
        self.results.add(built)
        return f"{built.seconds:.1f} s, longest path {built.path_s:.1f} s, ratio {built.ratio:.3f}"

    def _agents(self) -> None:
        for count in self.form.spawned:

            def measure(count: int = count) -> str:
                with hand(self.ground) as held:
                    self.results.ready_s[count] = seconds = agents.spawn(held, count)
                return f"{seconds:.2f} s"

            self._one(f"spawn to ready, {count} agents", FAST, measure)
        self._hold(self.form.held, self.form.samples)

    def _many(self) -> None:
        self._hold(self.form.many, 5)

    def _hold(self, count: int, samples: int) -> None:
        if not count:
            return

        def measure() -> str:
            with hand(self.ground) as held:
                one = self.results.held[count] = agents.hold(self.ground, held, count, samples)
            self.results.ready_s.setdefault(count, one.ready_s)
            return f"ready in {one.ready_s:.1f} s, acknowledged in {one.ack_ms['p50']:g} ms, heard in {one.event_ms['p50']:g} ms"

        self._one(f"{count} agents on one process", FAST, measure)

    def _one(self, what: str, rate: float, measure: Callable[[], str]) -> None:
        self.results.failures.pop(what, None)
        self.ground.set_rate(rate)
        try:
            self.tell(f"{what}: {measure()}")
        except BotError as error:
            self.results.failures[what] = str(error)
            self.tell(f"{what} could not be measured: {error}")
        self.results.save(self.out)
