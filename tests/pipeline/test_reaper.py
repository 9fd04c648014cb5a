"""What the reaper takes and what it leaves alone, on real local machines."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from bot.core.models import BuildRequest, CommitId, Repo, RunId, RunState, VmId
from bot.local.vers.server import Running
from bot.pipeline.journal.database import metadata, open_database
from bot.pipeline.journal.fleet import Fleet
from bot.pipeline.journal.runs import Runs
from bot.pipeline.reaper import ORPHAN_AGE_S, Reaper
from bot.vms.vers import VersProvider

OURS = {"app": "swarm-build", "deployment": "reaped"}
RUN = RunId("0123456789ab")


@dataclass
class Yard:
    """A provider, a journal, and a clock that can be set forward."""

    provider: VersProvider
    runs: Runs
    fleet: Fleet
    ahead_s: float = 0.0

    def sweep(self) -> int:
        """One sweep at the yard's time."""
        return Reaper(
            self.provider, self.runs, self.fleet, "reaped", lambda: time.time() + self.ahead_s
        ).sweep()

    def machine(self, labels: dict[str, str]) -> VmId:
        """A machine, as somebody made it."""
        return self.provider.create(memory_mib=512, disk_mib=1024, vcpus=1, labels=labels)

    def alive(self, vm: VmId) -> bool:
        """Whether the provider still has it."""
        return vm in {info.id for info in self.provider.vms()}


@pytest.fixture
def yard(local_vers: Running, tmp_path: Path) -> Iterator[Yard]:
    """A yard with one running build; what is left is deleted."""
    engine = open_database(f"sqlite:///{tmp_path}/journal.db")
    metadata.create_all(engine)
    provider = VersProvider(
        url=local_vers.base_url, api_key=local_vers.api_key, vm_domain=local_vers.vm_domain
    )
    runs = Runs(engine, time.time)
    runs.create(RUN, BuildRequest(Repo("o/r", 1, 1), 1, "title", "body", "someone", "delivery"))
    before = {info.id for info in provider.vms()}
    yield Yard(provider, runs, Fleet(engine, time.time))
    for info in provider.vms():
        if info.id not in before:
            provider.delete(info.id)


def _bound(yard: Yard, purpose: str) -> VmId:
    vm = yard.machine({**OURS, "run": RUN})
    yard.fleet.bind(yard.fleet.intend(RUN, purpose, CommitId("c")).intent, vm)
    return vm


def test_machines_of_a_running_build_stay(yard: Yard) -> None:
    """However old they are."""
    vm = _bound(yard, "agent-1")
    yard.ahead_s = 10 * ORPHAN_AGE_S
    assert yard.sweep() == 0
    assert yard.alive(vm)


def test_machines_of_an_ended_build_go_and_a_preview_stays_until_its_time(yard: Yard) -> None:
    """At once, save what is kept until later: that is ended with its address, and only then by us."""
    agent, preview = _bound(yard, "agent-1"), _bound(yard, "preview-1")
    yard.fleet.keep_vm(preview, time.time() + 3600)
    yard.runs.end(RUN, RunState.SUCCEEDED, "")
    assert yard.sweep() == 1
    assert not yard.alive(agent)
    assert yard.alive(preview)
    yard.ahead_s = 3600 + ORPHAN_AGE_S + 60
    assert yard.sweep() == 1
    assert not yard.alive(preview)


@pytest.mark.parametrize("labels", [OURS, {}], ids=["labelled", "unlabelled"])
def test_orphans_go_when_they_are_old(yard: Yard, labels: dict[str, str]) -> None:
    """A machine of ours that no row knows, and a child of our golden image that nobody labelled."""
    parent = yard.machine(OURS)
    commit = yard.provider.commit(parent, "reaped-golden")
    yard.fleet.set_golden("recipe", commit, "reaped-golden")
    yard.provider.delete(parent)
    (orphan,) = yard.provider.branch(commit)
    yard.provider.label(orphan, labels)
    assert yard.sweep() == 0, "its row may still be on its way"
    yard.ahead_s = ORPHAN_AGE_S + 60
    assert yard.sweep() >= 1
    assert not yard.alive(orphan)
    yard.provider.delete_commit(commit)


def test_what_a_lost_answer_left_of_a_builds_own_snapshot_goes(
    yard: Yard, fault: Callable[[str], None]
) -> None:
    """Nobody labelled it and no row knows it; and one whose origin is not told now does not spare it."""
    source = yard.machine(OURS)
    yard.fleet.intend_commit(RUN, "reaped-own")
    commit = yard.provider.commit(source, "reaped-own")
    yard.fleet.bind_commit("reaped-own", commit)
    yard.provider.delete(source)
    untold, lost = yard.provider.branch(commit, 2)
    yard.runs.end(RUN, RunState.FAILED, "")
    assert yard.sweep() == 0, "its row may still be on its way"
    yard.ahead_s = ORPHAN_AGE_S + 60
    fault(f"GET /vm/{untold}/metadata")
    assert yard.sweep() == 1
    assert yard.alive(untold)
    assert not yard.alive(lost)
    assert yard.sweep() == 1
    assert not yard.alive(untold)
    assert commit not in {each.id for each in yard.provider.commits()}


@pytest.mark.parametrize("labels", [{}, {"app": "something-else"}, {**OURS, "deployment": "another"}])
def test_machines_of_others_stay(yard: Yard, labels: dict[str, str]) -> None:
    """The account may have machines that are none of our business."""
    vm = yard.machine(labels)
    yard.ahead_s = 10 * ORPHAN_AGE_S
    yard.sweep()
    assert yard.alive(vm)


def test_one_refusal_does_not_spare_the_rest(yard: Yard, fault: Callable[[str], None]) -> None:
    """A machine that cannot be deleted now is tried again with the next sweep."""
    first, second = _bound(yard, "agent-1"), _bound(yard, "agent-2")
    yard.runs.end(RUN, RunState.FAILED, "")
    fault(f"DELETE /vm/{first}")
    assert yard.sweep() == 1
    assert yard.alive(first)
    assert not yard.alive(second)
    assert yard.sweep() == 1
    assert not yard.alive(first)


def test_snapshots_go_with_their_build(yard: Yard) -> None:
    """A teardown that never happened leaves them; one whose answer was lost is found by its name."""
    source = yard.machine(OURS)
    other = RunId("ba9876543210")
    yard.runs.create(other, BuildRequest(Repo("o/r", 1, 1), 2, "title", "body", "someone", "another"))
    made = {}
    for run, name in ((RUN, "reaped-known"), (RUN, "reaped-lost"), (other, "reaped-other")):
        yard.fleet.intend_commit(run, name)
        made[name] = yard.provider.commit(source, name)
    for name in ("reaped-known", "reaped-other"):
        yard.fleet.bind_commit(name, made[name])
    yard.sweep()
    assert len(yard.fleet.commits(RUN)) == 2, "its build goes on"
    yard.runs.end(RUN, RunState.FAILED, "the worker died")
    yard.sweep()
    assert yard.fleet.runs_with_commits() == [other]
    left = {commit.id for commit in yard.provider.commits()}
    assert left & set(made.values()) == {made["reaped-other"]}
    yard.runs.end(other, RunState.FAILED, "")
    yard.sweep()
    assert not {commit.id for commit in yard.provider.commits()} & set(made.values())


@pytest.fixture
def fault(local_vers: Running) -> Callable[[str], None]:
    """Orders one refusal that is final."""
    import httpx

    def order(route: str) -> None:
        body = {
            "route": route,
            "kind": "before",
            "status": 409,
            "times": 1,
        }
        httpx.post(f"{local_vers.base_url}/_local/faults", json=body).raise_for_status()

    return order
