"""The golden images that exist: listed, tried, deleted when nobody uses them."""

import logging
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from bot.agents.daemon import Daemon, Identity
from bot.agents.strays import parent_of
from bot.core.errors import BotError, Conflict, UserError
from bot.core.models import CommitId
from bot.pipeline.journal.fleet import Fleet
from bot.vms.base import CommitInfo, Connect, Provider, labels_of

log = logging.getLogger(__name__)

KEEP_FORMER_S = 24 * 3600.0
"""So long the image of a former recipe stays after it was made: who rolls back finds it."""


@dataclass(frozen=True, slots=True)
class GoldenImage:
    """One image at the provider."""

    commit: CommitId
    name: str
    created_at: str
    """RFC 3339."""
    present: bool
    """Whether builds use it now. A second one of the same recipe is a former one."""
    users: tuple[str, ...]
    """What would miss it: builds that have or want a machine of it, and machines."""

    @property
    def recipe(self) -> str:
        """The first twelve characters of the recipe's hash."""
        return self.name.rpartition("-")[2]


@dataclass(frozen=True, slots=True)
class Trial:
    """What came of trying an image. Seconds are 0.0 for what was not reached."""

    commit: CommitId
    ok: bool
    problem: str
    boot_seconds: float = 0.0
    pi_seconds: float = 0.0


class GoldenStock:
    """The images of one deployment, of all its recipes."""

    def __init__(
        self,
        provider: Provider,
        fleet: Fleet,
        deployment: str,
        *,
        present: str,
        kind: str = "golden",
        now: Callable[[], float] = time.time,
    ) -> None:
        """`present` is the name of the image of the present recipe; `kind` is the second word of such names."""
        self._provider = provider
        self._fleet = fleet
        self._deployment = deployment
        self._present = present
        self._now = now
        self._ours = re.compile(rf"swarm-{kind}-{re.escape(deployment)}-[0-9a-f]{{12}}")

    def images(self) -> list[GoldenImage]:
        """All of them, oldest first, with who uses each."""
        found = [commit for commit in self._provider.commits() if self._ours.fullmatch(commit.name)]
        found.sort(key=lambda commit: commit.created_at)
        users, present = self._users({commit.id for commit in found}), self._present_of(found)
        return [
            GoldenImage(each.id, each.name, each.created_at, each.id in present, tuple(users[each.id]))
            for each in found
        ]

    def _present_of(self, found: Sequence[CommitInfo]) -> set[CommitId]:
        """Which builds use, of those of the present recipe: two builders at once make two. The newest if none is known."""
        named = [commit.id for commit in found if commit.name == self._present]
        if len(named) < 2:
            return set(named)
        known = {*self._fleet.golden_commits(), self._provider.tagged(self._present)}
        return {commit for commit in named if commit in known} or set(named[-1:])

    def _users(self, commits: set[CommitId]) -> dict[CommitId, list[str]]:
        users: dict[CommitId, list[str]] = {commit: [] for commit in commits}
        rows = self._fleet.machines()
        for row in rows:
            if row.commit in users and f"build {row.run}" not in users[row.commit]:
                users[row.commit].append(f"build {row.run}")
        known = {row.vm for row in rows}
        for vm in self._provider.vms():
            if vm.id in known:
                continue
            parent = parent_of(self._provider, vm.id)
            if parent in users:
                users[parent].append(f"machine {vm.id}")
        return users

    def image(self, name: str) -> GoldenImage:
        """The image with this commit id, name or recipe, or with an id or recipe that begins so.

        Raises:
            UserError: there is none, or more than one.
        """
        found = [
            image
            for image in self.images()
            if name == image.name or image.commit.startswith(name) or image.recipe.startswith(name)
        ]
        if not found:
            raise UserError(f"There is no golden image {name!r} of the deployment {self._deployment}.")
        if len(found) > 1:
            raise UserError(f"{name!r} could be {' or '.join(image.commit for image in found)}.")
        return found[0]

    def delete(self, image: GoldenImage) -> None:
        """
        Raises:
            UserError: something uses it.
        """
        if image.users:
            raise UserError(f"{image.name} is in use by {', '.join(image.users)}.")
        try:
            self._provider.delete_commit(image.commit)
        except Conflict as error:
            raise UserError(f"{image.name} is in use: {error}") from error
        self._fleet.forget_golden(image.commit)

    def delete_former(self, *, older_than_s: float) -> list[GoldenImage]:
        """Delete the images of former recipes that nothing uses and that are old enough; those that went."""
        gone = []
        for image in self.images():
            if image.present or image.users or self._age_s(image) < older_than_s:
                continue
            try:
                self.delete(image)
            except BotError as error:
                log.warning("the former image %s stays: %s", image.name, error)
            else:
                gone.append(image)
        return gone

    def _age_s(self, image: GoldenImage) -> float:
        if not image.created_at:
            return 0.0
        return self._now() - datetime.fromisoformat(image.created_at).timestamp()

    def check(self, image: GoldenImage, *, connect: Connect, model: str) -> Trial:
        """Branch a machine of an image, reach it, start pi and hear it answer. No machine is left."""
        begun = time.monotonic()
        boot_s = 0.0
        (vm,) = self._provider.branch(image.commit)
        try:
            self._provider.label(vm, labels_of(self._deployment, purpose="golden-check"))
            shell = connect(vm)
            try:
                shell.run("true")
                boot_s = time.monotonic() - begun
                daemon = Daemon(shell, "check")
                daemon.start(
                    model=model, thinking="off", bearer="check", identity=Identity(vm, "check", vm, "", 0, 0, 0, "")
                )  # fmt: skip
                daemon.wait_ready()
            finally:
                shell.close()
        except BotError as error:
            return Trial(image.commit, False, str(error), round(boot_s, 2))
        finally:
            self._provider.delete(vm)
        pi_s = time.monotonic() - begun - boot_s
        return Trial(image.commit, True, "", round(boot_s, 2), round(pi_s, 2))
