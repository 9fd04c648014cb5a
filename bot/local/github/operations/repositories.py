"""Repositories, branches, commits, comparisons, collaborators and commit statuses."""

from typing import Any

from bot.local.github.api import Answer, Call, handles
from bot.local.github.records import CommitStatus
from bot.local.github.refusals import Refusal, not_found, unprocessable
from bot.local.github.shapes import code, common, delivery


@handles("repos/get")
def get(call: Call) -> Answer:
    return Answer(200, common.repository(call.world, call.repo, call.caller))


@handles("repos/get-collaborator-permission-level")
def permission(call: Call) -> Answer:
    account = call.world.account(call.params["username"])
    if account is None:
        raise Refusal(404, f"{call.params['username']} is not a user")
    role = call.world.role(call.repo, account.login)
    coarse = {"maintain": "write", "triage": "read"}.get(role, role)
    whole = common.user(call.world, account.login) | {"role_name": role}
    return Answer(200, {"permission": coarse, "role_name": role, "user": whole})


def branch_shape(call: Call, name: str, sha: str) -> dict[str, Any]:
    """A branch with its newest commit."""
    base = f"{call.world.api_url}/repos/{call.repo.full_name}"
    commit = call.git.read_commit(sha)
    return {
        "name": name,
        "commit": code.commit_of(call.world, call.repo, commit),
        "_links": {
            "self": f"{base}/branches/{name}",
            "html": f"{call.world.web_url}/{call.repo.full_name}/tree/{name}",
        },
        "protected": False,
        "protection": {
            "enabled": False,
            "required_status_checks": {"enforcement_level": "off", "contexts": [], "checks": []},
        },
        "protection_url": f"{base}/branches/{name}/protection",
    }


@handles("repos/get-branch")
def get_branch(call: Call) -> Answer:
    name = call.params["branch"]
    sha = call.git.resolve(f"refs/heads/{name}")
    if sha is None:
        raise Refusal(404, "Branch not found")
    return Answer(200, branch_shape(call, name, sha))


@handles("repos/list-branches")
def list_branches(call: Call) -> Answer:
    heads = call.git.refs("refs/heads/")
    base = f"{call.world.api_url}/repos/{call.repo.full_name}/commits"
    found = [(name.removeprefix("refs/heads/"), sha) for name, sha in heads.items()]
    return call.page(
        found,
        lambda at: {"name": at[0], "commit": {"sha": at[1], "url": f"{base}/{at[1]}"}, "protected": False},
    )


@handles("repos/list-commits")
def list_commits(call: Call) -> Answer:
    if call.git.is_empty():
        raise Refusal(409, "Git Repository is empty.")
    sha = call.git.resolve(call.query.get("sha") or call.repo.default_branch)
    if sha is None:
        raise not_found()
    shas = call.git.log(sha, limit=1000, path=call.query.get("path", ""))
    return call.page(shas, lambda each: code.commit_of(call.world, call.repo, call.git.read_commit(each)))


def commit_named(call: Call, name: str) -> str:
    """The commit id of a ref.

    Raises:
        Refusal: 409 on an empty repository, else 422.
    """
    if call.git.is_empty():
        raise Refusal(409, "Git Repository is empty.")
    sha = call.git.resolve(name)
    if sha is None:
        raise unprocessable(f"No commit found for SHA: {name}")
    return sha


@handles("repos/get-commit")
def get_commit(call: Call) -> Answer:
    sha = commit_named(call, call.params["ref"])
    commit = call.git.read_commit(sha)
    files = call.git.diff(commit.parents[0] if commit.parents else None, sha)
    added, deleted = sum(f.additions for f in files), sum(f.deletions for f in files)
    body = code.commit_of(call.world, call.repo, commit)
    body["stats"] = {"additions": added, "deletions": deleted, "total": added + deleted}
    body["files"] = [code.file_diff(call.world, call.repo, sha, file) for file in files[:300]]
    return Answer(200, body)


@handles("repos/compare-commits", "repos/compare-commits-with-basehead")
def compare(call: Call) -> Answer:
    named = call.params.get("basehead") or f"{call.params.get('base')}...{call.params.get('head')}"
    base_name, _, head_name = named.partition("...")
    prefix = f"{call.repo.owner}:"
    base = call.git.resolve(base_name.removeprefix(prefix))
    head = call.git.resolve(head_name.removeprefix(prefix))
    common_commit = call.git.merge_base(base, head) if base and head else None
    if base is None or head is None or common_commit is None:
        raise not_found()
    git, world, repo = call.git, call.world, call.repo
    ahead, behind = git.count(head, base), git.count(base, head)
    status = {(False, False): "identical", (True, False): "ahead", (False, True): "behind"}
    page = f"{world.web_url}/{repo.full_name}/compare/{named}"
    commits = git.log(head, exclude=base)[::-1]
    body = {
        "url": f"{world.api_url}/repos/{repo.full_name}/compare/{named}",
        "html_url": page,
        "permalink_url": f"{world.web_url}/{repo.full_name}/compare/{prefix}{base}...{prefix}{head}",
        "diff_url": f"{page}.diff",
        "patch_url": f"{page}.patch",
        "base_commit": code.commit_of(world, repo, git.read_commit(base)),
        "merge_base_commit": code.commit_of(world, repo, git.read_commit(common_commit)),
        "status": status.get((ahead > 0, behind > 0), "diverged"),
        "ahead_by": ahead,
        "behind_by": behind,
        "total_commits": ahead,
        "commits": [code.commit_of(world, repo, git.read_commit(sha)) for sha in commits],
        "files": [code.file_diff(world, repo, head, file) for file in git.diff(common_commit, head)[:300]],
    }
    return Answer(200, body)


@handles("repos/create-commit-status")
def create_status(call: Call) -> Answer:
    sha, fields = call.params["sha"], call.fields
    if call.git.types([sha]).get(sha, ("", 0))[0] != "commit":
        raise unprocessable(f"No commit found for SHA: {sha}")
    made = call.world.store.commit_statuses.put(
        CommitStatus(
            id=call.world.store.next_id(),
            repo=call.repo.id,
            sha=sha,
            state=fields["state"],
            context=fields.get("context", "default"),
            description=fields.get("description"),
            target_url=fields.get("target_url"),
            creator=call.caller.login,
            created_at=call.world.now(),
        )
    )
    return Answer(201, delivery.commit_status(call.world, call.repo, made))


@handles("repos/list-commit-statuses-for-ref")
def list_statuses(call: Call) -> Answer:
    sha = commit_named(call, call.params["ref"])
    found = call.world.store.commit_statuses.where(repo=call.repo.id, sha=sha)[::-1]
    return call.page(found, lambda status: delivery.commit_status(call.world, call.repo, status))


@handles("repos/get-combined-status-for-ref")
def combined_status(call: Call) -> Answer:
    sha = commit_named(call, call.params["ref"])
    newest = {s.context: s for s in call.world.store.commit_statuses.where(repo=call.repo.id, sha=sha)}
    states = {status.state for status in newest.values()}
    failed = states & {"failure", "error"}
    state = "failure" if failed else "success" if states == {"success"} else "pending"
    base = f"{call.world.api_url}/repos/{call.repo.full_name}/commits/{sha}"
    body = {
        "state": state,
        "statuses": [delivery.commit_status(call.world, call.repo, status) for status in newest.values()],
        "sha": sha,
        "total_count": len(newest),
        "repository": common.repository(call.world, call.repo),
        "commit_url": base,
        "url": f"{base}/status",
    }
    return Answer(200, body)
