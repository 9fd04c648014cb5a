"""The state of one local GitHub and what every room of it needs: records, git, time, addresses, and events out."""

import secrets
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from bot.local.github.clock import Clock, stamp
from bot.local.github.description import Description
from bot.local.github.gitstore import GitRepository
from bot.local.github.records import ROLES, Account, App, Installation, Issue, Label, Pull, Repository
from bot.local.github.store import Store

Listener = Callable[[str, str | None, Repository | None, dict[str, Any], str], None]
"""Gets event, action, repository, the event's own part of the payload, and the sender's login."""


class World:
    """One local GitHub.

    Attributes:
        web_url: "http://127.0.0.1:PORT"; set when the server listens.
    """

    def __init__(self, folder: Path, description: Description, clock: Clock) -> None:
        self.store = Store(folder)
        self.description = description
        self.clock = clock
        self.web_url = ""
        self.listeners: list[Listener] = []
        self._signing_key = _kept_secret(folder / "signing.key")

    @property
    def api_url(self) -> str:
        """Base of the REST API, laid out as on GitHub Enterprise Server."""
        return f"{self.web_url}/api/v3"

    def now(self) -> str:
        """The present time as GitHub writes it."""
        return stamp(self.clock())

    def git(self, repo: Repository) -> GitRepository:
        """The objects of a repository."""
        return GitRepository(self.store.folder / "repositories" / f"{repo.id}.git", self._signing_key)

    def emit(
        self, event: str, action: str | None, repo: Repository | None, payload: dict[str, Any], sender: str
    ) -> None:
        """Tell the listeners that something happened; call it with the store's lock held."""
        for listener in self.listeners:
            listener(event, action, repo, payload, sender)

    # Finding things

    def account(self, login: str) -> Account | None:
        """The account of a login, without regard to case."""
        folded = login.casefold()
        return next((a for a in self.store.accounts if a.login.casefold() == folded), None)

    def repository(self, owner: str, name: str) -> Repository | None:
        """The repository of an owner and a name, without regard to case."""
        wanted = f"{owner}/{name}".casefold()
        return next((r for r in self.store.repositories if r.full_name.casefold() == wanted), None)

    def role(self, repo: Repository, login: str) -> str:
        """The role of a person in a repository; everybody may read a public one."""
        account = self.account(login)
        if account is None:
            return "none"
        least = "none" if repo.private or account.type == "Bot" else "read"
        mine = "admin" if account.login == repo.owner else repo.roles.get(account.login, "none")
        return max(least, mine, key=ROLES.index)

    def label(self, repo: Repository, name: str) -> Label | None:
        """A label by name, without regard to case."""
        folded = name.casefold()
        return next((x for x in self.store.labels.where(repo=repo.id) if x.name.casefold() == folded), None)

    def issue(self, repo: Repository, number: int) -> Issue | None:
        """An issue or a pull request's issue side."""
        return self.store.issues.one(repo=repo.id, number=number)

    def pull(self, repo: Repository, number: int) -> Pull | None:
        """A pull request."""
        return self.store.pulls.one(repo=repo.id, number=number)

    def bot_login(self, app: App) -> str:
        """Login of an App's bot user."""
        return f"{app.slug}[bot]"

    def installations_on(self, repo: Repository) -> list[Installation]:
        """Installations that cover a repository."""
        return [
            found
            for found in self.store.installations.where(account=repo.owner)
            if found.repository_selection == "all" or repo.id in found.repository_ids
        ]

    def repositories_of(self, installation: Installation) -> list[Repository]:
        """Repositories that an installation covers."""
        owned = self.store.repositories.where(owner=installation.account)
        if installation.repository_selection == "all":
            return owned
        return [repo for repo in owned if repo.id in installation.repository_ids]

    # Making things

    def add_account(self, login: str, kind: str = "User", app_id: int | None = None) -> Account:
        """Add a user, organisation or bot."""
        return self.store.accounts.put(Account(self.store.next_id(), login, kind, self.now(), app_id))

    def add_repository(
        self,
        owner: str,
        name: str,
        *,
        private: bool = False,
        description: str = "",
        roles: dict[str, str] | None = None,
        default_branch: str = "main",
    ) -> Repository:
        """Add an empty repository and its labels, as GitHub makes them."""
        repo = Repository(
            id=self.store.next_id(),
            owner=owner,
            name=name,
            private=private,
            default_branch=default_branch,
            description=description,
            created_at=self.now(),
            pushed_at=self.now(),
            roles=dict(roles or {}),
        )
        self.git(repo).create(default_branch)
        self.store.repositories.put(repo)
        for label, color, text in DEFAULT_LABELS:
            self.store.labels.put(Label(self.store.next_id(), repo.id, label, color, text))
        return repo

    def touch(self, issue: Issue, **changes: Any) -> Issue:
        """Change an issue and its `updated_at`."""
        return self.store.issues.put(replace(issue, updated_at=self.now(), **changes))


DEFAULT_LABELS = (
    ("bug", "d73a4a", "Something isn't working"),
    ("documentation", "0075ca", "Improvements or additions to documentation"),
    ("duplicate", "cfd3d7", "This issue or pull request already exists"),
    ("enhancement", "a2eeef", "New feature or request"),
    ("good first issue", "7057ff", "Good for newcomers"),
    ("help wanted", "008672", "Extra attention is needed"),
    ("invalid", "e4e669", "This doesn't seem right"),
    ("question", "d876e3", "Further information is requested"),
    ("wontfix", "ffffff", "This will not be worked on"),
)


def _kept_secret(file: Path) -> bytes:
    if not file.exists():
        file.write_bytes(secrets.token_bytes(32))
    return file.read_bytes()
