"""A build without GitHub: the same steps, and the result lands in a folder of this computer."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

from bot.core.codec import dump, load
from bot.core.config import RepoConfig
from bot.core.errors import Permanent, UserError
from bot.core.models import Evidence, Options, RunId
from bot.core.pictures import AttachedImage
from bot.core.plan import Plan, plan_of
from bot.core.prompts import Remark
from bot.core.tree import Start
from bot.github.app import GitHubApp
from bot.github.values import Base
from bot.pipeline.job import Job
from bot.pipeline.rooms import Rooms
from bot.pipeline.workspace import Workspace

NOTHING = Base(branch="", sha="", tree_sha="", private=True)
"""What a build starts from where there is no repository."""


class NoGitHub(GitHubApp):
    """Stands where a build without GitHub has none: whoever asks it for anything hears so."""

    def __init__(self) -> None:
        """It has no identity."""

    def __getattr__(self, name: str) -> NoReturn:
        raise Permanent(f"this build has no GitHub (asked for {name})")


class Fresh(Workspace):
    """Agents start from nothing, so that all they make is the difference."""

    def __init__(self) -> None:
        super().__init__(_no_repository, NOTHING)

    def start(self) -> Start:
        return Start()


class FolderJob(Job):
    """One build into a folder."""

    def __init__(self, rooms: Rooms, run: RunId, folder: Path) -> None:
        super().__init__(rooms, run)
        self._folder = folder

    @contextmanager
    def reporting(self) -> Iterator[Callable[[], None]]:
        """Who started the build looks at the journal."""
        try:
            yield lambda: None
        finally:
            self._background.shutdown(wait=False, cancel_futures=True)

    def admit(self) -> None:
        """
        Raises:
            UserError: the folder is none, or not empty.
        """
        require_empty(self._folder)
        plan = plan_by_hand(self._rooms, self._record.request.options)
        nothing = dump(NOTHING)
        self._rooms.runs.keep(self._run, plan=dump(plan), base=nothing, start=nothing)

    def _remarks(self) -> Sequence[Remark]:
        return ()

    def _images(self, remarks: Sequence[Remark]) -> Sequence[AttachedImage]:  # noqa: ARG002 - nothing is attached to a goal
        return ()

    def _the_workspace(self) -> Workspace:
        return Fresh()

    def publish(self) -> None:
        """Write the files; nothing that was there before is touched, because nothing was."""
        require_empty(self._folder)
        for file in self._rooms.results.files(self._run):
            path = self._folder / file.path
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(file.content)
            path.chmod(file.mode & 0o777)
        evidence = load(Evidence, self._facts["evidence"])
        if evidence.ok and evidence.url and evidence.vm:
            self._rooms.fleet.keep_vm(evidence.vm, self._rooms.now() + self._plan.preview_s)
        self._rooms.runs.keep(self._run, folder=str(self._folder), published_at=self._rooms.now())

    def _exhibit(self) -> None:
        """There is no page to put it on."""


def plan_by_hand(rooms: Rooms, options: Options) -> Plan:
    """How a build is done that a person started here: nobody else has to approve it."""
    return replace(plan_of(rooms.allowed, RepoConfig(), options), approval=False)


def _no_repository() -> NoReturn:
    raise Permanent("this build has no repository")


def require_empty(folder: Path) -> None:
    """
    Raises:
        UserError: it is no folder, or something is in it.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{folder} is not empty: name another folder with --out.")
