"""Nothing outlives its reason: machines whose build has ended, intents that never became one, orphans of a lost answer."""

import logging
from collections.abc import Callable
from dataclasses import dataclass

from bot.core.errors import BotError, NotFound
from bot.core.models import VmId
from bot.pipeline.journal.fleet import Fleet, VmRow
from bot.pipeline.journal.runs import Runs
from bot.vms.base import Provider

log = logging.getLogger(__name__)

LABEL_APP = "swarm-build"
ORPHAN_AGE_S = 900.0
"""An unknown machine with our labels gets this long to turn up in the journal before it is deleted."""


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
        return gone + self._orphans()

    def _is_over(self, row: VmRow) -> bool:
        if row.keep_until is not None:
            return False  # a preview: `pipeline.previews` knows when it ends, and what ends with it
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
        known = {row.vm for row in self.fleet.machines()}
        waiting = any(row.vm is None for row in self.fleet.machines())
        gone = 0
        for vm in self.provider.vms():
            ours = vm.labels.get("app") == LABEL_APP and vm.labels.get("deployment") == self.deployment
            if ours and vm.id not in known and not waiting:
                log.warning("machine %s carries our labels and belongs to no build: deleted", vm.id)
                gone += self._delete_vm(vm.id)
        return gone
