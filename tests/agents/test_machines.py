"""Which machines the end of a build takes for its own, on real local machines."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bot.agents.lines import Lines
from bot.agents.machines import Machines
from bot.core.models import CommitId, RunId, VmId
from bot.local.vers.server import Running
from bot.pipeline.journal.database import metadata, open_database
from bot.pipeline.journal.fleet import Fleet
from bot.vms.vers import VersProvider
from tests.contracts.conftest import unlabelled_children

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


@pytest.mark.machines
def test_no_build_takes_a_machine_that_another_is_branching(
    provider: VersProvider, image: CommitId, tmp_path: Path
) -> None:
    """The answer to whoever branched it may be on its way, for as long as a client waits for one; what was lost goes."""
    engine = open_database(f"sqlite:///{tmp_path}/journal.db")
    metadata.create_all(engine)
    fleet = Fleet(engine, time.time)
    clock = {"ahead_s": 0.0}

    def machines(run: RunId) -> Machines:
        return Machines(
            run,
            golden=image,
            deployment="strays",
            provider=provider,
            connect=unused,
            fleet=fleet,
            lines=Lines(unused, unused),
            now=lambda: time.time() + clock["ahead_s"],
        )

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
