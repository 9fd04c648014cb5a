"""Nothing outlives its reason: machines and snapshots whose build has ended, intents that never became one, orphans of a
lost answer.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from bot.agents.snapshots import delete_snapshots
from bot.agents.strays import parent_of
from bot.core.errors import BotError, NotFound
from bot.core.models import CommitId, RunId, VmId
from bot.pipeline.journal.fleet import Fleet, VmRow
from bot.pipeline.journal.runs import Runs
from bot.vms.base import Provider, VmInfo, is_of

log = logging.getLogger(__name__)

ORPHAN_AGE_S = 1800.0
"""A machine that no row knows is left alone for so long: a golden image that is being built has none, either."""


@dataclass(frozen=True, slots=True)
class Reaper:
    """Looks for leftovers."""

    provider: Provider
    runs: Runs
    fleet: Fleet
    deployment: str
    now: Callable[[], float]

    def sweep(self) -> int:
        """Delete what nobody needs; how many machines went. An error on one machine does not spare the others."""
        gone = sum(self._delete(row) for row in self.fleet.machines() if self._is_over(row))
        gone += self._orphans()
        self._snapshots()  # last: one that a machine was made from may be refused while that stands
        return gone

    def _snapshots(self) -> None:
        for run in self.fleet.runs_with_commits():
            if self._has_ended(run):
                for error in delete_snapshots(self.provider, self.fleet, run):
                    log.warning("a snapshot of build %s was not deleted: %s", run, error)

    def _has_ended(self, run: RunId) -> bool:
        try:
            return self.runs.get(run).state.ended
        except NotFound:
            return True

    def _is_over(self, row: VmRow) -> bool:
        if row.keep_until is not None:
            # `pipeline.previews` ends a preview, with its address on GitHub; here only what it could not.
            return row.keep_until + ORPHAN_AGE_S < self.now()
        try:
            return self.runs.get(row.run).state.ended
        except NotFound:
            # Golden images and commands of the operator have no run; their builders delete them, unless they died.
            return row.created_at + ORPHAN_AGE_S < self.now()

    def _delete(self, row: VmRow) -> bool:
        if row.vm is None:
            self.fleet.abandon(row.intent)
            return False
        return self._delete_vm(row.vm)

    def _delete_vm(self, vm: VmId) -> bool:
        try:
            self.provider.delete(vm)
        except BotError as error:
            log.warning("machine %s was not deleted: %s", vm, error)
            return False
        self.fleet.gone(vm)
        return True

    def _orphans(self) -> int:
        """Machines that no row knows: ours by their labels, or unlabelled children of our images and snapshots."""
        listed = self.provider.vms()
        known = {
            row.vm for row in self.fleet.machines()
        }  # after the list: what was answered meanwhile has its row
        origins = {*self.fleet.golden_commits(), *self.fleet.snapshots()}
        gone = 0
        old_s = max(
            ORPHAN_AGE_S, 2 * self.provider.answer_limit_s
        )  # a build may be waiting for it until then
        for vm in listed:
            if vm.id not in known and self._age_s(vm) > old_s and self._is_ours(vm, origins):
                log.warning("vm %s belongs to no build: deleted", vm.id)
                gone += self._delete_vm(vm.id)
        return gone

    def _age_s(self, vm: VmInfo) -> float:
        return self.now() - datetime.fromisoformat(vm.created_at).timestamp() if vm.created_at else 0.0

    def _is_ours(self, vm: VmInfo, origins: set[CommitId]) -> bool:
        if vm.labels:
            return is_of(vm.labels, self.deployment)
        return parent_of(self.provider, vm.id) in origins
