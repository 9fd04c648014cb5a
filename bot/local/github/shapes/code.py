"""Commits, trees, refs, file diffs and pull requests as JSON."""

from typing import Any
from urllib.parse import quote

from bot.local.github.clock import from_git_date
from bot.local.github.gitstore import Commit, FileDiff, Person, TreeEntry
from bot.local.github.records import Issue, Pull, Repository, ReviewComment
from bot.local.github.shapes.common import Json, association, node_id, repository, user, user_or_none
from bot.local.github.shapes.issues import labels, rollup
from bot.local.github.world import World


def person(found: Person) -> Json:
    """Author or committer as git has them."""
    return {"name": found.name, "email": found.email, "date": from_git_date(found.date)}


def verification(world: World, repo: Repository, commit: Commit) -> Json:
    """Whether a commit is shown as Verified, and why not."""
    verified = world.git(repo).is_verified(commit)
    reason = "valid" if verified else "unsigned" if commit.signature is None else "unknown_key"
    return {
        "verified": verified,
        "reason": reason,
        "signature": commit.signature,
        "payload": commit.payload,
        "verified_at": from_git_date(commit.committer.date) if verified else None,
    }


def git_commit(world: World, repo: Repository, commit: Commit) -> Json:
    """A commit as the git endpoints give it."""
    base = f"{world.api_url}/repos/{repo.full_name}/git"
    page = f"{world.web_url}/{repo.full_name}/commit"
    return {
        "sha": commit.sha,
        "node_id": node_id("Commit", f"{repo.id}:{commit.sha}"),
        "url": f"{base}/commits/{commit.sha}",
        "html_url": f"{page}/{commit.sha}",
        "author": person(commit.author),
        "committer": person(commit.committer),
        "message": commit.message,
        "tree": {"sha": commit.tree, "url": f"{base}/trees/{commit.tree}"},
        "parents": [
            {"sha": sha, "url": f"{base}/commits/{sha}", "html_url": f"{page}/{sha}"}
            for sha in commit.parents
        ],
        "verification": verification(world, repo, commit),
    }


def commit_of(world: World, repo: Repository, commit: Commit) -> Json:
    """A commit as /repos/.../commits and branches give it."""
    base = f"{world.api_url}/repos/{repo.full_name}"
    inner = git_commit(world, repo, commit)
    return {
        "sha": commit.sha,
        "node_id": inner["node_id"],
        "url": f"{base}/commits/{commit.sha}",
        "html_url": inner["html_url"],
        "comments_url": f"{base}/commits/{commit.sha}/comments",
        "commit": {
            key: inner[key] for key in ("author", "committer", "message", "tree", "url", "verification")
        }
        | {"comment_count": 0},
        "author": _account_of(world, commit.author),
        "committer": _account_of(world, commit.committer),
        "parents": [parent | {"url": f"{base}/commits/{parent['sha']}"} for parent in inner["parents"]],
    }


def _account_of(world: World, found: Person) -> Json | None:
    """The account behind an e-mail address "ID+LOGIN@users.noreply...", if there is one."""
    login = found.email.partition("@")[0].rpartition("+")[2]
    return user(world, login) if world.account(login) else None


def file_diff(world: World, repo: Repository, commit: str, found: FileDiff) -> Json:
    """One file of a commit, a comparison or a pull request."""
    path = quote(found.path)
    shape: Json = {
        "sha": found.sha,
        "filename": found.path,
        "status": found.status,
        "additions": found.additions,
        "deletions": found.deletions,
        "changes": found.additions + found.deletions,
        "blob_url": f"{world.web_url}/{repo.full_name}/blob/{commit}/{path}",
        "raw_url": f"{world.web_url}/{repo.full_name}/raw/{commit}/{path}",
        "contents_url": f"{world.api_url}/repos/{repo.full_name}/contents/{path}?ref={commit}",
    }
    if found.patch is not None:
        shape["patch"] = found.patch
    if found.previous_path is not None:
        shape["previous_filename"] = found.previous_path
    return shape


def tree_entry(world: World, repo: Repository, found: TreeEntry) -> Json:
    """One entry of a tree."""
    kind = {"blob": "blobs", "tree": "trees", "commit": "commits"}[found.type]
    shape: Json = {"path": found.path, "mode": found.mode, "type": found.type, "sha": found.sha}
    if found.size_bytes is not None:
        shape["size"] = found.size_bytes
    return shape | {"url": f"{world.api_url}/repos/{repo.full_name}/git/{kind}/{found.sha}"}


def ref(world: World, repo: Repository, name: str, sha: str, kind: str = "commit") -> Json:
    """A git ref."""
    base = f"{world.api_url}/repos/{repo.full_name}/git"
    return {
        "ref": name,
        "node_id": node_id("Ref", f"{repo.id}:{name}"),
        "url": f"{base}/{quote(name)}",
        "object": {"type": kind, "sha": sha, "url": f"{base}/{kind}s/{sha}"},
    }


def pull_brief(world: World, repo: Repository, found: Pull) -> Json:
    """A pull request as check runs and check suites list it."""
    base = f"{world.api_url}/repos/{repo.full_name}"
    where = {"id": repo.id, "url": base, "name": repo.name}
    return {
        "id": found.id,
        "number": found.number,
        "url": f"{base}/pulls/{found.number}",
        "head": {"ref": found.head, "sha": found.head_sha, "repo": where},
        "base": {"ref": found.base, "sha": found.base_sha, "repo": where},
    }


def pull(world: World, repo: Repository, found: Pull, issue: Issue, *, settled: bool = False) -> Json:
    """A pull request.

    Args:
        world: the world.
        repo: its repository.
        found: its code side.
        issue: its conversation side.
        settled: compute `mergeable`; GitHub does that in the background, so that the first answers say null.
    """
    base = f"{world.api_url}/repos/{repo.full_name}"
    page = f"{world.web_url}/{repo.full_name}/pull/{found.number}"
    url, talk = f"{base}/pulls/{found.number}", f"{base}/issues/{found.number}"
    mergeable = None
    if settled and issue.state == "open":
        mergeable = world.git(repo).merge_tree(found.base_sha, found.head_sha) is not None
    links = {
        "self": url,
        "html": page,
        "issue": talk,
        "comments": f"{talk}/comments",
        "review_comments": f"{url}/comments",
        "review_comment": f"{base}/pulls/comments{{/number}}",
        "commits": f"{url}/commits",
        "statuses": f"{base}/statuses/{found.head_sha}",
    }
    return {
        "id": found.id,
        "node_id": node_id("PullRequest", found.id),
        "number": found.number,
        "url": url,
        "html_url": page,
        "diff_url": f"{page}.diff",
        "patch_url": f"{page}.patch",
        "issue_url": talk,
        **{f"{name}_url": links[name] for name in list(links)[3:]},
        "_links": {name: {"href": href} for name, href in links.items()},
        "state": issue.state,
        "locked": False,
        "active_lock_reason": None,
        "title": issue.title,
        "body": issue.body,
        "user": user(world, issue.author),
        "labels": labels(world, repo, issue),
        "milestone": None,
        "assignee": None,
        "assignees": [],
        "requested_reviewers": [],
        "requested_teams": [],
        "draft": found.draft,
        "created_at": issue.created_at,
        "updated_at": issue.updated_at,
        "closed_at": issue.closed_at,
        "merged_at": found.merged_at,
        "merge_commit_sha": found.merge_commit_sha,
        "merged": found.merged_at is not None,
        "merged_by": user_or_none(world, found.merged_by),
        "mergeable": mergeable,
        "rebaseable": mergeable,
        "mergeable_state": _mergeable_state(found, mergeable),
        "maintainer_can_modify": False,
        "auto_merge": None,
        "author_association": association(world, repo, issue.author),
        "head": _side(world, repo, found.head, found.head_sha),
        "base": _side(world, repo, found.base, found.base_sha),
        **_size(world, repo, found),
    }


def _mergeable_state(found: Pull, mergeable: bool | None) -> str:
    if mergeable is None:
        return "unknown"
    return "dirty" if not mergeable else "draft" if found.draft else "clean"


def _side(world: World, repo: Repository, branch: str, sha: str) -> Json:
    return {
        "label": f"{repo.owner}:{branch}",
        "ref": branch,
        "sha": sha,
        "user": user(world, repo.owner),
        "repo": repository(world, repo),
    }


def _size(world: World, repo: Repository, found: Pull) -> dict[str, Any]:
    git = world.git(repo)
    files = git.diff(git.merge_base(found.base_sha, found.head_sha), found.head_sha)
    return {
        "comments": len(world.store.comments.where(repo=repo.id, number=found.number)),
        "review_comments": len(world.store.review_comments.where(repo=repo.id, number=found.number)),
        "commits": git.count(found.head_sha, found.base_sha),
        "additions": sum(file.additions for file in files),
        "deletions": sum(file.deletions for file in files),
        "changed_files": len(files),
    }


def review_comment(world: World, repo: Repository, found: ReviewComment) -> Json:
    """A comment on a line of a pull request."""
    base = f"{world.api_url}/repos/{repo.full_name}/pulls"
    url = f"{base}/comments/{found.id}"
    page = f"{world.web_url}/{repo.full_name}/pull/{found.number}#discussion_r{found.id}"
    shape: Json = {
        "id": found.id,
        "node_id": node_id("PullRequestReviewComment", found.id),
        "url": url,
        "html_url": page,
        "pull_request_url": f"{base}/{found.number}",
        "pull_request_review_id": found.review_id,
        "diff_hunk": found.diff_hunk,
        "path": found.path,
        "position": 1,
        "original_position": 1,
        "commit_id": found.commit_sha,
        "original_commit_id": found.commit_sha,
        "user": user(world, found.author),
        "body": found.body,
        "created_at": found.created_at,
        "updated_at": found.created_at,
        "author_association": association(world, repo, found.author),
        "start_line": None,
        "original_start_line": None,
        "start_side": None,
        "line": found.line,
        "original_line": found.line,
        "side": found.side,
        "subject_type": "line",
        "reactions": rollup(world, f"review:{found.id}", f"{url}/reactions"),
        "_links": {
            "self": {"href": url},
            "html": {"href": page},
            "pull_request": {"href": f"{base}/{found.number}"},
        },
    }
    return shape if found.in_reply_to is None else shape | {"in_reply_to_id": found.in_reply_to}
