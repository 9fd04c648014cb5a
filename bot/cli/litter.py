"""What a probe makes, and its end: nothing is left, or what is left is named."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

from bot.agents.strays import parent_of
from bot.core.errors import BotError, Permanent
from bot.core.models import CommitId, VmId
from bot.vms.base import Provider

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Litter:
    """The machines and the snapshot of one probe.

    Attributes:
        labels: what its machines carry, and no others.
        name: of the snapshot, whose id may have been lost.
        branching: a branch of the snapshot was asked for, and not answered yet.
    """

    vers: Provider
    labels: Mapping[str, str]
    name: str
    vms: list[VmId] = field(default_factory=list)
    commit: CommitId | None = None
    branching: bool = False

    def clear(self) -> None:
        """Delete everything, also what lost answers left.

        Raises:
            Permanent: something is left; the message names it, after all was tried.
        """
        left: list[str] = []
        commits: list[CommitId] = []
        self._try(left, "its snapshot", lambda: commits.extend(self._snapshots()))
        self._try(left, "what lost answers made", lambda: self.vms.extend(self._lost(commits)))
        for vm in self.vms:
            self._try(left, f"machine {vm}", partial(self.vers.delete, vm))
        for commit in commits:
            self._try(left, f"snapshot {commit}", partial(self.vers.delete_commit, commit))
        if left:
            raise Permanent(
                f"The probe left something behind, which bills until it is deleted: {'; '.join(left)}"
            )

    def _snapshots(self) -> list[CommitId]:
        if self.commit is not None:
            return [self.commit]
        return [each.id for each in self.vers.commits() if each.name == self.name]

    def _lost(self, commits: list[CommitId]) -> list[VmId]:
        found = []
        for vm in self.vers.vms():
            made = all(vm.labels.get(name) == value for name, value in self.labels.items())
            born = self.branching and not vm.labels and parent_of(self.vers, vm.id) in commits
            if vm.id not in self.vms and (made or born):
                found.append(vm.id)
        return found

    @staticmethod
    def _try(left: list[str], what: str, do: Callable[[], None]) -> None:
        try:
            do()
        except BotError as error:
            log.warning("%s of a probe: %s", what, error)
            left.append(f"{what} ({error})")
