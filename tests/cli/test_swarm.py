"""`swarm-bot swarm …`: separate invocations drive one swarm, which a process in the background serves."""

import os
import re
import signal
from pathlib import Path

import pytest

from bot.cli.swarm_server import find_swarm
from bot.cli.wiring import stores
from bot.core.errors import UserError
from bot.pipeline.journal.migrate import migrate
from bot.settings import Settings
from tests.cli.conftest import Say
from tests.cli.test_run import Program, machines, model
from tests.waiting import wait_until

pytestmark = pytest.mark.machines
__all__ = ["model"]  # a fixture

TASK = "Build your part of the multiplayer snake game."


@pytest.mark.usefixtures("model")
def test_a_swarm_by_hand(program: Program, settings: Settings, tmp_path: Path) -> None:
    """Spawn, task, wait, read, collect, teardown, each a program of its own; at the end nothing is left."""
    kept = stores(settings)
    begun = program("swarm", "spawn", "2", "--label", "server", "--label", "idler", "--json")
    assert begun.returncode == 0, begun.stderr
    pid = int(re.search(rb"process (\d+)", begun.stderr)[1])  # type: ignore[index]
    try:
        assert program("swarm", "task", "server", TASK).returncode == 0
        taken = program("swarm", "spawn", "1", "--label", "server")
        assert (taken.returncode, b"is taken" in taken.stderr) == (1, True)
        waited = program("swarm", "wait", "--timeout", "60", timeout_s=150)
        assert waited.returncode == 0, (waited.stdout, waited.stderr)
        assert b"server.js" in program("swarm", "read", "server").stdout
        assert program("swarm", "collect", str(tmp_path / "out")).returncode == 0
        assert (tmp_path / "out" / "server.js").stat().st_size > 1000
        assert len(machines(settings)) >= 2
        gone = program("swarm", "teardown", timeout_s=150)
        assert gone.returncode == 0, gone.stderr
        assert machines(settings) == []
        wait_until(lambda: not Path(f"/proc/{pid}").exists(), 20, "the process has ended")
    finally:
        if Path(f"/proc/{pid}").exists():
            os.kill(pid, signal.SIGTERM)
            wait_until(lambda: not Path(f"/proc/{pid}").exists(), 60, "the process has ended")
    with pytest.raises(UserError, match="swarm spawn"):
        find_swarm(kept, "")


def test_without_a_swarm_it_says_so(swarm_bot: Say, settings: Settings, tmp_path: Path) -> None:
    """And how to begin one."""
    migrate(stores(settings).database)
    with pytest.raises(UserError, match="There is no swarm: `swarm-bot swarm spawn` begins one"):
        swarm_bot("swarm", "status")
    with pytest.raises(UserError, match="There is no swarm abc at work"):
        swarm_bot("swarm", "task", "--swarm", "abc", "server", "do it")
