"""How the contract is held against the service that the settings lead to; a local Vers plays it here."""

import os
import subprocess
import sys

import pytest

from bot.local.vers.server import Running
from tests.cli.conftest import ROOT, settings_at

CONTRACT = "tests/contracts/test_provider.py"


def pytest_says(*words: str, environment: dict[str, str]) -> str:
    """What a run of its own prints; it must go well."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", CONTRACT, *words],
        env=environment, cwd=ROOT, capture_output=True, text=True, timeout=250, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_without_the_marker_nothing_asks_the_real_service() -> None:
    """Whatever else is chosen: it costs money."""
    environment = {**os.environ, "VERS_API_KEY": "k" * 100}
    for words in ([], ["-m", "machines"], ["-k", "paused"]):
        listed = pytest_says("--collect-only", *words, environment=environment)
        assert "[lenient]" in listed
        assert "[live]" not in listed


@pytest.mark.machines
def test_with_the_marker_the_settings_tell_where(
    local_vers: Running, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Machines and lines are those of that Vers; what only the stand-in can do is skipped."""
    settings = settings_at(local_vers, tmp_path_factory.mktemp("live"))
    environment = {**os.environ, **settings.environment()}
    wanted = "seen or snapshots or authority or address or killed_connection or lost_leaves"
    said = pytest_says("-m", "live", "-k", wanted, "-rs", environment=environment)
    assert "no fault switch" in said
    assert ("4 passed" in said, "2 skipped" in said) == (True, True), said
