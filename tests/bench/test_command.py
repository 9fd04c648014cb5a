"""`swarm-bot bench` in its smallest form: one build and one agent, really measured."""

import json
import subprocess
from pathlib import Path

import pytest

from bot.bench.plot import can_plot
from bot.cli.main import cli
from bot.cli.processes import swarm_bot
from bot.core.errors import UserError
from bot.settings import load_settings
from tests.bench.test_results import KEYS
from tests.conftest import one_builder, require_machines


def test_the_smallest_form_measures_a_build_and_an_agent(tmp_path: Path) -> None:
    """The numbers on the last line, the table for people beside it, everything in the file, and nothing left."""
    cache = load_settings().swarm_cache
    require_machines(cache)
    before = set(cache.glob("bench-*"))
    with one_builder():
        done = subprocess.run(
            swarm_bot("bench", "--tiny", "--json", "--out", str(tmp_path)),
            capture_output=True,
            text=True,
            timeout=280,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    few = json.loads(done.stdout.splitlines()[-1])
    assert list(few) == KEYS
    assert few["bytes_per_kb"] > 1000
    assert list(few["spawn_ready_seconds"]) == ["1"]
    assert 0 < few["event_ms"]["p50"] <= few["event_ms"]["p99"]
    assert 0 < few["ack_ms"]["p50"] <= few["ack_ms"]["p99"]

    everything = json.loads((tmp_path / "bench.json").read_text())
    assert everything["failures"] == {}
    assert everything["about"]["machine"]["cores"]
    assert everything["about"]["versions"]["paramiko"]
    [build] = everything["points"]
    assert (build["contender"], build["issue"], build["rate"]) == ("product", "board-1", 8000)
    assert build["seconds"] > build["path_s"] > build["phases"]["preview"]
    assert "Swarm Build" in done.stderr
    assert "command to acknowledgement" in done.stderr
    assert (tmp_path / "bench.png").is_file() == can_plot()
    assert ("matplotlib is missing" in done.stderr) != can_plot()
    assert set(cache.glob("bench-*")) == before


def test_a_part_that_there_is_not() -> None:
    """A sentence with the names that there are, and nothing is started."""
    with pytest.raises(UserError, match="there is no part 'luck'; there are agents, rates"):
        cli.main(["bench", "--part", "luck"], standalone_mode=False)
