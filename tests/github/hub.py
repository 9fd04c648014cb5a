"""The local GitHub from a test's side: our client as the App, and people who look and act with their own tokens."""

import base64
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from bot.core.models import Repo
from bot.core.notices import MovedView
from bot.core.texts import Texts, default_loader
from bot.github.app import GitHubApp
from bot.github.client import Repository
from bot.github.door import Patience
from bot.local.github.server import Running

QUICK = Patience(attempts=4, first_wait_s=0.01, longest_wait_s=1.0)
ONE_TRY = Patience(attempts=1)
TEXTS = Texts(default_loader(Path("templates")))
_NUMBERS = itertools.count(1)


@dataclass
class Hub:
    """One repository of the running local GitHub."""

    server: Running
    http: httpx.Client
    repo: Repo
    roles: Mapping[str, str]
    open: list[GitHubApp | Repository] = field(default_factory=list)

    @property
    def owner(self) -> str:
        return self.repo.owner

    # The App

    def repository(
        self, patience: Patience = QUICK, *, of: Repo | None = None, timeout_s: float = 60.0
    ) -> Repository:
        """Our client, as a fresh process would make it."""
        app = GitHubApp(
            api_url=self.server.base_url,
            app_id=self.server.app_id,
            private_key_pem=self.server.private_key_file.read_text(),
            slug=self.server.app_slug,
            patience=patience,
            timeout_s=timeout_s,
        )
        repository = app.repository(of or self.repo)
        self.open += [app, repository]
        return repository

    # People

    def ask(self, verb: str, path: str, body: Any = None, *, login: str = "alice") -> Any:
        """A person's call on the repository; it must succeed."""
        answer = self.http.request(
            verb,
            f"{self.server.base_url}/repos/{self.repo.full_name}/{path}",
            json=body,
            headers={"Authorization": f"Bearer {self.server.users[login]}", "User-Agent": "test"},
        )
        assert answer.is_success, (verb, path, answer.status_code, answer.text)
        return answer.json() if answer.content else None

    def get(self, path: str) -> Any:
        return self.ask("GET", path)

    def open_issue(
        self, login: str = "alice", *, title: str = "Snake", body: str = "", labels: Sequence[str] = ()
    ) -> int:
        issue = {"title": title, "body": body, "labels": list(labels)}
        return int(self.ask("POST", "issues", issue, login=login)["number"])

    def comment(self, issue: int, body: str) -> None:
        self.ask("POST", f"issues/{issue}/comments", {"body": body})

    def delete(self, path: str) -> None:
        self.ask("DELETE", path)

    def commit_as(self, login: str, *, parent: str, message: str) -> str:
        """A commit of a person's that changes nothing."""
        tree = self.get(f"git/commits/{parent}")["tree"]["sha"]
        commit = {"message": message, "tree": tree, "parents": [parent]}
        return str(self.ask("POST", "git/commits", commit, login=login)["sha"])

    def push_as(self, login: str, branch: str, files: Mapping[str, str]) -> str:
        """A commit of a person's on a branch, with these files."""
        head = self.get(f"git/ref/heads/{branch}")["object"]["sha"]
        entries = [{"path": p, "mode": "100644", "type": "blob", "content": t} for p, t in files.items()]
        tree = self.ask("POST", "git/trees", {"base_tree": head, "tree": entries}, login=login)["sha"]
        order = {"message": "Mend it", "tree": tree, "parents": [head]}
        sha = str(self.ask("POST", "git/commits", order, login=login)["sha"])
        self.move_as(login, branch, sha)
        return sha

    def move_as(self, login: str, branch: str, sha: str) -> None:
        self.ask("PATCH", f"git/refs/heads/{branch}", {"sha": sha}, login=login)

    def tree(self, sha: str) -> list[dict[str, Any]]:
        """Every entry below a commit."""
        found = self.get(f"git/trees/{sha}?recursive=1")
        assert not found["truncated"]
        return list(found["tree"])

    def content(self, sha: str, path: str) -> bytes:
        blob = next(entry["sha"] for entry in self.tree(sha) if entry["path"] == path)
        return base64.b64decode(self.get(f"git/blobs/{blob}")["content"])

    # The world

    def fault(self, **fault: Any) -> None:
        """Let a later call fail; see `bot.local.github.faults.Fault`."""
        self.http.post(f"{self.server.web_url}/_local/faults", json=fault).raise_for_status()

    def faults_left(self) -> list[str]:
        """Paths of faults that no call has met."""
        found = self.http.get(f"{self.server.web_url}/_local/faults").raise_for_status().json()
        return [each["path_regex"] for each in found]

    def calm(self) -> None:
        """No more faults."""
        self.http.delete(f"{self.server.web_url}/_local/faults").raise_for_status()

    def empty_repo(self) -> Repo:
        return make_repo(self.server, self.http, files={})


def make_repo(server: Running, http: httpx.Client, files: Mapping[str, str]) -> Repo:
    """A new repository of the organization on which the App is installed."""
    order = {"full_name": f"acme/game-{next(_NUMBERS)}", "files": dict(files)}
    made = http.post(f"{server.web_url}/_local/repositories", json=order).raise_for_status().json()
    (installation,) = server.world.store.installations
    return Repo(made["full_name"], made["id"], installation.id)


def remark(view: MovedView) -> str:
    """What a pull request says of commits that came in meanwhile."""
    return TEXTS.render("github/moved.md.j2", view)
