"""What a bench makes of what it measured: the line, the few numbers, the file, the picture."""

from pathlib import Path

import pytest

from bot.bench.agents import Held
from bot.bench.built import Built, Contender
from bot.bench.numbers import fit, p50_p99
from bot.bench.plot import plot
from bot.bench.results import Results, stored

KEYS = [
    "rho_warm", "rho_vers_delays", "a_seconds", "beta", "guide_way_rho", "single_agent_seconds", "swarm_seconds",
    "spawn_ready_seconds", "ack_ms", "event_ms", "bytes_per_kb",
]  # fmt: skip


def built(who: Contender, rate: float, path_s: float, seconds: float, conditions: str = "none") -> Built:
    return Built(who, "snake", 3, rate, conditions, seconds, path_s, path_at_80_s=60.0)


def measured() -> Results:
    """The product at all rates, the others fast only."""
    results = Results("snake", about={"form": "short"})
    for one in (
        built(Contender.PRODUCT, 8000, 10.0, 12.0),
        built(Contender.PRODUCT, 800, 15.0, 17.0),
        built(Contender.PRODUCT, 80, 60.0, 62.0),
        built(Contender.PRODUCT, 80, 60.0, 66.0, "Vers' delays"),
        built(Contender.ALONE, 8000, 10.0, 12.0),
        built(Contender.ALONE, 800, 20.0, 22.0),
        built(Contender.GUIDE, 8000, 10.0, 70.0),
        built(Contender.GUIDE, 800, 15.0, 80.0),
    ):
        results.add(one)
    results.ready_s = {1: 1.0, 8: 4.0}
    results.held = {
        3: Held(
            3,
            1.5,
            {"p50": 60.0, "p99": 90.0},
            {"p50": 20.0, "p99": 50.0},
            2.7,
            6.0,
            4e4,
            1.2,
            0.2,
            126.0,
            1.0,
        )
    }
    return results


def test_the_line_through_points_that_lie_on_one() -> None:
    """A and beta are found again, whatever the spacing."""
    line = fit([(x, 2.5 + 1.01 * x) for x in (8.0, 14.0, 71.0)])
    assert (line.a_s, line.beta, line.points) == (pytest.approx(2.5), pytest.approx(1.01), 3)
    assert line.at(100.0) == pytest.approx(103.5)


def test_the_line_is_the_one_with_the_least_squares() -> None:
    """A point that lies off it pulls, by hand: (0, 0), (1, 2), (2, 1)."""
    line = fit([(0.0, 0.0), (1.0, 2.0), (2.0, 1.0)])
    assert (line.a_s, line.beta) == (pytest.approx(0.5), pytest.approx(0.5))
    with pytest.raises(ValueError, match="two different points"):
        fit([(3.0, 4.0), (3.0, 5.0)])


def test_quantiles_are_values_that_were_measured() -> None:
    """Nearest rank: the 99th of a hundred, not something between two of them."""
    assert p50_p99([number / 1000 for number in range(100, 0, -1)]) == {"p50": 50.0, "p99": 99.0}
    assert p50_p99([0.007]) == {"p50": 7.0, "p99": 7.0}


def test_the_few_numbers() -> None:
    """Ratios at 80 tokens a second: measured where there is such a build, on the line through the others elsewhere."""
    results = measured()
    few = results.summary()
    assert list(few) == KEYS
    assert (few["rho_warm"], few["rho_vers_delays"]) == (pytest.approx(62 / 60, abs=1e-4), 1.1)
    assert (few["a_seconds"], few["beta"]) == (2.0, 1.0)
    assert few["guide_way_rho"] == pytest.approx((50 + 2 * 60) / 60, abs=1e-4)
    assert (few["single_agent_seconds"], few["swarm_seconds"]) == (62.0, 62.0)
    assert few["spawn_ready_seconds"] == {"1": 1.0, "8": 4.0}
    assert few["ack_ms"] == {"p50": 60.0, "p99": 90.0}
    alone = results.compared(Contender.ALONE)
    assert alone
    assert alone.fitted
    assert list(Results("snake").summary()) == KEYS


def test_a_later_bench_goes_on_from_the_file(tmp_path: Path) -> None:
    """What is measured again replaces what it was, and the rest stays."""
    measured().save(tmp_path)
    results = stored(tmp_path)
    assert results
    assert results == measured()
    results.add(built(Contender.PRODUCT, 80, 60.0, 61.0))
    assert results.summary()["rho_warm"] == pytest.approx(61 / 60, abs=1e-4)
    assert len(results.built) == len(measured().built)
    assert stored(tmp_path / "elsewhere") is None


def test_the_picture(tmp_path: Path) -> None:
    """A PNG is drawn of whatever there is."""
    pytest.importorskip("matplotlib")
    for name, results in (("all", measured()), ("nothing", Results("snake"))):
        (tmp_path / name).mkdir()
        assert plot(results, tmp_path / name).read_bytes().startswith(b"\x89PNG")
