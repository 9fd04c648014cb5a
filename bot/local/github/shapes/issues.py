"""Issues, labels, comments and reactions as JSON."""

from typing import Any
from urllib.parse import quote

from bot.local.github.records import Comment, Issue, Label, Reaction, Repository
from bot.local.github.shapes.common import Json, app_or_none, association, node_id, user, user_or_none
from bot.local.github.world import DEFAULT_LABELS, World

CONTENTS = ("+1", "-1", "laugh", "confused", "heart", "hooray", "eyes", "rocket")
_DEFAULT_NAMES = frozenset(name for name, _, _ in DEFAULT_LABELS)


def label(world: World, repo: Repository, found: Label) -> Json:
    """A label."""
    return {
        "id": found.id,
        "node_id": node_id("Label", found.id),
        "url": f"{world.api_url}/repos/{repo.full_name}/labels/{quote(found.name, safe='')}",
        "name": found.name,
        "description": found.description,
        "color": found.color,
        "default": found.name in _DEFAULT_NAMES,
    }


def labels(world: World, repo: Repository, issue: Issue) -> list[Json]:
    """The labels of an issue; those deleted from the repository are gone here too."""
    found = (world.store.labels.get(number) for number in issue.labels)
    return [label(world, repo, each) for each in found if each]


def rollup(world: World, subject: str, url: str) -> Json:
    """The reactions of an issue or a comment, counted."""
    given = [reaction.content for reaction in world.store.reactions.where(subject=subject)]
    counts: dict[str, Any] = {content: given.count(content) for content in CONTENTS}
    return {"url": url, "total_count": len(given), **counts}


def reaction(world: World, found: Reaction) -> Json:
    """A reaction."""
    return {
        "id": found.id,
        "node_id": node_id("Reaction", found.id),
        "user": user(world, found.author),
        "content": found.content,
        "created_at": found.created_at,
    }


def issue(world: World, repo: Repository, found: Issue) -> Json:
    """An issue, or a pull request seen as one."""
    base = f"{world.api_url}/repos/{repo.full_name}"
    url = f"{base}/issues/{found.number}"
    page = f"{world.web_url}/{repo.full_name}"
    children = world.store.issues.where(parent=found.id)
    closed = sum(child.state == "closed" for child in children)
    shape: Json = {
        "id": found.id,
        "node_id": node_id("Issue", found.id),
        "url": url,
        "repository_url": base,
        "labels_url": f"{url}/labels{{/name}}",
        "comments_url": f"{url}/comments",
        "events_url": f"{url}/events",
        "timeline_url": f"{url}/timeline",
        "html_url": f"{page}/{'pull' if found.pull else 'issues'}/{found.number}",
        "number": found.number,
        "state": found.state,
        "state_reason": found.state_reason,
        "title": found.title,
        "body": found.body,
        "user": user(world, found.author),
        "labels": labels(world, repo, found),
        "assignee": user_or_none(world, found.assignees[0] if found.assignees else None),
        "assignees": [user(world, login) for login in found.assignees],
        "milestone": None,
        "locked": False,
        "active_lock_reason": None,
        "comments": len(world.store.comments.where(repo=repo.id, number=found.number)),
        "closed_at": found.closed_at,
        "closed_by": user_or_none(world, found.closed_by),
        "created_at": found.created_at,
        "updated_at": found.updated_at,
        "author_association": association(world, repo, found.author),
        "reactions": rollup(world, f"issue:{found.id}", f"{url}/reactions"),
        "performed_via_github_app": app_or_none(world, found.via_app),
        "sub_issues_summary": {
            "total": len(children),
            "completed": closed,
            "percent_completed": 100 * closed // len(children) if children else 0,
        },
    }
    if found.pull:
        pull = world.pull(repo, found.number)
        shape["draft"] = bool(pull and pull.draft)
        shape["pull_request"] = {
            "url": f"{base}/pulls/{found.number}",
            "html_url": f"{page}/pull/{found.number}",
            "diff_url": f"{page}/pull/{found.number}.diff",
            "patch_url": f"{page}/pull/{found.number}.patch",
            "merged_at": pull.merged_at if pull else None,
        }
    return shape


def comment(world: World, repo: Repository, found: Comment) -> Json:
    """A comment on an issue or a pull request's conversation."""
    base = f"{world.api_url}/repos/{repo.full_name}/issues"
    about = world.issue(repo, found.number)
    kind = "pull" if about and about.pull else "issues"
    url = f"{base}/comments/{found.id}"
    return {
        "id": found.id,
        "node_id": node_id("IssueComment", found.id),
        "url": url,
        "html_url": f"{world.web_url}/{repo.full_name}/{kind}/{found.number}#issuecomment-{found.id}",
        "issue_url": f"{base}/{found.number}",
        "body": found.body,
        "user": user(world, found.author),
        "created_at": found.created_at,
        "updated_at": found.updated_at,
        "author_association": association(world, repo, found.author),
        "reactions": rollup(world, f"comment:{found.id}", f"{url}/reactions"),
        "performed_via_github_app": app_or_none(world, found.via_app),
    }
