"""`swarm-bot run`: a whole swarm into a folder, as a program, on the stand-ins."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from bot.agents.snapshots import delete_snapshots
from bot.cli.burying import bury_the_dead
from bot.cli.place import operators_deployment, place_of
from bot.cli.wiring import stores
from bot.core.errors import UserError
from bot.core.models import BuildRequest, CommitId, Repo, RunId
from bot.local.model.server import start as start_model
from bot.pipeline.folder import require_empty
from bot.pipeline.journal.fleet import Fleet
from bot.pipeline.journal.migrate import migrate
from bot.settings import Settings
from tests.cli.conftest import ROOT, Say
from tests.waiting import wait_until

pytestmark = pytest.mark.machines

GOAL = (ROOT / "docs" / "issues" / "multiplayer-snake.md").read_bytes()
Program = Callable[..., "subprocess.CompletedProcess[bytes]"]


@pytest.fixture
def model(environment: dict[str, str], settings: Settings, golden_image: None) -> Iterator[None]:
    """The scripted model, a golden image, and a database that is ready."""
    kept = stores(settings)
    migrate(kept.database)
    with_model = start_model(port=0, rate=3000, ttft_s=0.05)
    environment |= {"ANTHROPIC_BASE_URL": with_model.base_url, "ANTHROPIC_API_KEY": with_model.api_key}
    yield
    with_model.stop()


def machines(settings: Settings) -> list[str]:
    """Of operators' runs on this Vers."""
    label = operators_deployment(settings)
    return [vm.id for vm in place_of(settings).vers.vms() if vm.labels.get("deployment") == label]


@pytest.mark.usefixtures("model")
def test_a_goal_becomes_a_folder_and_a_preview(program: Program, settings: Settings, tmp_path: Path) -> None:
    """In the background: files land in the folder, the preview answers until the process is told to end."""
    folder = tmp_path / "snake"
    sent = program(
        "run", "-", "--detach", "--json", "--out", str(folder), "--preview-minutes", "5", stdin=GOAL
    )
    assert sent.returncode == 0, sent.stderr
    told = json.loads(sent.stdout)
    log = Path(told["log"])
    try:
        wait_until(lambda: "The preview stays" in log.read_text() or gone(told["pid"]), 120, "the preview")
        address = re.search(r"http://127\.0\.0\.1:\d+", log.read_text().partition("preview")[2])
        assert address, log.read_text()
        assert "canvas" in httpx.get(address[0]).text
        assert {"SPEC.md", "server.js", "Procfile"} <= {path.name for path in folder.iterdir()}
        assert len(machines(settings)) == 1
    finally:
        os.kill(told["pid"], signal.SIGTERM)
    wait_until(lambda: machines(settings) == [], 30, "the preview's machine is gone")


@pytest.mark.usefixtures("model")
def test_interrupted_in_the_middle(environment: dict[str, str], settings: Settings, tmp_path: Path) -> None:
    """The swarm is stopped, no machine is left, the folder was not begun, and the status says that it failed."""
    folder = tmp_path / "snake"
    words = [sys.executable, "-m", "bot", "run", "-", "--json", "--out", str(folder)]
    with subprocess.Popen(
        words, env=environment, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as running:  # fmt: skip
        assert running.stdin is not None
        running.stdin.write(GOAL)
        running.stdin.close()
        wait_until(lambda: len(machines(settings)) >= 2, 60, "the swarm is at work")
        running.send_signal(signal.SIGTERM)
        assert running.stdout is not None
        report = json.loads(running.stdout.read())
        assert running.wait(30) == 1
    assert report["state"] == "cancelled"
    assert machines(settings) == []
    assert not folder.exists()


def test_what_a_killed_process_left_goes_with_the_next(settings: Settings) -> None:
    """Its machines and snapshots are found by their rows; those of a living process, and of another Vers, are left alone."""
    kept = stores(settings)
    migrate(kept.database)
    vers = place_of(settings).vers
    made = {}
    try:
        for name, pid, url in (
            ("dead", 1, settings.vers_url), ("alive", 2, settings.vers_url), ("elsewhere", 1, "https://x"),
        ):  # fmt: skip
            run = RunId(name)
            kept.runs.create(run, BuildRequest(Repo("here/x", 0, 0), 0, "t", "b", "me", name))
            kept.runs.keep(run, pid=pid, vers=url)
            row = kept.fleet.intend(run, "agent-1", CommitId(""))
            made[name] = vers.create(memory_mib=512, disk_mib=1024, vcpus=1, labels={})
            kept.fleet.bind(row.intent, made[name])
            kept.fleet.intend_commit(run, f"snapshot-{name}")
            kept.fleet.bind_commit(f"snapshot-{name}", vers.commit(made[name], f"snapshot-{name}"))
        for purpose, ago_s in (("agent-2", 3600.0), ("agent-3", 0.0)):
            Fleet(kept.database, lambda ago_s=ago_s: time.time() - ago_s).intend(
                RunId("dead"), purpose, CommitId("image")
            )
        assert bury_the_dead(settings, lambda facts: facts["pid"] == 2) == 1
        left = {vm.id for vm in vers.vms()}
        assert made["dead"] not in left
        assert {made["alive"], made["elsewhere"]} <= left
        assert kept.fleet.commits(RunId("dead")) == {}
        assert [row.purpose for row in kept.fleet.machines(RunId("dead"))] == ["agent-3"], "it may still come"
        names = {commit.name for commit in vers.commits()}
        assert {f"snapshot-{name}" for name in made} & names == {"snapshot-alive", "snapshot-elsewhere"}
    finally:
        for run in kept.fleet.runs_with_commits():
            delete_snapshots(vers, kept.fleet, run)
        for vm in made.values():
            vers.delete(vm)


def test_bad_input_gets_a_sentence(swarm_bot: Say, tmp_path: Path) -> None:
    """Before anything is started."""
    (tmp_path / "mine.txt").write_text("precious")
    with pytest.raises(UserError, match="not empty"):
        swarm_bot("run", "a clock", "--out", str(tmp_path))
    with pytest.raises(UserError, match="There is no goal"):
        swarm_bot("run", "  ")
    with pytest.raises(UserError, match="not empty"):
        require_empty(tmp_path / "mine.txt")


def gone(pid: int) -> Any:
    """Whether a process has ended."""
    return not Path(f"/proc/{pid}").exists()
