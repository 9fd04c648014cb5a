"""`swarm-bot swarm …`: separate invocations drive one swarm, which a process in the background serves."""

import os
import re
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from bot.agents.params import LONGEST_WAIT_S
from bot.cli.burying import bury
from bot.cli.living import lives, process_facts
from bot.cli.place import place_of
from bot.cli.swarm import await_served
from bot.cli.swarm_server import ANSWER, ORDER, WITHDRAWN, ask, find_swarm, new_swarm
from bot.cli.wiring import Stores, stores
from bot.core.errors import UserError
from bot.core.models import AgentLabel, AgentState, CommitId, Phase, Role, RunId, RunState, VmId
from bot.local.vers.server import Running
from bot.pipeline.journal.migrate import migrate
from bot.settings import Settings
from tests.cli.conftest import Say
from tests.cli.test_run import Program, machines, model
from tests.contracts.conftest import striking
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


@pytest.mark.usefixtures("model")
def test_a_teardown_waits_for_the_last_machine(
    program: Program, settings: Settings, local_vers: Running
) -> None:
    """However long a deletion takes: who reads that the swarm is gone pays for nothing any more."""
    assert program("swarm", "spawn", "1", "--json").returncode == 0
    assert machines(settings)
    with striking(local_vers) as strike:
        strike("DELETE /vm/*", "delay", seconds=4.0)
        gone = program("swarm", "teardown", timeout_s=150)
    assert machines(settings) == []
    assert (gone.returncode, b"is gone" in gone.stdout) == (0, True), gone.stderr


@pytest.mark.usefixtures("model")
def test_what_a_killed_server_left_goes_with_a_teardown(program: Program, settings: Settings) -> None:
    """Its machines, the snapshots that it made, and what lost answers made of those."""
    kept = stores(settings)
    begun = program("swarm", "spawn", "1", "--json")
    assert begun.returncode == 0, begun.stderr
    run = find_swarm(kept, "")
    vers = place_of(settings).vers
    kept.fleet.intend_commit(run.id, f"left-{run.id}")
    commit = vers.commit(VmId(machines(settings)[0]), f"left-{run.id}")
    kept.fleet.bind_commit(f"left-{run.id}", commit)
    (stray,) = vers.branch(commit)
    os.kill(run.result["pid"], signal.SIGKILL)
    wait_until(lambda: not lives(run.result), 20, "the process is dead")
    gone = program("swarm", "teardown", timeout_s=150)
    assert gone.returncode == 0, gone.stderr
    assert machines(settings) == []
    assert stray not in {vm.id for vm in vers.vms()}
    assert commit not in {each.id for each in vers.commits()}
    assert kept.runs.get(run.id).state is RunState.CANCELLED


def test_what_is_left_on_a_vers_that_is_gone(settings: Settings) -> None:
    """A local one took its machines along; another is named, for the present settings do not lead there."""
    kept = stores(settings)
    migrate(kept.database)
    for run, url in ((RunId("here"), "http://127.0.0.1:9"), (RunId("there"), "https://vers.example")):
        new_swarm(kept, run)
        kept.runs.keep(run, vers=url)
        kept.fleet.bind(kept.fleet.intend(run, "agent-1", CommitId("c")).intent, VmId(f"vm-{run}"))
    bury(settings, kept, kept.runs.get(RunId("here")))
    assert kept.fleet.machines(RunId("here")) == []
    with pytest.raises(UserError, match=r"https://vers\.example.*set VERS_URL"):
        bury(settings, kept, kept.runs.get(RunId("there")))
    assert len(kept.fleet.machines(RunId("there"))) == 1


@pytest.fixture
def played(settings: Settings) -> Iterator[tuple[Stores, RunId, list[float]]]:
    """A swarm that this process serves: every third call to wait finds that its worker is done."""
    kept = stores(settings)
    migrate(kept.database)
    run, over = RunId("played"), threading.Event()
    waits: list[float] = []
    new_swarm(kept, run)
    kept.runs.keep(run, **process_facts())
    kept.runs.enter(run, Phase.SWARM)
    kept.fleet.add_agent(run, AgentLabel("server"), Role.WORKER)
    kept.fleet.update_agent(run, AgentLabel("server"), state=AgentState.WORKING, tasks=1)

    def serve() -> None:
        seen = 0
        while not over.wait(0.05):
            for event in kept.runs.events(run, seen):
                seen = event.seq
                if event.kind == ORDER:
                    waits.append(event.data["params"]["timeoutSeconds"])
                    if len(waits) % 3 == 0:
                        kept.fleet.update_agent(run, AgentLabel("server"), state=AgentState.DONE)
                    kept.runs.record(run, ANSWER, id=event.data["id"], ok=True, text="1 worker")

    thread = threading.Thread(target=serve)
    thread.start()
    yield kept, run, waits
    over.set()
    thread.join()


def test_a_long_wait_is_more_than_one_call(swarm_bot: Say, played: tuple[Stores, RunId, list[float]]) -> None:
    """A call waits for two minutes at most; the command waits for as long as it was told to, or until all have ended."""
    kept, run, waits = played
    swarm_bot("swarm", "wait", "--timeout", "300", "--json")
    assert len(waits) == 3
    assert max(waits) == LONGEST_WAIT_S
    kept.fleet.update_agent(run, AgentLabel("server"), state=AgentState.WORKING)
    with pytest.raises(SystemExit):
        swarm_bot("swarm", "wait", "--timeout", "0.01", "--json", "server")
    assert len(waits) < 6


def test_an_order_that_nobody_waits_for_is_withdrawn(settings: Settings) -> None:
    """It may come to nothing later, or a repeated command would do it twice."""
    kept = stores(settings)
    migrate(kept.database)
    run = RunId("slow")
    new_swarm(kept, run)
    with pytest.raises(UserError, match=r"within 0\.2 s, and the order is withdrawn"):
        ask(kept, run, "vers_swarm_spawn", {}, folder=Path(), alive=lambda: True, timeout_s=0.2)
    order, withdrawn = kept.runs.events(run)
    assert (order.kind, withdrawn.kind) == (ORDER, WITHDRAWN)
    assert withdrawn.data["id"] == order.data["id"]


def test_a_swarm_has_begun_when_it_takes_orders(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    """Until then its notes are shown; a process that ends before is no swarm."""
    kept = stores(settings)
    migrate(kept.database)
    run = RunId("begun")
    asked: list[int] = []

    def alive() -> bool:
        asked.append(1)
        if len(asked) == 1:
            new_swarm(kept, run)
            kept.runs.enter(run, Phase.PREPARE)
            kept.runs.record(run, "note", text="Building the golden image.")
        if len(asked) == 3:
            kept.runs.enter(run, Phase.SWARM)
        return True

    await_served(kept, run, alive, 30.0)
    assert len(asked) == 3
    assert "Building the golden image." in capsys.readouterr().err
    with pytest.raises(UserError, match="could not be started"):
        await_served(kept, RunId("never"), lambda: False, 30.0)


def test_without_a_swarm_it_says_so(swarm_bot: Say, settings: Settings, tmp_path: Path) -> None:
    """And how to begin one."""
    migrate(stores(settings).database)
    with pytest.raises(UserError, match="There is no swarm: `swarm-bot swarm spawn` begins one"):
        swarm_bot("swarm", "status")
    with pytest.raises(UserError, match="There is no swarm abc at work"):
        swarm_bot("swarm", "task", "--swarm", "abc", "server", "do it")
