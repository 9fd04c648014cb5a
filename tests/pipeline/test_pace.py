"""The budget of content writes: phase changes first, never more than an hour's share."""

from dataclasses import dataclass

from bot.pipeline.pace import HOUR_S, LEAST_S, PER_HOUR, Pace, Weight


@dataclass
class TickingClock:
    at: float = 1_000_000.0

    def __call__(self) -> float:
        return self.at


def test_many_builds_share_one_hour() -> None:
    """Twenty builds that have something to say every second keep the budget, and none goes without."""
    clock = TickingClock()
    pace = Pace(clock)
    last, written = dict.fromkeys(range(20), 0.0), dict.fromkeys(range(20), 0)
    for _ in range(int(HOUR_S)):
        for build in last:
            if pace.take(7, Weight.ROUTINE, active=len(last), last_at=last[build]):
                last[build], written[build] = clock.at, written[build] + 1
        clock.at += 1
    assert sum(written.values()) <= PER_HOUR * Weight.ROUTINE.value
    assert min(written.values()) >= 5
    assert max(written.values()) - min(written.values()) <= 1


def test_one_build_is_brisk() -> None:
    """Alone, a build writes every twenty seconds; never closer than the least."""
    pace = Pace(TickingClock())
    assert LEAST_S <= pace.routine_s(1) <= 20
    assert pace.routine_s(10) == 10 * pace.routine_s(1)
    assert pace.take(7, Weight.ROUTINE, last_at=0.0)
    assert not pace.take(7, Weight.ROUTINE, last_at=1_000_000.0 - 10)


def test_a_first_word_pays_for_the_last() -> None:
    """With room for one write only, nobody begins what could not be finished."""
    pace = Pace(TickingClock(), per_hour=10)
    assert all(pace.take(7, Weight.PHASE, slots=2) for _ in range(4))
    assert not pace.take(7, Weight.PHASE, slots=2)
    assert pace.take(7, Weight.PHASE)


def test_phases_and_ends_find_room() -> None:
    """Routine fills its share, phase changes theirs; what stays is for how builds ended, and then nothing more."""
    clock = TickingClock()
    pace = Pace(clock)
    counted = dict.fromkeys(Weight, 0)
    for weight in Weight:
        while pace.take(7, weight):
            counted[weight] += 1
    assert counted == {Weight.ROUTINE: 180, Weight.PHASE: 90, Weight.LAST: 30}
    assert pace.take(8, Weight.ROUTINE), "another installation has its own budget"
    clock.at += HOUR_S
    assert pace.take(7, Weight.ROUTINE), "an hour later there is room again"
