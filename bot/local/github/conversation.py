"""What people and Apps do to issues, pull requests, labels and comments, with the events that follow.

Shared by the REST operations and the HTML pages. Callers hold the store's lock and have checked permissions.
"""

import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from bot.local.github.records import Comment, Issue, Label, Pull, Reaction, Repository
from bot.local.github.refusals import Refusal, invalid
from bot.local.github.shapes import code, issues
from bot.local.github.world import World

LONGEST_BODY = 65_536
LONGEST_TITLE = 256
_COLOR = re.compile(r"[0-9a-fA-F]{6}")


def check_text(resource: str, field: str, text: str | None, *, required: bool, longest: int) -> None:
    """Refuse a missing or too long text.

    Raises:
        Refusal: 422.
    """
    if required and not (text or "").strip():
        raise invalid(resource, field, "missing_field")
    if text and len(text) > longest:
        message = f"{field} is too long (maximum is {longest} characters)"
        raise invalid(resource, field, "custom", message)


def about(world: World, repo: Repository, issue: Issue) -> tuple[str, dict[str, Any]]:
    """The event of an issue or of a pull request, and the part of the payload that shows it."""
    if not issue.pull:
        return "issues", {"issue": issues.issue(world, repo, issue)}
    pull = the_pull(world, repo, issue)
    return "pull_request", {
        "number": issue.number,
        "pull_request": code.pull(world, repo, pull, issue),
    }


def the_pull(world: World, repo: Repository, issue: Issue) -> Pull:
    """The code side of a pull request."""
    pull = world.pull(repo, issue.number)
    if pull is None:
        raise LookupError(f"#{issue.number} is no pull request")
    return pull


def tell(world: World, repo: Repository, issue: Issue, action: str, sender: str, **extra: Any) -> None:
    """Emit `issues.<action>` or `pull_request.<action>`."""
    event, payload = about(world, repo, issue)
    world.emit(event, action, repo, payload | extra, sender)


def open_issue(
    world: World,
    repo: Repository,
    *,
    title: str,
    body: str | None,
    author: str,
    labels: Iterable[str] = (),
    via_app: int | None = None,
) -> Issue:
    """Open an issue; one opened with labels sends `opened` and then `labeled` for each of them.

    Raises:
        Refusal: 422 for a missing title or a text that is too long.
    """
    check_text("Issue", "title", title, required=True, longest=LONGEST_TITLE)
    check_text("Issue", "body", body, required=False, longest=LONGEST_BODY)
    now = world.now()
    issue = world.store.issues.put(
        Issue(
            id=world.store.next_id(),
            repo=repo.id,
            number=next_number(world, repo),
            title=title,
            body=body,
            author=author,
            created_at=now,
            updated_at=now,
            via_app=via_app,
        )
    )
    wanted = [find_or_make_label(world, repo, name, author) for name in labels]
    issue = world.store.issues.put(replace(issue, labels=tuple(dict.fromkeys(label.id for label in wanted))))
    tell(world, repo, issue, "opened", author)
    for label in wanted:
        tell(world, repo, issue, "labeled", author, label=issues.label(world, repo, label))
    return issue


def next_number(world: World, repo: Repository) -> int:
    """The next number; issues and pull requests share them."""
    return world.store.next_id(f"number:{repo.id}", first=1)


def edit(
    world: World, repo: Repository, issue: Issue, sender: str, *, title: str | None, body: str | None
) -> Issue:
    """Change title and body (None: leave as it is) and send `edited` with what they were."""
    check_text("Issue", "title", title, required=title is not None, longest=LONGEST_TITLE)
    check_text("Issue", "body", body, required=False, longest=LONGEST_BODY)
    changes: dict[str, Any] = {}
    if title is not None and title != issue.title:
        changes["title"] = {"from": issue.title}
    if body is not None and body != issue.body:
        changes["body"] = {"from": issue.body or ""}
    if not changes:
        return issue
    new = {"title": title, "body": body}
    issue = world.touch(issue, **{name: new[name] for name in changes})
    tell(world, repo, issue, "edited", sender, changes=changes)
    return issue


def close(world: World, repo: Repository, issue: Issue, sender: str, reason: str | None = None) -> Issue:
    """Close an issue or a pull request; nothing happens if it is closed."""
    if issue.state == "closed":
        return issue
    why = None if issue.pull else reason or "completed"
    issue = world.touch(issue, state="closed", state_reason=why, closed_at=world.now(), closed_by=sender)
    tell(world, repo, issue, "closed", sender)
    return issue


def reopen(world: World, repo: Repository, issue: Issue, sender: str) -> Issue:
    """Open a closed issue or pull request again.

    Raises:
        Refusal: 422 for a pull request that was merged or whose branch is gone.
    """
    if issue.state == "open":
        return issue
    if issue.pull:
        pull = the_pull(world, repo, issue)
        head = world.git(repo).resolve(f"refs/heads/{pull.head}")
        if pull.merged_at or head is None:
            reason = "has been merged" if pull.merged_at else f"the {pull.head} branch has been deleted"
            raise invalid("PullRequest", "state", "invalid", f"state cannot be changed: {reason}.")
        world.store.pulls.put(replace(pull, head_sha=head))
    issue = world.touch(
        issue, state="open", state_reason=None if issue.pull else "reopened", closed_at=None, closed_by=None
    )
    tell(world, repo, issue, "reopened", sender)
    return issue


def find_or_make_label(world: World, repo: Repository, name: str, sender: str) -> Label:
    """A label by name; one that does not exist is made, as GitHub does when it is put on an issue."""
    return world.label(repo, name) or make_label(world, repo, name, "ededed", None, sender)


def make_label(
    world: World, repo: Repository, name: str, color: str, description: str | None, sender: str
) -> Label:
    """Make a label.

    Raises:
        Refusal: 422 if the name is taken or the colour is none.
    """
    if world.label(repo, name):
        raise invalid("Label", "name", "already_exists")
    if not name.strip() or len(name) > 50:
        raise invalid("Label", "name")
    if not _COLOR.fullmatch(color):
        raise invalid("Label", "color")
    label = world.store.labels.put(Label(world.store.next_id(), repo.id, name, color.lower(), description))
    world.emit("label", "created", repo, {"label": issues.label(world, repo, label)}, sender)
    return label


def set_labels(world: World, repo: Repository, issue: Issue, names: Iterable[str], sender: str) -> Issue:
    """Make these the labels, with one event for each that came or went; none for those that were there."""
    wanted = {label.id: label for label in (find_or_make_label(world, repo, name, sender) for name in names)}
    before = issue.labels
    if set(before) == set(wanted):
        return issue
    kept = [number for number in before if number in wanted]
    new = [number for number in wanted if number not in before]
    issue = world.touch(issue, labels=(*kept, *new))
    for number in before:
        gone = world.store.labels.get(number)
        if number not in wanted and gone:
            tell(world, repo, issue, "unlabeled", sender, label=issues.label(world, repo, gone))
    for number in new:
        tell(world, repo, issue, "labeled", sender, label=issues.label(world, repo, wanted[number]))
    return issue


def label_names(world: World, issue: Issue) -> list[str]:
    """Names of the labels of an issue."""
    found = (world.store.labels.get(number) for number in issue.labels)
    return [label.name for label in found if label]


def comment(
    world: World, repo: Repository, issue: Issue, body: str, author: str, via_app: int | None = None
) -> Comment:
    """Add a comment.

    Raises:
        Refusal: 422 if it is empty or too long.
    """
    check_text("IssueComment", "body", body, required=True, longest=LONGEST_BODY)
    now = world.now()
    made = world.store.comments.put(
        Comment(world.store.next_id(), repo.id, issue.number, author, body, now, now, via_app)
    )
    issue = world.touch(issue)
    tell_comment(world, repo, issue, made, "created", author)
    return made


def edit_comment(world: World, repo: Repository, found: Comment, body: str, sender: str) -> Comment:
    """Change the text of a comment."""
    check_text("IssueComment", "body", body, required=True, longest=LONGEST_BODY)
    issue = issue_of(world, repo, found)
    new = world.store.comments.put(replace(found, body=body, updated_at=world.now()))
    if body != found.body:
        changes = {"body": {"from": found.body}}
        tell_comment(world, repo, issue, new, "edited", sender, changes=changes)
    return new


def delete_comment(world: World, repo: Repository, found: Comment, sender: str) -> None:
    """Remove a comment and its reactions."""
    issue = issue_of(world, repo, found)
    tell_comment(world, repo, issue, found, "deleted", sender)
    world.store.comments.drop(found.id)
    for reaction in world.store.reactions.where(subject=f"comment:{found.id}"):
        world.store.reactions.drop(reaction.id)


def issue_of(world: World, repo: Repository, found: Comment) -> Issue:
    """The issue that a comment is on."""
    issue = world.issue(repo, found.number)
    if issue is None:
        raise LookupError(f"comment {found.id} has no issue")
    return issue


def tell_comment(
    world: World, repo: Repository, issue: Issue, found: Comment, action: str, sender: str, **extra: Any
) -> None:
    """Emit `issue_comment.<action>`; on pull requests the issue of the payload has `pull_request`."""
    payload = {
        "issue": issues.issue(world, repo, issue),
        "comment": issues.comment(world, repo, found),
    }
    world.emit("issue_comment", action, repo, payload | extra, sender)


def react(world: World, repo: Repository, subject: str, content: str, author: str) -> tuple[Reaction, bool]:
    """Add a reaction; gives it and whether it is new. GitHub sends no event for reactions."""
    if content not in issues.CONTENTS:
        raise Refusal(422, f"Invalid reaction content {content!r}")
    old = world.store.reactions.one(subject=subject, author=author, content=content)
    if old:
        return old, False
    new = Reaction(world.store.next_id(), repo.id, subject, author, content, world.now())
    return world.store.reactions.put(new), True
