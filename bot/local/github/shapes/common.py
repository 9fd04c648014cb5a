"""Accounts, Apps, installations and repositories as JSON."""

import base64
import json
from functools import cache
from typing import Any
from urllib.parse import quote

from bot.local.github.description import load_description
from bot.local.github.identity import Caller, at_least
from bot.local.github.records import App, Installation, Repository
from bot.local.github.world import World

Json = dict[str, Any]
_USER_LINKS = {
    "followers_url": "/followers",
    "following_url": "/following{/other_user}",
    "gists_url": "/gists{/gist_id}",
    "starred_url": "/starred{/owner}{/repo}",
    "subscriptions_url": "/subscriptions",
    "organizations_url": "/orgs",
    "repos_url": "/repos",
    "events_url": "/events{/privacy}",
    "received_events_url": "/received_events",
}


def node_id(kind: str, number: int | str) -> str:
    """A global node id; opaque to callers, as GitHub's are."""
    return base64.b64encode(f"0{len(kind)}:{kind}{number}".encode()).decode()


def user(world: World, login: str) -> Json:
    """A "simple user". An account that is gone is GitHub's ghost."""
    account = world.account(login)
    number, name, kind = (account.id, account.login, account.type) if account else (10137, "ghost", "User")
    # A bot's brackets must be escaped in addresses; GitHub does the same.
    base = f"{world.api_url}/users/{quote(name, safe='')}"
    page = (
        f"{world.web_url}/apps/{name.removesuffix('[bot]')}" if kind == "Bot" else f"{world.web_url}/{name}"
    )
    return {
        "login": name,
        "id": number,
        "node_id": node_id(kind, number),
        "avatar_url": f"{world.web_url}/_local/avatars/{quote(name, safe='')}.svg",
        "gravatar_id": "",
        "url": base,
        "html_url": page,
        **{key: base + tail for key, tail in _USER_LINKS.items()},
        "type": kind,
        "user_view_type": "public",
        "site_admin": False,
    }


def user_or_none(world: World, login: str | None) -> Json | None:
    """A user, or null."""
    return user(world, login) if login else None


def public_user(world: World, login: str, created_at: str) -> Json:
    """What /users/{login} and /user answer."""
    empty = ("name", "company", "location", "email", "hireable", "bio", "twitter_username")
    return {
        **user(world, login),
        **dict.fromkeys(empty),
        "blog": "",
        "public_repos": len(world.store.repositories.where(owner=login, private=False)),
        "public_gists": 0,
        "followers": 0,
        "following": 0,
        "created_at": created_at,
        "updated_at": created_at,
    }


def organization(world: World, login: str) -> Json:
    """The `organization` part of a webhook."""
    account = world.account(login)
    number = account.id if account else 0
    base = f"{world.api_url}/orgs/{login}"
    return {
        "login": login,
        "id": number,
        "node_id": node_id("Organization", number),
        "url": base,
        "repos_url": f"{base}/repos",
        "events_url": f"{base}/events",
        "hooks_url": f"{base}/hooks",
        "issues_url": f"{base}/issues",
        "members_url": f"{base}/members{{/member}}",
        "public_members_url": f"{base}/public_members{{/member}}",
        "avatar_url": f"{world.web_url}/_local/avatars/{quote(login, safe='')}.svg",
        "description": None,
    }


def app(world: World, found: App) -> Json:
    """An "integration"."""
    return {
        "id": found.id,
        "slug": found.slug,
        "client_id": found.client_id,
        "node_id": node_id("App", found.id),
        "owner": user(world, found.owner),
        "name": found.name,
        "description": "",
        "external_url": found.external_url,
        "html_url": f"{world.web_url}/apps/{found.slug}",
        "created_at": found.created_at,
        "updated_at": found.created_at,
        "permissions": found.permissions,
        "events": list(found.events),
    }


def app_or_none(world: World, app_id: int | None) -> Json | None:
    """An integration, or null: `performed_via_github_app`."""
    found = world.store.apps.get(app_id)
    return app(world, found) if found else None


def installation(world: World, found: Installation) -> Json:
    """An installation of an App."""
    owner = world.account(found.account)
    app_record = world.store.apps.get(found.app_id)
    return {
        "id": found.id,
        "account": user(world, found.account),
        "repository_selection": found.repository_selection,
        "access_tokens_url": f"{world.api_url}/app/installations/{found.id}/access_tokens",
        "repositories_url": f"{world.api_url}/installation/repositories",
        "html_url": f"{world.web_url}/organizations/{found.account}/settings/installations/{found.id}",
        "app_id": found.app_id,
        "app_slug": app_record.slug if app_record else "",
        "target_id": owner.id if owner else 0,
        "target_type": owner.type if owner else "User",
        "permissions": found.permissions,
        "events": list(found.events),
        "created_at": found.created_at,
        "updated_at": found.created_at,
        "single_file_name": None,
        "has_multiple_single_files": False,
        "single_file_paths": [],
        "suspended_by": user(world, found.account) if found.suspended_at else None,
        "suspended_at": found.suspended_at,
    }


@cache
def _repository_example() -> str:
    example = load_description().example("repos/get")
    for key in ("template_repository", "parent", "source", "organization", "temp_clone_token"):
        example.pop(key, None)
    return json.dumps(example)


def repository(world: World, repo: Repository, caller: Caller | None = None) -> Json:
    """A repository; its two dozen URL templates come from the official example.

    Args:
        world: the world.
        repo: the repository.
        caller: adds `permissions` of a signed-in person or installation.
    """
    text = _repository_example().replace("octocat/Hello-World", repo.full_name)
    text = text.replace("https://api.github.com", world.api_url).replace("https://github.com", world.web_url)
    shape: Json = json.loads(text)
    issues = len(world.store.issues.where(repo=repo.id, state="open"))
    counts = ("forks_count", "forks", "stargazers_count", "watchers_count", "watchers", "subscribers_count")
    shape |= dict.fromkeys((*counts, "network_count", "size"), 0)
    shape |= {
        "id": repo.id,
        "node_id": node_id("Repository", repo.id),
        "name": repo.name,
        "full_name": repo.full_name,
        "owner": user(world, repo.owner),
        "private": repo.private,
        "visibility": "private" if repo.private else "public",
        "description": repo.description or None,
        "homepage": None,
        "language": None,
        "license": None,
        "topics": [],
        "default_branch": repo.default_branch,
        "open_issues_count": issues,
        "open_issues": issues,
        "archived": repo.archived,
        "has_pages": False,
        "web_commit_signoff_required": False,
        "mirror_url": None,
        "created_at": repo.created_at,
        "updated_at": repo.pushed_at,
        "pushed_at": repo.pushed_at,
    }
    shape["permissions"] = _permissions(world, repo, caller)
    return shape


def _permissions(world: World, repo: Repository, caller: Caller | None) -> dict[str, bool]:
    role = world.role(repo, caller.login) if caller and caller.login and not caller.app else "none"
    names = {"admin": "admin", "maintain": "maintain", "push": "write", "triage": "triage", "pull": "read"}
    return {name: at_least(role, least) for name, least in names.items()}


def association(world: World, repo: Repository, login: str) -> str:
    """`author_association`: whose, not what they may do. A member may well have read permission only."""
    if login == repo.owner:
        return "OWNER"
    if login not in repo.roles:
        return "NONE"
    owner = world.account(repo.owner)
    return "MEMBER" if owner and owner.type == "Organization" else "COLLABORATOR"
