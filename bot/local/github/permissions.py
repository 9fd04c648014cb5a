"""What each operation asks of its caller: an installation's permission, and a person's role in the repository.

From GitHub's page "Permissions required for GitHub Apps" and its table of repository roles.
"""

from dataclasses import dataclass

from bot.local.github.identity import Caller, at_least, covers
from bot.local.github.records import Repository
from bot.local.github.refusals import Refusal, forbidden_to_app, not_found
from bot.local.github.world import World

LEVELS = ("read", "write", "admin")


@dataclass(frozen=True, slots=True)
class Need:
    """One row of the table.

    Attributes:
        permission: an App's permission and its level: "issues:write".
        role: the least role of a person.
        on_pulls: an App's permission that does as well when the issue is a pull request.
    """

    permission: str
    role: str
    on_pulls: str = ""


_READ = {
    "issues:read": """issues/get issues/list-for-repo issues/list-comments issues/get-comment
        issues/list-comments-for-repo issues/list-labels-on-issue issues/list-labels-for-repo issues/get-label
        issues/list-sub-issues reactions/list-for-issue reactions/list-for-issue-comment""",
    "contents:read": """repos/get-branch repos/list-branches repos/get-content repos/get-readme repos/list-commits
        repos/get-commit repos/compare-commits repos/compare-commits-with-basehead git/get-ref git/list-matching-refs
        git/get-blob git/get-tree git/get-commit repos/download-tarball-archive""",
    "pull_requests:read": """pulls/get pulls/list pulls/list-files pulls/list-commits pulls/check-if-merged
        pulls/list-review-comments""",
    "deployments:read": """repos/list-deployments repos/get-deployment repos/list-deployment-statuses
        repos/get-deployment-status""",
    "actions:read": "repos/get-all-environments repos/get-environment",
    "checks:read": """checks/get checks/list-for-ref checks/list-annotations checks/get-suite
        checks/list-suites-for-ref checks/list-for-suite""",
    "statuses:read": "repos/get-combined-status-for-ref repos/list-commit-statuses-for-ref",
}
_WRITE = {
    # Everybody who can read may open issues, comment and react.
    (
        "issues:write",
        "read",
    ): """issues/create issues/create-comment issues/update-comment issues/delete-comment
        reactions/create-for-issue reactions/delete-for-issue reactions/create-for-issue-comment
        reactions/delete-for-issue-comment issues/update""",
    (
        "issues:write",
        "triage",
    ): """issues/add-labels issues/set-labels issues/remove-label issues/remove-all-labels
        issues/add-sub-issue""",
    ("issues:write", "write"): "issues/create-label issues/update-label issues/delete-label",
    (
        "contents:write",
        "write",
    ): """repos/create-or-update-file-contents git/create-ref git/update-ref git/delete-ref
        git/create-blob git/create-tree git/create-commit pulls/merge""",
    ("pull_requests:write", "write"): "pulls/create",
    ("pull_requests:write", "read"): "pulls/update pulls/create-review-comment",
    (
        "deployments:write",
        "write",
    ): "repos/create-deployment repos/create-deployment-status repos/delete-deployment",
    ("administration:write", "admin"): "repos/delete-an-environment",
    (
        "checks:write",
        "write",
    ): "checks/create checks/update checks/rerequest-run checks/set-suites-preferences",
    ("statuses:write", "write"): "repos/create-commit-status",
}
# On a pull request these also accept pull_requests:write; reactions do not.
_ON_PULLS = [
    "issues/get",
    "issues/list-comments",
    "issues/list-labels-on-issue",
    "issues/create-comment",
    "issues/update",
    "issues/update-comment",
    "issues/delete-comment",
    "issues/get-comment",
    "issues/add-labels",
    "issues/set-labels",
    "issues/remove-label",
    "issues/remove-all-labels",
]


def _table() -> dict[str, Need]:
    table = {
        "repos/get": Need("metadata:read", "read"),
        "repos/get-collaborator-permission-level": Need("metadata:read", "read"),
        "apps/get-repo-installation": Need("", ""),
    }
    for permission, names in _READ.items():
        table.update({name: Need(permission, "read") for name in names.split()})
    for (permission, role), names in _WRITE.items():
        table.update({name: Need(permission, role) for name in names.split()})
    for name in _ON_PULLS:
        old = table[name]
        level = old.permission.partition(":")[2]
        table[name] = Need(old.permission, old.role, f"pull_requests:{level}")
    return table


REPOSITORY_NEEDS = _table()
"""Operation id -> need, for every operation under /repos/{owner}/{repo}."""


def allows(granted: dict[str, str], permission: str) -> bool:
    """Whether granted permissions include "name:level"."""
    name, _, level = permission.partition(":")
    if name == "metadata" and level == "read":
        return True  # every installation has it
    return name in granted and LEVELS.index(granted[name]) >= LEVELS.index(level)


def check_repository(
    world: World, caller: Caller, repo: Repository | None, operation_id: str, *, writes: bool, on_pull: bool
) -> Repository:
    """The repository, if the caller may do this operation on it.

    Args:
        world: the world.
        caller: who asks.
        repo: the repository of the path, if it exists.
        operation_id: official id.
        writes: the method is not GET.
        on_pull: the issue of the path is a pull request.

    Raises:
        Refusal: 401, 403 or 404, as GitHub chooses between them.
    """
    if repo is None:
        raise not_found()
    need = REPOSITORY_NEEDS[operation_id]
    if not need.permission:
        return repo
    if caller.installation and caller.token:
        _check_installation(world, caller, repo, need, writes=writes, on_pull=on_pull)
    elif caller.app:
        raise forbidden_to_app()  # a JWT alone opens nothing but /app
    elif caller.login:
        _check_person(world.role(repo, caller.login), need)
    elif repo.private:
        raise not_found()
    elif writes:
        raise Refusal(401, "Requires authentication")
    return repo


def _check_installation(
    world: World, caller: Caller, repo: Repository, need: Need, *, writes: bool, on_pull: bool
) -> None:
    granted = caller.token.permissions if caller.token else {}
    if not covers(world, caller, repo):
        if repo.private:
            raise not_found()
        if writes:
            raise forbidden_to_app()
        return
    if allows(granted, need.permission) or (on_pull and need.on_pulls and allows(granted, need.on_pulls)):
        return
    raise forbidden_to_app()


def _check_person(role: str, need: Need) -> None:
    if role == "none":
        raise not_found()
    if not at_least(role, need.role):
        admin = need.role == "admin"
        raise Refusal(
            403,
            f"Must have {'admin rights' if admin else 'push access'} to {'R' if admin else 'r'}epository.",
        )
