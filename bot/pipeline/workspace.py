"""What the agents of a build start from and what they make of it: the repository's files, and the difference to them."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bot.core import artifacts
from bot.core.artifacts import Inspection
from bot.core.models import Artifact, LeftOut
from bot.core.tree import (
    ANYWHERE,
    DELETIONS,
    EVIDENCE,
    Bounds,
    Start,
    asked_deletions,
    claims,
    overlaid,
    placeable,
)
from bot.github.client import Repository
from bot.github.values import Base


@dataclass(frozen=True, slots=True)
class Difference:
    """What a build changes in the repository."""

    files: tuple[Artifact, ...]
    """New and changed ones."""
    deleted: tuple[str, ...]
    left_out: tuple[LeftOut, ...]
    claims: dict[int, str]
    """Requirement number -> what the architect says that shows it."""


class Workspace:
    """The files of one commit, fetched once per process."""

    def __init__(self, repository: Callable[[], Repository], origin: Base, bounds: Bounds = ANYWHERE) -> None:
        """
        Args:
            repository: a client of its own, because fetching goes on beside other work.
            origin: the commit that the agents start from.
            bounds: what may be changed.
        """
        self._repository = repository
        self._origin = origin
        self._bounds = bounds
        self._lock = threading.Lock()
        self._start: Start | None = None
        self._left = 0

    def start(self) -> Start:
        """The files of the commit, as far as they are placed, and the listing of all.

        Raises:
            UserError: the repository is too large.
            BotError: see `bot.github.errors`.
        """
        with self._lock:
            if self._start is None:
                repository = self._repository()
                try:
                    listing = repository.contents.listing(self._origin.tree_sha)
                    wanted, self._left = placeable(listing)
                    chosen = {path: listing[path] for path in wanted}
                    self._start = Start(repository.contents.files(self._origin.sha, chosen), listing)
                    self._left += len(chosen) - len(self._start.files)
                finally:
                    repository.close()
            return self._start

    @property
    def not_placed(self) -> int:
        """How many of the repository's files the agents do not see: links, submodules, what is past `SeedLimits`. After `start`."""
        return self._left

    def difference(self, tar: bytes) -> Difference:
        """What a workspace changes.

        Raises:
            Permanent: the tar is damaged.
        """
        listing = self.start().listing
        found: Inspection = artifacts.inspect(tar, base=listing, bounds=self._bounds)
        kept = [file.path for file in found.files]
        deleted, stay = asked_deletions(found.notes.get(DELETIONS, ""), listing, kept, self._bounds)
        shown = claims(found.notes.get(EVIDENCE, ""))
        return Difference(found.files, deleted, (*found.left_out, *stay), shown)

    def whole(self, files: Sequence[Artifact], deleted: Sequence[str]) -> list[Artifact]:
        """The repository with a difference applied, as it is placed on a clean machine."""
        return overlaid(self.start().files, files, deleted)
