"""The world that a fresh local GitHub starts with: an organisation, people of every role, a repository, an App."""

import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bot.local.github import branches, conversation
from bot.local.github.gitstore import Change
from bot.local.github.operations.apps import make_app
from bot.local.github.records import App, Installation, Repository, Token
from bot.local.github.world import World

OWNER = "acme"
REPOSITORY = "arcade"
ROLES = {"alice": "admin", "mark": "maintain", "wendy": "write", "rita": "read"}
STRANGER = "stranger"
LABEL = "swarm-build"
KEY_FILE = "app.private-key.pem"
README = b"# Arcade\n\nSmall games, built from issues.\n"
MANIFEST: Mapping[str, Any] = {
    "name": "Swarm Build",
    "url": "http://127.0.0.1",
    "default_permissions": {
        "checks": "write",
        "contents": "write",
        "deployments": "write",
        "issues": "write",
        "metadata": "read",
        "pull_requests": "write",
    },
    "default_events": [
        "check_run",
        "check_suite",
        "issue_comment",
        "issues",
        "pull_request",
        "pull_request_review_comment",
        "repository",
    ],
}


def seed(world: World, manifest: Mapping[str, Any]) -> App:
    """Fill an empty world, or find again what an earlier start put there; gives the App.

    Its private key is left in `KEY_FILE` of the state folder, as an operator would have downloaded it.
    """
    found = next(iter(world.store.apps), None)
    if found:
        return found
    world.add_account(OWNER, "Organization")
    for login in (*ROLES, STRANGER):
        add_person(world, login)
    repo = create_repository(world, f"{OWNER}/{REPOSITORY}", {"README.md": README}, description="Small games")
    app, pem = make_app(world, OWNER, manifest)
    key_file = world.store.folder / KEY_FILE
    key_file.touch(mode=0o600)
    key_file.write_text(pem)
    install(world, app, OWNER)
    conversation.make_label(world, repo, LABEL, "7b3ff2", "Build this issue", "alice")
    return app


def add_person(world: World, login: str) -> Token:
    """A user with a token of their own."""
    world.add_account(login)
    value = f"ghp_{secrets.token_hex(18)}"
    return world.store.tokens.put(Token(world.store.next_id(), value, login=login))


def install(
    world: World, app: App, account: str, repositories: tuple[Repository, ...] | None = None
) -> Installation:
    """Install an App on all repositories of an account, or on some."""
    return world.store.installations.put(
        Installation(
            id=world.store.next_id("installation", first=50_001),
            app_id=app.id,
            account=account,
            repository_selection="all" if repositories is None else "selected",
            repository_ids=tuple(repo.id for repo in repositories or ()),
            permissions=dict(app.permissions),
            events=app.events,
            created_at=world.now(),
        )
    )


def create_repository(
    world: World,
    full_name: str,
    files: Mapping[str, bytes],
    *,
    private: bool = False,
    description: str = "",
    roles: Mapping[str, str] | None = None,
) -> Repository:
    """A repository with one commit that holds `files`; empty, without any commit, if there are none."""
    owner, _, name = full_name.partition("/")
    if world.account(owner) is None:
        add_person(world, owner)
    wanted = dict(ROLES if roles is None else roles)
    repo = world.add_repository(owner, name, private=private, description=description, roles=wanted)
    if files:
        git = world.git(repo)
        blobs = git.write_blobs(list(files.values()))
        changes = [Change(path, "100644", sha) for path, sha in zip(files, blobs, strict=True)]
        tree = git.write_tree(None, changes)
        author = next((login for login, role in wanted.items() if role == "admin"), owner)
        sha = branches.commit(world, repo, tree, [], "Initial commit", author, None)
        git.set_ref(f"refs/heads/{repo.default_branch}", sha, None)
    return repo


def tokens_of_people(world: World) -> dict[str, str]:
    """Login -> token, for every user."""
    return {token.login: token.value for token in world.store.tokens if token.login}


def key_file(folder: Path) -> Path:
    """Where the App's private key lies."""
    return folder / KEY_FILE
