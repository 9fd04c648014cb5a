"""Machines of a build for one use: the preview's, branched ahead, and others; recorded before they exist."""

from concurrent.futures import Executor, Future
from typing import Self

from bot.core.models import CommitId, RunId, VmId
from bot.pipeline.rooms import Rooms
from bot.vms.base import Shell, labels_of

PURPOSE = "preview"


class CleanMachine:
    """At most one live machine of a build for one purpose, by default its preview.

    A machine that a former process left is never used: nobody knows how far it came. It is deleted first.
    """

    def __init__(
        self,
        rooms: Rooms,
        run: RunId,
        golden: CommitId,
        keep_until: float | None = None,
        purpose: str = PURPOSE,
    ) -> None:
        """`purpose` tells it from other machines of the build that outlive it."""
        self._rooms = rooms
        self._run = run
        self._golden = golden
        self._keep_until = keep_until
        self._purpose = purpose
        self._ahead: Future[Shell] | None = None

    @classmethod
    def of(cls, rooms: Rooms, run: RunId, keep_until: float | None = None) -> Self:
        """The clean machine of a build that has a golden image; one of a build that has ended needs a time to be kept."""
        return cls(rooms, run, CommitId(rooms.runs.get(run).result["golden"]), keep_until)

    def branch_ahead(self, executor: Executor) -> None:
        """Start to branch and to connect while something else is going on."""
        if self._ahead is None:
            self._ahead = executor.submit(self._machine)

    def take(self) -> Shell:
        """The line to a machine on which nothing has run yet."""
        ahead, self._ahead = self._ahead, None
        if ahead is not None:
            return ahead.result()
        self.delete()
        return self._machine()

    def delete(self) -> None:
        """No machine of this purpose is left, nor one on its way."""
        ahead, self._ahead = self._ahead, None
        if ahead is not None and not ahead.cancel() and ahead.exception() is None:
            # That waited: what is being branched has to be written down before it can be deleted.
            ahead.result().close()
        for row in self._rooms.fleet.machines(self._run):
            if row.purpose.startswith(self._purpose):
                if row.vm is None:
                    self._rooms.fleet.abandon(row.intent)
                else:
                    self._rooms.provider.delete(row.vm)
                    self._rooms.fleet.gone(row.vm)

    def _machine(self) -> Shell:
        return self._rooms.connect(self._branch())

    def _branch(self) -> VmId:
        rooms = self._rooms
        used = [
            row
            for row in rooms.fleet.machines(self._run, live=False)
            if row.purpose.startswith(self._purpose)
        ]
        row = rooms.fleet.intend(
            self._run, f"{self._purpose}-{len(used) + 1}", self._golden, self._keep_until
        )
        (vm,) = rooms.provider.branch(self._golden)
        rooms.fleet.bind(row.intent, vm)
        rooms.provider.label(vm, labels_of(rooms.deployment, run=self._run, agent=self._purpose))
        return vm
