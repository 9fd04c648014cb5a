"""A provider's bad days, struck by the local Vers' own switch, as the product's client meets them."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bot.core.errors import Transient
from bot.core.models import CommitId, VmId
from bot.local.vers.server import Running
from bot.vms.vers import VersProvider
from tests.cli.conftest import settings_at
from tests.contracts.conftest import Strike, connector, striking, unlabelled_children

pytestmark = pytest.mark.machines


@pytest.fixture(scope="module")
def provider(local_vers: Running) -> Iterator[VersProvider]:
    with VersProvider(
        url=local_vers.base_url, api_key=local_vers.api_key, vm_domain=local_vers.vm_domain, patience_s=20.0
    ) as made:
        yield made


@pytest.fixture(scope="module")
def vm(provider: VersProvider) -> Iterator[VmId]:
    made = provider.create(memory_mib=512, disk_mib=1024, vcpus=1, labels={"purpose": "faults"})
    yield made
    provider.delete(made)


@pytest.fixture(scope="module")
def image(provider: VersProvider, vm: VmId) -> Iterator[CommitId]:
    made = provider.commit(vm, "faults")
    yield made
    provider.delete_commit(made)


@pytest.fixture
def strike(local_vers: Running) -> Iterator[Strike]:
    with striking(local_vers) as put:
        yield put


@pytest.mark.parametrize(
    "ask",
    [
        lambda vers, vm: vers.vms(),
        lambda vers, vm: vers.status(vm),
        lambda vers, vm: vers.metadata(vm),
        lambda vers, vm: vers.label(vm, {"purpose": "faults"}),
        lambda vers, vm: vers.ssh_key(vm),
        lambda vers, vm: vers.write_file(vm, "/root/x", b"x"),
        lambda vers, vm: vers.commits(),
        lambda vers, vm: vers.account_variables(),
    ],
)
@pytest.mark.parametrize("kind", ["before", "after", "cut"])
def test_what_may_be_repeated_is(
    provider: VersProvider, vm: VmId, strike: Strike, ask: Callable[..., object], kind: str
) -> None:
    """Unavailable without Retry-After, an error after the effect, a broken answer: each twice."""
    strike("*", kind, times=2)
    ask(provider, vm)


@pytest.mark.parametrize("kind", ["after", "cut"])
def test_a_machine_whose_name_was_lost_is_found_by_its_labels(
    provider: VersProvider, strike: Strike, kind: str
) -> None:
    """Made, and answered with an error or not at all: no second one is made."""
    strike("POST /vm/new_root", kind, status=500)
    with pytest.raises(Transient):
        provider.create(memory_mib=512, disk_mib=1024, vcpus=1, labels={"purpose": f"lost-{kind}"})
    [lost] = [info.id for info in provider.vms() if info.labels.get("purpose") == f"lost-{kind}"]
    provider.delete(lost)


@pytest.mark.parametrize("kind", ["after", "cut"])
def test_branches_whose_names_were_lost_are_found_by_their_origin(
    provider: VersProvider, image: CommitId, strike: Strike, kind: str
) -> None:
    """All of them, and no more."""
    strike("POST /vm/branch/by_commit/*", kind, status=500)
    with pytest.raises(Transient):
        provider.branch(image, 2)
    lost = unlabelled_children(provider, image)
    assert len(lost) == 2
    for each in lost:
        provider.delete(each)


def test_a_snapshot_whose_name_was_lost_is_found_by_the_one_we_gave(
    provider: VersProvider, vm: VmId, strike: Strike
) -> None:
    """A commit is not repeated."""
    strike("POST /vm/*/commit", "after", status=500)
    with pytest.raises(Transient):
        provider.commit(vm, "faults-lost")
    [lost] = [info.id for info in provider.commits() if info.name == "faults-lost"]
    provider.delete_commit(lost)


@pytest.mark.parametrize(("kind", "times"), [("before", 2), ("after", 1), ("cut", 1)])
def test_a_deletion_that_fails(
    provider: VersProvider, image: CommitId, strike: Strike, kind: str, times: int
) -> None:
    """Tried again until it is certain; one that had happened is answered 403 the next time, and is none the worse."""
    (made,) = provider.branch(image)
    strike("DELETE /vm/*", kind, times=times)
    provider.delete(made)
    assert made not in [info.id for info in provider.vms()]


def test_a_slow_boot_and_a_line_that_is_refused_are_waited_for(
    local_vers: Running, provider: VersProvider, image: CommitId, strike: Strike, tmp_path: Path
) -> None:
    """Running for the API is not yet reachable."""
    strike("BOOT *", "delay", seconds=1.0)
    strike("SSH *", "refuse", times=3)
    (made,) = provider.branch(image)
    shell = connector(settings_at(local_vers, tmp_path), provider)(made)
    assert shell.run("echo up").text == "up\n"
    shell.close()
    provider.delete(made)
