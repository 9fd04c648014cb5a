"""A build without GitHub: the same steps, and the result lands in a folder of this computer."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from bot.core.codec import load
from bot.core.errors import Permanent, UserError
from bot.core.models import Evidence, RunId
from bot.github.app import GitHubApp
from bot.pipeline.job import Job
from bot.pipeline.rooms import Rooms


class NoGitHub(GitHubApp):
    """Stands where a build without GitHub has none: whoever asks it for anything hears so."""

    def __init__(self) -> None:
        """It has no identity."""

    def __getattr__(self, name: str) -> NoReturn:
        raise Permanent(f"this build has no GitHub (asked for {name})")


class FolderJob(Job):
    """One build into a folder."""

    def __init__(self, rooms: Rooms, run: RunId, folder: Path) -> None:
        super().__init__(rooms, run)
        self._folder = folder

    @contextmanager
    def reporting(self) -> Iterator[None]:
        """Who started the build looks at the journal."""
        try:
            yield
        finally:
            self._background.shutdown(wait=False, cancel_futures=True)

    def admit(self) -> None:
        """
        Raises:
            UserError: the folder is none, or not empty.
        """
        require_empty(self._folder)

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
            until = self._rooms.now() + self._rooms.limits.preview_hours * 3600
            self._rooms.fleet.keep_vm(evidence.vm, until)
        self._rooms.runs.keep(self._run, folder=str(self._folder), published_at=self._rooms.now())


def require_empty(folder: Path) -> None:
    """
    Raises:
        UserError: it is no folder, or something is in it.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{folder} is not empty: name another folder with --out.")
