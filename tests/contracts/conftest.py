"""A line to machines of a Vers, and the fault switch of a local one."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from bot.core.models import CommitId, VmId
from bot.local.vers.server import Running
from bot.settings import Settings
from bot.vms.ssh import SshConnector
from bot.vms.vers import VersProvider

Strike = Callable[..., None]


def connector(vers: Settings, provider: VersProvider, front: str = "") -> SshConnector:
    """Lines through the front, or through what stands before it."""
    return SshConnector(
        provider, vm_domain=vers.vers_vm_domain, front=front or vers.vers_front, ca_file=vers.vers_ca_file, patience_s=10.0
    )  # fmt: skip


def unlabelled_children(provider: VersProvider, commit: CommitId) -> list[VmId]:
    """Machines without any label that started from a snapshot: what a `branch` left whose answer was lost."""
    return [
        vm.id for vm in provider.vms() if not vm.labels and provider.metadata(vm.id).parent_commit == commit
    ]


@contextmanager
def striking(vers: Running) -> Iterator[Strike]:
    """Puts faults into the server's table (`bot.local.vers.faults`). All must have struck in the end."""
    table = f"{vers.base_url.removesuffix('/api/v1')}/_local/faults"

    def put(route: str, kind: str, **more: Any) -> None:
        httpx.post(table, json={"route": route, "kind": kind, **more}).raise_for_status()

    try:
        yield put
    except BaseException:
        httpx.delete(table)
        raise
    assert httpx.delete(table).raise_for_status().json() == {"left": 0}
