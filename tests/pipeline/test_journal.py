"""The journal on SQLite: what is written once, and what holds when many write at once."""

import hashlib
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from bot.core.codec import dump
from bot.core.errors import Cancelled, NotFound, Transient, translate
from bot.core.models import (
    AgentLabel,
    AgentState,
    Artifact,
    BuildRequest,
    CommitId,
    Evidence,
    OrderKind,
    Phase,
    Repo,
    Role,
    RunId,
    RunState,
    Spender,
    Tokens,
    VmId,
)
from bot.core.models import AppKind as Kind
from bot.pipeline.journal.database import DATABASE_ERRORS, metadata, open_database
from bot.pipeline.journal.fleet import Fleet
from bot.pipeline.journal.orders import Orders
from bot.pipeline.journal.results import Results
from bot.pipeline.journal.runs import Runs, elapsed_s
from bot.pipeline.journal.snapshot import snapshot
from bot.pipeline.journal.usage import Usage

RUN = RunId("a1b2c3d4e5f6")
SERVER = AgentLabel("server")
REQUEST = BuildRequest(Repo("octo/games", 42, 7), 7, "Snake", "Build it", "ada", "d-1")


@dataclass
class Journal:
    """All rooms of one journal. Each call of the clock is a second later."""

    engine: Engine

    def __post_init__(self) -> None:
        ticks = count(1_000)
        now: Callable[[], float] = lambda: float(next(ticks))  # noqa: E731  # a clock is a callable
        self.runs, self.fleet = Runs(self.engine, now), Fleet(self.engine, now)
        self.usage = Usage(self.engine, now, cap_microusd=1_000)
        self.results = Results(self.engine)
        self.orders = Orders(self.engine, now)


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    engine = open_database(f"sqlite:///{tmp_path}/journal.db")
    metadata.create_all(engine)
    made = Journal(engine)
    assert made.runs.create(RUN, REQUEST)
    return made


def at_once(what: Callable[[int], Any], times: int = 16) -> list[Any]:
    with ThreadPoolExecutor(times) as pool:
        return list(pool.map(what, range(times)))


# The file ---------------------------------------------------------------------------------------------


def test_file(tmp_path: Path) -> None:
    """The file is for its owner alone, in WAL mode."""
    engine = open_database(f"sqlite:///{tmp_path}/deep/journal.db")
    metadata.create_all(engine)
    assert (tmp_path / "deep/journal.db").stat().st_mode & 0o777 == 0o600
    with engine.begin() as db:
        assert db.execute(text("PRAGMA journal_mode")).scalar() == "wal"


@pytest.mark.parametrize(
    "error",
    [
        OperationalError("select", None, Exception("locked")),
        InterfaceError("select", None, Exception("gone")),
        PoolTimeoutError("full"),
    ],
)
def test_errors_of_the_database(error: Exception) -> None:
    """A database that does not answer is worth another try."""
    with pytest.raises(Transient), translate(DATABASE_ERRORS, "testing"):
        raise error


def test_ping(tmp_path: Path, journal: Journal) -> None:
    """Only a database that has its tables is up."""
    journal.runs.ping()
    bare = Runs(open_database(f"sqlite:///{tmp_path}/bare.db"), lambda: 0.0)
    with pytest.raises(Transient):
        bare.ping()


# Deliveries -------------------------------------------------------------------------------------------


def test_accept_once(journal: Journal) -> None:
    """An id or a content is accepted once, and the job is queued with it."""
    queued: list[str] = []

    def accept(delivery: str, content: str) -> bool:
        return journal.runs.accept(
            delivery, "issues", content, {"of": delivery}, lambda _db: queued.append(delivery)
        )

    assert accept("d-1", "h-1")
    assert not accept("d-1", "h-2")
    assert not accept("d-2", "h-1")
    assert accept("d-3", "h-3")
    assert queued == ["d-1", "d-3"]
    assert journal.runs.delivery("d-3") == {"of": "d-3"}
    journal.runs.note_outcome("d-3", "ignored")


def test_accept_with_its_job(journal: Journal) -> None:
    """If the job cannot be queued, the delivery is not stored."""

    def broken(_db: Connection) -> None:
        raise ConnectionError

    with pytest.raises(ConnectionError):
        journal.runs.accept("d-1", "issues", "h", {}, broken)
    with pytest.raises(NotFound):
        journal.runs.delivery("d-1")


def test_accept_sees_the_transaction(journal: Journal) -> None:
    """What `then` writes is in the same transaction as the row."""

    def look(db: Connection) -> None:
        assert db.execute(text("SELECT count(*) FROM deliveries")).scalar() == 1

    assert journal.runs.accept("d-1", "issues", "h", {}, look)


def test_accept_at_once(journal: Journal) -> None:
    """Of many at once, one wins."""
    won = at_once(lambda _n: journal.runs.accept("d-1", "issues", "h", {}, lambda _db: None))
    assert won.count(True) == 1


# Builds -----------------------------------------------------------------------------------------------


def test_build(journal: Journal) -> None:
    """A build is made once, and found by issue, repository and state."""
    assert not journal.runs.create(RUN, REQUEST)
    assert journal.runs.get(RUN).request == REQUEST
    assert [run.id for run in journal.runs.of_issue("octo/games", 7)] == [RUN]
    assert journal.runs.of_issue("octo/games", 8) == []
    assert [run.id for run in journal.runs.active()] == [RUN]
    other = RunId("b" * 12)
    journal.runs.create(other, REQUEST)
    assert [run.id for run in journal.runs.recent()] == [other, RUN]
    with pytest.raises(NotFound):
        journal.runs.get(RunId("nope"))


def test_phases(journal: Journal) -> None:
    """Entering a phase again, as a resumed build does, is no second event."""
    for phase in (Phase.ADMIT, Phase.ADMIT, Phase.PREPARE, Phase.PREPARE):
        journal.runs.enter(RUN, phase)
    events = journal.runs.events(RUN)
    assert [(event.seq, event.data["phase"]) for event in events] == [(1, "admit"), (2, "prepare")]
    assert journal.runs.events(RUN, after=1) == events[1:]
    assert journal.runs.get(RUN).state is RunState.RUNNING


def test_one_end(journal: Journal) -> None:
    """A build has one terminal state."""
    journal.runs.end(RUN, RunState.FAILED, "first")
    journal.runs.end(RUN, RunState.SUCCEEDED, "second")
    run = journal.runs.get(RUN)
    assert (run.state, run.reason) == (RunState.FAILED, "first")
    assert [event.kind for event in journal.runs.events(RUN)] == ["state"]
    assert elapsed_s(run, 1e9) == run.ended_at - run.created_at  # type: ignore[operator]  # it has ended
    assert journal.runs.active() == []


def test_facts(journal: Journal) -> None:
    """Facts of several steps stand side by side."""
    journal.runs.keep(RUN, brief={"a": 1})
    journal.runs.keep(RUN, files=[1], brief={"a": 2})
    journal.runs.set_comment(RUN, 2**40)
    run = journal.runs.get(RUN)
    assert run.result == {"brief": {"a": 2}, "files": [1]}
    assert run.comment_id == 2**40


def test_events_at_once(journal: Journal) -> None:
    """Lines of many threads get numbers without gap or double."""
    at_once(lambda n: journal.runs.record(RUN, "note", text=str(n)))
    assert [event.seq for event in journal.runs.events(RUN)] == list(range(1, 17))


def test_facts_at_once(journal: Journal) -> None:
    """No fact is lost when steps keep theirs at the same time."""
    at_once(lambda n: journal.runs.keep(RUN, **{f"fact{n}": n}))
    assert len(journal.runs.get(RUN).result) == 16


def test_cancel(journal: Journal) -> None:
    """A build is asked once, the steps see by whom, and one that has ended is not asked."""
    journal.runs.check_cancelled(RUN)
    assert journal.runs.cancellation(RUN) == ""
    assert journal.runs.cancel(RUN, "bob", "the label was removed")
    assert not journal.runs.cancel(RUN, "eve", "later")
    with pytest.raises(Cancelled, match="stopped by @bob: the label was removed"):
        journal.runs.check_cancelled(RUN)
    other = RunId("b" * 12)
    journal.runs.create(other, REQUEST)
    journal.runs.end(other, RunState.SUCCEEDED, "")
    assert not journal.runs.cancel(other, "bob", "too late")


# Machines, agents, tool calls -------------------------------------------------------------------------


def test_machine(journal: Journal) -> None:
    """An intent is written once, becomes a machine, and goes."""
    golden = CommitId("golden")
    row = journal.fleet.intend(RUN, "agent-1", golden)
    assert (row.state, row.vm) == ("intended", None)
    assert journal.fleet.intend(RUN, "agent-1", golden) == row
    journal.fleet.bind(row.intent, VmId("vm-1"))
    assert journal.fleet.intend(RUN, "agent-1", golden).vm == "vm-1"
    journal.fleet.keep_vm(VmId("vm-1"), 5_000.0)
    assert [(m.vm, m.keep_until) for m in journal.fleet.machines(RUN)] == [("vm-1", 5_000.0)]
    journal.fleet.abandon(row.intent)
    assert len(journal.fleet.machines()) == 1, "a machine that exists is not abandoned"
    journal.fleet.gone(VmId("vm-1"))
    assert journal.fleet.machines(RUN) == []
    assert len(journal.fleet.machines(RUN, live=False)) == 1


def test_abandoned_intent(journal: Journal) -> None:
    """An intent that never became a machine is withdrawn."""
    journal.fleet.abandon(journal.fleet.intend(RUN, "agent-1", CommitId("golden")).intent)
    assert journal.fleet.machines() == []


def test_agents(journal: Journal) -> None:
    """Labels are unique in a run; what is not given stays."""
    assert journal.fleet.add_agent(RUN, AgentLabel("architect"), Role.ARCHITECT)
    assert journal.fleet.add_agent(RUN, SERVER, Role.WORKER)
    assert not journal.fleet.add_agent(RUN, SERVER, Role.WORKER)
    journal.fleet.update_agent(RUN, SERVER, vm=VmId("vm-1"), state=AgentState.WORKING, doing="write")
    journal.fleet.update_agent(RUN, SERVER, tasks=1)
    journal.fleet.update_agent(RUN, SERVER)
    architect, server = journal.fleet.agents(RUN)
    assert architect.role is Role.ARCHITECT
    assert (server.vm, server.state, server.doing, server.tasks) == ("vm-1", AgentState.WORKING, "write", 1)


def test_bearers(journal: Journal) -> None:
    """A bearer opens as its agent until the run's bearers are revoked; the empty one opens nothing."""
    journal.fleet.add_agent(RUN, SERVER, Role.WORKER)
    assert journal.usage.spender("") is None
    assert journal.fleet.agent_of_bearer("") is None
    journal.fleet.update_agent(RUN, SERVER, vm=VmId("vm-1"), bearer_sha256=hashlib.sha256(b"key").hexdigest())
    assert journal.usage.spender("key") == Spender(RUN, SERVER, VmId("vm-1"))
    assert journal.usage.spender("other") is None
    journal.fleet.revoke_bearers(RUN)
    assert journal.usage.spender("key") is None


def test_tool_calls(journal: Journal) -> None:
    """A call that is seen again is the same call, with the result that it had."""
    seen = (
        RUN,
        VmId("vm-1"),
        "start-1",
        "dialog-1",
        AgentLabel("architect"),
        "vers_swarm_spawn",
        {"count": 3},
    )
    call = journal.fleet.open_call(*seen)
    assert (call.state, call.result) == ("open", None)
    journal.fleet.finish_call(call, "three agents")
    again = journal.fleet.open_call(*seen)
    assert (again.state, again.result, again.params) == ("done", "three agents", {"count": 3})
    journal.fleet.answered(call)
    assert [each.state for each in journal.fleet.calls(RUN)] == ["answered"]


def test_tool_call_at_once(journal: Journal) -> None:
    """The same call from two readers of the stream is one row."""
    at_once(lambda _n: journal.fleet.open_call(RUN, VmId("vm-1"), "s", "d", SERVER, "t", {}))
    assert len(journal.fleet.calls(RUN)) == 1


def test_golden(journal: Journal) -> None:
    """One golden commit per recipe; a new one replaces it."""
    assert journal.fleet.golden("recipe") is None
    journal.fleet.set_golden("recipe", CommitId("one"), "name")
    journal.fleet.set_golden("recipe", CommitId("two"), "name")
    assert journal.fleet.golden("recipe") == "two"


def test_results(journal: Journal) -> None:
    """Files come back byte for byte, and a second storing replaces the first."""
    files = (Artifact("a", b"\0\xff"), Artifact("b.sh", b"x", 0o100755))
    journal.results.store(RUN, (Artifact("old", b""),))
    journal.results.store(RUN, files)
    assert journal.results.files(RUN) == files
    journal.results.forget(RUN)
    assert journal.results.files(RUN) == ()


# Money ------------------------------------------------------------------------------------------------


def test_reserve_and_settle(journal: Journal) -> None:
    """A reservation counts until it is settled, a broken call stays as reserved."""
    first = journal.usage.reserve(RUN, SERVER, "m", 600)
    assert first
    assert journal.usage.reserve(RUN, SERVER, "m", 401) is None
    journal.usage.settle(first, Tokens(10, 20, 30, 40, 100))
    assert journal.usage.committed_microusd(RUN) == 100
    second = journal.usage.reserve(RUN, SERVER, "m", 900)
    assert second
    journal.usage.settle_broken(second, Tokens(1, 2, 0, 0, 50))
    assert journal.usage.committed_microusd(RUN) == 1_000
    assert journal.usage.by_agent(RUN) == {SERVER: Tokens(11, 22, 30, 40, 1_000)}
    assert journal.usage.reserve(RUN, SERVER, "m", 1) is None
    assert journal.usage.committed_microusd(RunId("other")) == 0


def test_reserve_at_once(journal: Journal) -> None:
    """Parallel reservations never pass the cap, and use it up."""
    calls = at_once(lambda _n: [journal.usage.reserve(RUN, SERVER, "m", 70) for _ in range(3)])
    assert sum(call is not None for each in calls for call in each) == 14
    assert journal.usage.committed_microusd(RUN) == 980


# The snapshot -----------------------------------------------------------------------------------------


def test_snapshot(journal: Journal) -> None:
    """All that people may see of a build, in one value."""
    journal.runs.enter(RUN, Phase.ADMIT)
    journal.runs.enter(RUN, Phase.PREVIEW)
    journal.runs.record(RUN, "warning", text="careful")
    journal.fleet.add_agent(RUN, SERVER, Role.WORKER)
    for agent in (SERVER, AgentLabel("brief")):
        call = journal.usage.reserve(RUN, agent, "m", 100)
        assert call
        journal.usage.settle(call, Tokens(1, 2, 3, 4, 50))
    vm = VmId("vm-9")
    journal.fleet.bind(journal.fleet.intend(RUN, "preview", CommitId("golden")).intent, vm)
    evidence = Evidence(Kind.WEB, ok=True, url="http://x", vm=vm)
    journal.runs.keep(RUN, evidence=dump(evidence))
    journal.runs.cancel(RUN, "bob", "enough")
    seen = snapshot(RUN, journal.runs, journal.fleet, journal.usage)
    assert list(seen.entered) == [Phase.ADMIT, Phase.PREVIEW]
    assert seen.warnings == ("careful",)
    assert [(agent.label, agent.tokens.cost_microusd) for agent in seen.agents] == [(SERVER, 50)]
    assert seen.spent.cost_microusd == 100
    assert seen.evidence == evidence
    assert seen.stopping == "stopped by @bob: enough"
    assert not seen.preview_ended
    journal.fleet.gone(vm)
    assert snapshot(RUN, journal.runs, journal.fleet, journal.usage).preview_ended
    with pytest.raises(NotFound):
        snapshot(RunId("nope"), journal.runs, journal.fleet, journal.usage)


def test_orders(journal: Journal) -> None:
    """One per delivery; each is taken by one call, which gets it again after a restart."""
    orders = journal.orders
    assert orders.give(RUN, "d-1", OrderKind.REVISE, "no table", "ada")
    assert not orders.give(RUN, "d-1", OrderKind.REVISE, "no table", "ada")
    assert orders.give(RUN, "d-2", OrderKind.REVISE, "in blue", "bob")
    assert orders.of(RUN, OrderKind.APPROVE) == []
    taken = [orders.take(RUN, OrderKind.REVISE, call) for call in ("c-1", "c-1", "c-2", "c-3")]
    assert [order and order.text for order in taken] == ["no table", "no table", "in blue", None]


def test_a_plan_caps_the_money(journal: Journal) -> None:
    """A build with a budget of its own may spend that, and the others as before."""
    journal.runs.create(RUN, REQUEST)
    assert journal.usage.cap_of(RUN) == 1_000
    journal.runs.keep(RUN, plan={"budget_microusd": 300})
    assert journal.usage.cap_of(RUN) == 300
    assert journal.usage.reserve(RUN, SERVER, "m", 301) is None
    assert journal.usage.reserve(RUN, SERVER, "m", 300) is not None


def test_a_database_that_does_not_answer_is_passing_trouble(tmp_path: Path) -> None:
    """Whatever method meets it: the engine tries again, and nobody sees SQLAlchemy's own error."""
    engine = open_database(f"sqlite:///{tmp_path}/journal.db")
    runs = Runs(engine, time.time)
    for call in (
        runs.recent,
        lambda: runs.end(RunId("x"), RunState.FAILED, ""),
        lambda: runs.keep(RunId("x"), a=1),
    ):
        with pytest.raises(Transient, match="database"):
            call()


def test_readers_wait_for_nobody(tmp_path: Path) -> None:
    """While somebody writes, pages and loops read on."""
    engine = open_database(f"sqlite:///{tmp_path}/journal.db")
    metadata.create_all(engine)
    runs = Runs(engine, time.time)
    with engine.begin() as db:
        db.execute(text("update runs set reason = 'held'"))
        began = time.monotonic()
        assert runs.recent() == []
        assert time.monotonic() - began < 5, "the busy timeout is 30 s"


def test_a_repository_with_another_name_keeps_its_builds(journal: Journal) -> None:
    """It is known by its id; one that has taken the old name is another."""
    other = replace(REQUEST, repo=Repo("octo/games", 99, 7))
    journal.runs.create(RUN, REQUEST)
    journal.runs.create(RunId("f6e5d4c3b2a1"), other)
    assert journal.runs.rename(Repo("octo/arcade", 42, 7)) == 1
    assert journal.runs.rename(Repo("octo/arcade", 42, 7)) == 0
    (found,) = journal.runs.of_issue("octo/arcade", 7)
    assert (found.id, found.request.repo.full_name) == (RUN, "octo/arcade")
    assert [each.request.repo.id for each in journal.runs.of_issue("octo/games", 7)] == [99]
