"""Issues, comments, sub-issues and reactions."""

from typing import Any

from bot.local.github import conversation
from bot.local.github.api import Answer, Call, handles
from bot.local.github.identity import at_least
from bot.local.github.permissions import allows
from bot.local.github.records import Comment, Issue
from bot.local.github.refusals import Refusal, invalid, not_found
from bot.local.github.shapes import issues as shapes


def names_of(values: Any) -> list[str]:
    """Label names from a list of names or of objects with a name; both are accepted everywhere."""
    return [value if isinstance(value, str) else str(value["name"]) for value in values or ()]


def may_triage(call: Call) -> bool:
    """Whether the caller may change other people's issues and put labels on."""
    if call.caller.installation and call.caller.token:
        return allows(call.caller.token.permissions, "issues:write") or allows(
            call.caller.token.permissions, "pull_requests:write"
        )
    return at_least(call.world.role(call.repo, call.caller.login), "triage")


def must_own(call: Call, author: str) -> None:
    """Let authors and those who may triage pass.

    Raises:
        Refusal: 403.
    """
    if call.caller.login != author and not may_triage(call):
        raise Refusal(403, "Must have admin rights to Repository.")


@handles("issues/create")
def create(call: Call) -> Answer:
    fields = call.fields
    labels = names_of(fields.get("labels")) if may_triage(call) else []  # dropped without a word
    issue = conversation.open_issue(
        call.world,
        call.repo,
        title=str(fields["title"]),
        body=fields.get("body"),
        author=call.caller.login,
        labels=labels,
        via_app=call.caller.via_app,
    )
    return Answer(201, shapes.issue(call.world, call.repo, issue))


@handles("issues/get")
def get(call: Call) -> Answer:
    return Answer(200, shapes.issue(call.world, call.repo, call.issue()))


@handles("issues/update")
def update(call: Call) -> Answer:
    issue, fields = call.issue(), call.fields
    must_own(call, issue.author)
    if "labels" in fields and may_triage(call):
        names = names_of(fields["labels"])
        issue = conversation.set_labels(call.world, call.repo, issue, names, call.caller.login)
    return Answer(200, shapes.issue(call.world, call.repo, apply(call, issue, fields)))


def apply(call: Call, issue: Issue, fields: dict[str, Any]) -> Issue:
    """Title, body and state of an issue or a pull request."""
    world, repo, sender = call.world, call.repo, call.caller.login
    title = fields.get("title")
    issue = conversation.edit(
        world, repo, issue, sender, title=None if title is None else str(title), body=fields.get("body")
    )
    if fields.get("state") == "closed":
        return conversation.close(world, repo, issue, sender, fields.get("state_reason"))
    return conversation.reopen(world, repo, issue, sender) if fields.get("state") == "open" else issue


@handles("issues/list-for-repo")
def list_for_repo(call: Call) -> Answer:
    state = call.query.get("state", "open")
    wanted = [name.casefold() for name in call.query.get("labels", "").split(",") if name]
    since = call.query.get("since", "")
    found = [
        issue
        for issue in call.world.store.issues.where(repo=call.repo.id)
        if state in ("all", issue.state)
        and call.query.get("creator", issue.author) == issue.author
        and issue.updated_at >= since
        and set(wanted) <= {name.casefold() for name in conversation.label_names(call.world, issue)}
    ]
    key = {"updated": "updated_at"}.get(call.query.get("sort", ""), "created_at")
    newest_first = call.query.get("direction", "desc") == "desc"
    found.sort(key=lambda issue: (getattr(issue, key), issue.number), reverse=newest_first)
    return call.page(found, lambda issue: shapes.issue(call.world, call.repo, issue))


@handles("issues/create-comment")
def create_comment(call: Call) -> Answer:
    made = conversation.comment(
        call.world, call.repo, call.issue(), call.fields["body"], call.caller.login, call.caller.via_app
    )
    return Answer(201, shapes.comment(call.world, call.repo, made))


@handles("issues/list-comments")
def list_comments(call: Call) -> Answer:
    issue, since = call.issue(), call.query.get("since", "")
    found = call.world.store.comments.where(repo=call.repo.id, number=issue.number)
    newer = [comment for comment in found if comment.updated_at >= since]
    return call.page(newer, lambda comment: shapes.comment(call.world, call.repo, comment))


@handles("issues/list-comments-for-repo")
def list_comments_for_repo(call: Call) -> Answer:
    since = call.query.get("since", "")
    found = [c for c in call.world.store.comments.where(repo=call.repo.id) if c.updated_at >= since]
    return call.page(found, lambda comment: shapes.comment(call.world, call.repo, comment))


def the_comment(call: Call) -> Comment:
    """The comment of the path."""
    found = call.world.store.comments.get(call.number("comment_id"))
    if found is None or found.repo != call.repo.id:
        raise not_found()
    return found


@handles("issues/get-comment")
def get_comment(call: Call) -> Answer:
    return Answer(200, shapes.comment(call.world, call.repo, the_comment(call)))


@handles("issues/update-comment")
def update_comment(call: Call) -> Answer:
    found = the_comment(call)
    must_own_comment(call, found)
    made = conversation.edit_comment(call.world, call.repo, found, call.fields["body"], call.caller.login)
    return Answer(200, shapes.comment(call.world, call.repo, made))


@handles("issues/delete-comment")
def delete_comment(call: Call) -> Answer:
    found = the_comment(call)
    must_own_comment(call, found)
    conversation.delete_comment(call.world, call.repo, found, call.caller.login)
    return Answer(204)


def must_own_comment(call: Call, found: Comment) -> None:
    """Let authors, Apps with the permission and people with write access pass."""
    if call.caller.installation or call.caller.login == found.author:
        return
    if not at_least(call.world.role(call.repo, call.caller.login), "write"):
        raise Refusal(403, "Must have admin rights to Repository.")


@handles("issues/add-sub-issue")
def add_sub_issue(call: Call) -> Answer:
    parent = call.issue()
    child = call.world.store.issues.get(int(call.fields["sub_issue_id"]))
    if child is None or child.id == parent.id:
        raise not_found()
    if child.parent is not None and not call.fields.get("replace_parent"):
        raise invalid("Issue", "sub_issue_id", "custom", "Sub issue may only have one parent")
    call.world.touch(child, parent=parent.id)
    return Answer(201, shapes.issue(call.world, call.repo, parent))


@handles("issues/list-sub-issues")
def list_sub_issues(call: Call) -> Answer:
    children = call.world.store.issues.where(parent=call.issue().id)
    return call.page(children, lambda issue: shapes.issue(call.world, call.repo, issue))


def subject_of(call: Call) -> str:
    """What is reacted to: the comment or the issue of the path."""
    if "comment_id" in call.params:
        return f"comment:{the_comment(call).id}"
    return f"issue:{call.issue().id}"


@handles("reactions/create-for-issue", "reactions/create-for-issue-comment")
def create_reaction(call: Call) -> Answer:
    made, new = conversation.react(
        call.world, call.repo, subject_of(call), call.fields["content"], call.caller.login
    )
    return Answer(201 if new else 200, shapes.reaction(call.world, made))


@handles("reactions/list-for-issue", "reactions/list-for-issue-comment")
def list_reactions(call: Call) -> Answer:
    wanted = call.query.get("content")
    found = call.world.store.reactions.where(subject=subject_of(call))
    chosen = [reaction for reaction in found if wanted in (None, reaction.content)]
    return call.page(chosen, lambda reaction: shapes.reaction(call.world, reaction))


@handles("reactions/delete-for-issue", "reactions/delete-for-issue-comment")
def delete_reaction(call: Call) -> Answer:
    found = call.world.store.reactions.get(call.number("reaction_id"))
    if found is None or found.subject != subject_of(call):
        raise not_found()
    if found.author != call.caller.login:
        raise Refusal(403, "You may only delete your own reactions.")
    call.world.store.reactions.drop(found.id)
    return Answer(204)
