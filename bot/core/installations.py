"""Where we may work: the App installed and uninstalled, repositories added, taken away, deleted, handed over."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, StrictInt

from bot.core.models import Repo


@dataclass(frozen=True, slots=True)
class RepositoriesAdded:
    """The App was installed, or got more repositories."""

    installation_id: int
    repos: tuple[Repo, ...]
    kind: Literal["repositories_added"] = "repositories_added"

    @property
    def subjects(self) -> int:
        """How many things it is about."""
        return len(self.repos)


@dataclass(frozen=True, slots=True)
class RepositoriesGone:
    """Repositories that we may no longer touch, or that nobody may write to; `reason` is for people."""

    installation_id: int
    repos: tuple[Repo, ...]
    reason: str
    kind: Literal["repositories_gone"] = "repositories_gone"

    @property
    def subjects(self) -> int:
        """How many things it is about."""
        return len(self.repos)


@dataclass(frozen=True, slots=True)
class InstallationGone:
    """The App was uninstalled or suspended: with it goes every right to touch its repositories."""

    installation_id: int
    reason: str
    kind: Literal["installation_gone"] = "installation_gone"

    @property
    def subjects(self) -> int:
        """How many things it is about."""
        return 1


@dataclass(frozen=True, slots=True)
class RepositoryRenamed:
    """A repository has another name; `repo` has the new one."""

    installation_id: int
    repo: Repo
    kind: Literal["repository_renamed"] = "repository_renamed"

    @property
    def subjects(self) -> int:
        """How many things it is about."""
        return 1 if self.repo.id else 0


InstallationEvent = RepositoriesAdded | RepositoriesGone | InstallationGone | RepositoryRenamed
"""What concerns no issue, but whether we may work at all. Nobody's permission is asked."""


class _Numbered(BaseModel):
    id: StrictInt


class _Repository(BaseModel):
    id: StrictInt
    full_name: str


class _Seen(BaseModel):
    """The fields of three events: installation, installation_repositories, repository."""

    installation: _Numbered | None = None
    repository: _Repository | None = None
    repositories: list[_Repository] = []
    repositories_added: list[_Repository] = []
    repositories_removed: list[_Repository] = []

    @property
    def number(self) -> int:
        return self.installation.id if self.installation else 0

    def repos(self, listed: list[_Repository]) -> tuple[Repo, ...]:
        return tuple(Repo(each.full_name, each.id, self.number) for each in listed)


def _gone(reason: str) -> Callable[[_Seen], InstallationEvent]:
    return lambda seen: InstallationGone(seen.number, reason)


def _repository(reason: str) -> Callable[[_Seen], InstallationEvent]:
    return lambda seen: RepositoriesGone(
        seen.number, seen.repos([seen.repository] if seen.repository else []), reason
    )


def _renamed(seen: _Seen) -> InstallationEvent:
    repo = seen.repository or _Repository(id=0, full_name="")
    return RepositoryRenamed(seen.number, Repo(repo.full_name, repo.id, seen.number))


_READERS: Mapping[str, Callable[[_Seen], InstallationEvent]] = {
    "installation.created": lambda seen: RepositoriesAdded(seen.number, seen.repos(seen.repositories)),
    "installation.deleted": _gone("the App was uninstalled"),
    "installation.suspend": _gone("the App was suspended"),
    "installation_repositories.added": lambda seen: RepositoriesAdded(
        seen.number, seen.repos(seen.repositories_added)
    ),
    "installation_repositories.removed": lambda seen: RepositoriesGone(
        seen.number, seen.repos(seen.repositories_removed), "the App may no longer work in this repository"
    ),
    "repository.renamed": _renamed,
    "repository.deleted": _repository("the repository was deleted"),
    "repository.transferred": _repository("the repository was transferred"),
    "repository.archived": _repository("the repository was archived"),
}


def read(name: str, body: Mapping[str, Any]) -> InstallationEvent | None:
    """The event of a payload ("installation.created"), or None if it is another kind of event.

    Raises:
        pydantic.ValidationError: the payload is not of the shape that GitHub sends.
    """
    reader = _READERS.get(name)
    return reader(_Seen.model_validate(body)) if reader else None
