"""Machines that lost answers left behind: no row knows them, and only their origin or their run says whose they are."""

import logging
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime

from bot.core.errors import BotError, NotFound
from bot.core.models import CommitId, RunId, VmId
from bot.pipeline.journal.fleet import Fleet, VmRow
from bot.vms.base import Provider, VmInfo

log = logging.getLogger(__name__)


def parent_of(provider: Provider, vm: VmId) -> CommitId | None:
    """The snapshot that a machine started from; None if there is none, if it is gone, and if the provider does not say."""
    try:
        return provider.metadata(vm).parent_commit
    except NotFound:
        return None  # it was deleted since it was listed
    except BotError as error:
        log.warning("the origin of machine %s is not known: %s", vm, error)
        return None


def snapshots_of(fleet: Fleet, run: RunId) -> set[CommitId]:
    """The snapshots of a run that have an id: nobody else starts machines from them."""
    return {commit for commit in fleet.commits(run).values() if commit}


@dataclass(frozen=True, slots=True)
class Strays:
    """Looks for what one build left. What is not certain is left to the reaper."""

    run: RunId
    golden: CommitId | None
    """The image that the build shares with others; None where only its own snapshots count."""
    provider: Provider
    fleet: Fleet
    now: Callable[[], float]

    def find(self) -> list[VmId]:
        """
        Raises:
            BotError: the machines cannot be listed.
        """
        own = snapshots_of(self.fleet, self.run)
        listed = self.provider.vms()
        rows = self.fleet.machines(
            live=False
        )  # after the list: what was listed and answered meanwhile has its row
        known = {row.vm for row in rows}
        mine = [row.created_at for row in rows if row.run == self.run]
        if not mine:
            return []
        golden = None if self._is_awaited(rows) else self.golden
        since = min(mine) - 1
        return [vm.id for vm in listed if vm.id not in known and self._is_ours(vm, own, golden, since)]

    def _is_awaited(self, rows: Collection[VmRow]) -> bool:
        """Whether an answer to another build may be on its way, whatever the clocks of two computers say."""
        return any(
            row.vm is None and row.state != "gone" and row.run != self.run and row.commit == self.golden
            for row in rows
        )

    def _is_ours(self, vm: VmInfo, own: set[CommitId], golden: CommitId | None, since: float) -> bool:
        if vm.labels:
            return vm.labels.get("run") == self.run  # it was labelled as it was made, and its answer was lost
        born = datetime.fromisoformat(vm.created_at).timestamp() if vm.created_at else since
        settled = self.now() - born > self.provider.answer_limit_s
        origins = own | {golden} if golden and settled else own
        return bool(origins) and born >= since and parent_of(self.provider, vm.id) in origins
