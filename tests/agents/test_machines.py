"""Which machines the end of a build takes for its own, on real local machines."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from bot.agents.bench import Bench
from bot.agents.lines import Lines
from bot.agents.machines import Machines
from bot.agents.watch import Watch, WatchLimits
from bot.core.errors import Conflict, Forbidden, Transient
from bot.core.models import AgentLabel, AgentState, CommitId, RunId, VmId
from bot.local.vers.server import Running
from bot.pipeline.journal.database import metadata, open_database
from bot.pipeline.journal.fleet import Fleet
from bot.vms.profile import Profile
from bot.vms.ssh import LineLost
from bot.vms.vers import VersProvider
from tests.contracts.conftest import striking, unlabelled_children
from tests.waiting import wait_until

OURS, OTHER = RunId("0000000000aa"), RunId("0000000000bb")


def unused(*_args: Any, **_options: Any) -> Any:
    """No line is opened here."""
    raise AssertionError


@pytest.fixture
def provider(local_vers: Running) -> VersProvider:
    """The account of the shared server."""
    return VersProvider(url=local_vers.base_url, api_key=local_vers.api_key, vm_domain=local_vers.vm_domain)


@pytest.fixture
def image(provider: VersProvider) -> Iterator[CommitId]:
    """An image for these builds alone; it goes with all machines that stem from it."""
    parent = provider.create(memory_mib=512, disk_mib=1024, vcpus=1, labels={"app": "test"})
    commit = provider.commit(parent, "strays")
    provider.delete(parent)
    yield commit
    for vm in unlabelled_children(provider, commit):
        provider.delete(vm)
    provider.delete_commit(commit)


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    """A journal of its own."""
    engine = open_database(f"sqlite:///{tmp_path}/journal.db")
    metadata.create_all(engine)
    return Fleet(engine, time.time)


def machines_of(
    run: RunId,
    provider: VersProvider,
    fleet: Fleet,
    image: CommitId,
    now: Callable[[], float] = time.time,
) -> Machines:
    """A build's machines, without lines."""
    return Machines(
        run, golden=image, deployment="strays", provider=provider, connect=unused, fleet=fleet,
        lines=Lines(unused, unused), now=now,
    )  # fmt: skip


class Refusing(httpx.HTTPTransport):
    """Refuses some of the branches: `statuses` has an answer per branch, 0 for those that are let through."""

    def __init__(self, *statuses: int) -> None:
        super().__init__()
        self.statuses = list(statuses)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Ask the server, unless it is a branch to refuse."""
        refused = self.statuses.pop(0) if "/vm/branch/" in request.url.path and self.statuses else 0
        return httpx.Response(refused, text="no") if refused else super().handle_request(request)


@pytest.fixture
def one_by_one(local_vers: Running) -> Callable[..., VersProvider]:
    """Makes clients of a server that branches one machine at a time and refuses some."""

    def make(*statuses: int) -> VersProvider:
        return VersProvider(
            url=local_vers.base_url, api_key=local_vers.api_key, vm_domain=local_vers.vm_domain,
            profile=Profile(branch_count=1), transport=Refusing(*statuses),
        )  # fmt: skip

    return make


@pytest.mark.machines
@pytest.mark.parametrize("times", [1, 4], ids=["once", "for good"])
def test_what_a_lost_answer_left_of_a_snapshot_goes_with_it(
    provider: VersProvider, fleet: Fleet, image: CommitId, local_vers: Running, times: int
) -> None:
    """Whether the branch came in the end or not: the machines that nobody heard of would keep the snapshot for ever."""
    machines = machines_of(OURS, provider, fleet, image)
    (vm,) = machines.take(["agent-1"])
    commit = machines.commit(vm, f"strays-{times}")
    before = {info.id for info in provider.vms()}
    with striking(local_vers) as strike:
        strike("POST /vm/branch/by_commit/*", "after", status=500, times=times)
        if times == 1:
            machines.take(["scratch-1"], commit)
        else:
            with pytest.raises(Transient):
                machines.take(["scratch-1"], commit)
    assert len(unlabelled_children(provider, commit)) == times
    machines_of(OURS, provider, fleet, image).delete_all()
    assert {info.id for info in provider.vms()} == before - {vm}
    assert commit not in {each.id for each in provider.commits()}


@pytest.mark.machines
def test_a_machine_whose_origin_is_not_told_stops_no_teardown(
    provider: VersProvider, fleet: Fleet, image: CommitId, local_vers: Running
) -> None:
    """It may be anybody's; the reaper looks again."""
    machines = machines_of(OURS, provider, fleet, image)
    (vm,) = machines.take(["agent-1"])
    commit = machines.commit(vm, "strays-untold")
    (untold,) = provider.branch(commit)
    (told,) = provider.branch(commit)
    with striking(local_vers) as strike:
        strike(f"GET /vm/{untold}/metadata", "before", status=403)
        with pytest.raises(Conflict):  # the snapshot has to stay as long as it does
            machines.delete_all()
    assert {info.id for info in provider.vms()} & {vm, untold, told} == {untold}
    machines.delete_all()
    assert untold not in {info.id for info in provider.vms()}
    assert commit not in {each.id for each in provider.commits()}


@pytest.mark.machines
def test_machines_that_came_before_a_refusal_are_kept(
    one_by_one: Callable[..., VersProvider], fleet: Fleet, image: CommitId
) -> None:
    """The rest is asked for again; where it is refused for good, those that came have their names and their labels."""
    wanted = ["agent-1", "agent-2", "agent-3"]
    provider = one_by_one(0, 0, 503)
    machines = machines_of(OURS, provider, fleet, image)
    made = machines.take(wanted)
    assert unlabelled_children(provider, image) == []
    assert len({info.id for info in provider.vms() if info.labels.get("run") == OURS}) == len(made) == 3
    machines.delete_all()

    provider = one_by_one(0, 0, 403, 403)
    machines = machines_of(OTHER, provider, fleet, image)
    with pytest.raises(Forbidden):
        machines.take(wanted)
    there = {info.labels["agent"]: info.id for info in provider.vms() if info.labels.get("run") == OTHER}
    assert machines.of_agents() == there
    assert set(there) == {"agent-1", "agent-2"}
    machines.delete_all()
    assert unlabelled_children(provider, image) == []


@pytest.mark.machines
def test_a_seat_whose_machine_came_is_used(
    one_by_one: Callable[..., VersProvider], fleet: Fleet, image: CommitId
) -> None:
    """Also where the machine of its neighbour was refused."""
    machines = machines_of(OURS, one_by_one(0, 403, 403), fleet, image)
    bench = Bench(machines, lambda _vm: None)
    first, second = bench.claim(2)
    assert first.vm.result(30) == machines.of_agents()[first.purpose]
    with pytest.raises(Forbidden):
        second.vm.result(30)
    bench.close()
    machines.delete_all()


def watch_of(trouble: Callable[[], str], lost_s: float) -> Watch:
    """A watch whose line is cut."""

    def cut() -> Any:
        raise LineLost("the line is cut")

    def ignored(*_args: object) -> None:
        pass

    return Watch(
        AgentLabel("server"), VmId("vm"), line=cut, trouble=trouble, limits=WatchLimits(60.0, lost_s), now=time.time,
        on_dialog=ignored, on_tools_ended=ignored, on_restart=ignored, on_change=ignored,
    )  # fmt: skip


@pytest.mark.machines
def test_a_provider_that_refuses_to_tell_does_not_end_a_watch(
    provider: VersProvider, fleet: Fleet, image: CommitId, local_vers: Running
) -> None:
    """A cut line is tried again until it is down for too long, and that is the agent's end."""
    machines = machines_of(OURS, provider, fleet, image)
    (vm,) = machines.take(["agent-1"])
    asked = []

    def trouble() -> str:
        with striking(local_vers) as strike:
            strike(f"GET /vm/{vm}/status", "before", status=403)
            asked.append(machines.trouble(vm))
        return asked[-1]

    watch = watch_of(trouble, lost_s=1.0)
    watch.expect("task-1")
    watch.start()
    wait_until(lambda: watch.ended, 20, "the watch has ended")
    assert (watch.state, "could not be reached for 1 s" in watch.reason) == (AgentState.LOST, True)
    assert len(asked) > 1
    assert set(asked) == {""}
    machines.delete_all()


@pytest.mark.parametrize("error", [Forbidden("no"), RuntimeError("a bug")])
def test_whatever_goes_wrong_in_a_watch_has_a_state(error: Exception) -> None:
    """Also while it asks what is wrong: an agent whose watch is dead would work for ever."""

    def trouble() -> str:
        raise error

    watch = watch_of(trouble, lost_s=60.0)
    watch.start()
    wait_until(lambda: watch.ended, 20, "the watch has ended")
    assert watch.state is AgentState.LOST


@pytest.mark.machines
def test_no_build_takes_a_machine_that_another_is_branching(
    provider: VersProvider, fleet: Fleet, image: CommitId
) -> None:
    """The answer to whoever branched it may be on its way, for as long as a client waits for one; what was lost goes."""
    clock = {"ahead_s": 0.0}

    def machines(run: RunId) -> Machines:
        return machines_of(run, provider, fleet, image, lambda: time.time() + clock["ahead_s"])

    def alive(vm: VmId) -> bool:
        return vm in {info.id for info in provider.vms()}

    machines(OURS).intend(["agent-1"])
    machines(OTHER).intend(["agent-1"])
    (vm,) = provider.branch(image)  # its answer has not reached the other build yet
    clock["ahead_s"] = provider.answer_limit_s + 5
    machines(OURS).delete_all()
    assert alive(vm), "the other build still waits, whatever the clocks of the two computers say"

    fleet.bind(f"{OTHER}/agent-1", vm)
    machines(OURS).intend(["agent-2"])
    machines(OURS).delete_all()
    assert alive(vm), "it has an owner now"

    machines(OURS).intend(["agent-3"])
    (young,) = provider.branch(image)
    clock["ahead_s"] = provider.answer_limit_s - 60
    machines(OURS).delete_all()
    assert alive(young), "somebody who wrote nothing down may wait for it"

    clock["ahead_s"] = 0.0
    machines(OURS).intend(["agent-4"])
    (lost,) = provider.branch(image)
    clock["ahead_s"] = provider.answer_limit_s + 5
    machines(OURS).delete_all()
    assert not alive(lost)
    assert alive(vm)
