"""Bytes of a webhook -> one typed event, or the reason why it is none of ours. Past this module nobody reads a payload.

Shapes are GitHub's webhook payloads (https://docs.github.com/webhooks/webhook-events-and-payloads); of each only what
the product needs is read, so that a new field over there changes nothing here.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import Discriminator, TypeAdapter, ValidationError

from bot.core import installations
from bot.core.errors import UserError
from bot.core.installations import (
    InstallationEvent,
    InstallationGone,
    RepositoriesAdded,
    RepositoriesGone,
    RepositoryRenamed,
)
from bot.core.models import Repo
from bot.core.payloads import (
    Button,
    Comment,
    Frame,
    IssueLabel,
    IssueOnly,
    PullRequestOnly,
    ReviewComment,
    Sender,
)

REBUILD_BUTTON = "rebuild"
"""Identifier of the button under a check run of ours."""


class EventKind(StrEnum):
    """What happened, as far as we care; the tag of the union `Event`."""

    ISSUE_LABELED = "issue_labeled"
    ISSUE_UNLABELED = "issue_unlabeled"
    ISSUE_CLOSED = "issue_closed"
    COMMENT_CREATED = "comment_created"
    REVIEW_COMMENT_CREATED = "review_comment_created"
    REBUILD_REQUESTED = "rebuild_requested"
    PULL_REQUEST_CLOSED = "pull_request_closed"
    PULL_REQUEST_PUSHED = "pull_request_pushed"


@dataclass(frozen=True, slots=True)
class IssueLabeled:
    """One label was put on an issue."""

    repo: Repo
    issue: int
    title: str
    body: str
    label: str
    sender: Sender
    kind: Literal[EventKind.ISSUE_LABELED] = EventKind.ISSUE_LABELED


@dataclass(frozen=True, slots=True)
class IssueUnlabeled:
    """One label was taken off an issue."""

    repo: Repo
    issue: int
    label: str
    sender: Sender
    kind: Literal[EventKind.ISSUE_UNLABELED] = EventKind.ISSUE_UNLABELED


@dataclass(frozen=True, slots=True)
class IssueClosed:
    """An issue was closed, for whatever reason."""

    repo: Repo
    issue: int
    sender: Sender
    kind: Literal[EventKind.ISSUE_CLOSED] = EventKind.ISSUE_CLOSED


@dataclass(frozen=True, slots=True)
class CommentCreated:
    """Someone wrote a comment. For a pull request, `issue` is its number and `title` and `body` are its own."""

    repo: Repo
    issue: int
    title: str
    body: str
    is_pull_request: bool
    comment_id: int
    comment: str
    """What the person wrote."""
    sender: Sender
    kind: Literal[EventKind.COMMENT_CREATED] = EventKind.COMMENT_CREATED


@dataclass(frozen=True, slots=True)
class ReviewCommentCreated:
    """Someone wrote a comment on a line of a pull request."""

    repo: Repo
    pull_request: int
    path: str
    line: int
    """The last line that it is about, as it is after the change; 0 for a comment on the whole file."""
    comment: str
    sender: Sender
    kind: Literal[EventKind.REVIEW_COMMENT_CREATED] = EventKind.REVIEW_COMMENT_CREATED


@dataclass(frozen=True, slots=True)
class RebuildRequested:
    """Someone pressed the button "Rebuild" of a check run of ours."""

    repo: Repo
    head_branch: str
    sender: Sender
    kind: Literal[EventKind.REBUILD_REQUESTED] = EventKind.REBUILD_REQUESTED


@dataclass(frozen=True, slots=True)
class PullRequestClosed:
    """A pull request was closed, merged or not."""

    repo: Repo
    pull_request: int
    merged: bool
    head_branch: str
    sender: Sender
    kind: Literal[EventKind.PULL_REQUEST_CLOSED] = EventKind.PULL_REQUEST_CLOSED


@dataclass(frozen=True, slots=True)
class PullRequestPushed:
    """Someone moved the head of a pull request to another commit."""

    repo: Repo
    pull_request: int
    head_branch: str
    head_sha: str
    sender: Sender
    kind: Literal[EventKind.PULL_REQUEST_PUSHED] = EventKind.PULL_REQUEST_PUSHED


Event = Annotated[
    IssueLabeled
    | IssueUnlabeled
    | IssueClosed
    | CommentCreated
    | ReviewCommentCreated
    | RebuildRequested
    | PullRequestClosed
    | PullRequestPushed
    | RepositoriesAdded
    | RepositoriesGone
    | InstallationGone
    | RepositoryRenamed,
    Discriminator("kind"),
]


def partition(event: Event) -> str:
    """Deliveries of one partition are handled one after the other: those of a repository, or of an installation."""
    if isinstance(event, InstallationEvent):
        return f"installation-{event.installation_id}"
    return event.repo.full_name


@dataclass(frozen=True, slots=True)
class Ignored:
    """A delivery that asks nothing of us; `reason` is for the log and for GitHub's list of deliveries."""

    reason: str


_stored: TypeAdapter[Any] = TypeAdapter(Event)


def load_event(data: Any) -> Event:
    """The inverse of `core.codec.dump` for an event.

    Raises:
        pydantic.ValidationError: the data was not made by `dump` from an event.
    """
    return _stored.validate_python(data)  # type: ignore[no-any-return]  # pydantic returns Any


def parse(event: str, payload: bytes, *, app_id: str = "") -> Event | Ignored:
    """A webhook's body as a typed event.

    Args:
        event: header X-GitHub-Event: "issues".
        payload: the raw body, application/json.
        app_id: our App's id; a comment that was written through it is ours, whoever's name it carries.

    Raises:
        UserError: the body is not JSON, or not of the shape that GitHub sends for an event that is ours.
    """
    body = _object(payload)
    action = body.get("action")
    name = f"{event}.{action}" if isinstance(action, str) else event
    read = _READERS.get(name)
    try:
        if (about := installations.read(name, body)) is not None:
            return (
                about
                if about.installation_id and about.subjects
                else Ignored(f"{name} names nothing of ours")
            )
        if read is None:
            return Ignored(f"{name} is not ours")
        frame = Frame.model_validate(body)
        if frame.sender.type == "Bot" and name not in _ENDINGS:
            return Ignored("sent by a bot")
        if frame.installation is None:
            return Ignored("it did not come through an installation of this App")
        return read(frame, body, app_id)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise UserError(f"the body is not GitHub's {name}: {where}: {first['msg']}") from error


def _object(payload: bytes) -> Mapping[str, Any]:
    try:
        body = json.loads(payload)
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError is a ValueError
        raise UserError("the body is not JSON; set the webhook's content type to application/json") from error
    if not isinstance(body, dict):
        raise UserError("the body is not a JSON object")
    return body


# What is read of GitHub's payloads --------------------------------------------------------------------


def _labeled(frame: Frame, body: Mapping[str, Any], _app_id: str) -> Event | Ignored:
    seen = IssueLabel.model_validate(body)
    if seen.label is None:
        return Ignored("the event names no label")
    issue = seen.issue
    return IssueLabeled(frame.repo, issue.number, issue.title, issue.body or "", seen.label.name, frame.by)


def _unlabeled(frame: Frame, body: Mapping[str, Any], _app_id: str) -> Event | Ignored:
    seen = IssueLabel.model_validate(body)
    if seen.label is None:
        return Ignored("the event names no label")
    return IssueUnlabeled(frame.repo, seen.issue.number, seen.label.name, frame.by)


def _closed(frame: Frame, body: Mapping[str, Any], _app_id: str) -> Event | Ignored:
    return IssueClosed(frame.repo, IssueOnly.model_validate(body).issue.number, frame.by)


def _commented(frame: Frame, body: Mapping[str, Any], app_id: str) -> Event | Ignored:
    seen = Comment.model_validate(body)
    through = seen.comment.performed_via_github_app
    if through is not None and str(through.id) == app_id:
        return Ignored("written through this App")
    issue = seen.issue
    return CommentCreated(
        repo=frame.repo,
        issue=issue.number,
        title=issue.title,
        body=issue.body or "",
        is_pull_request=issue.pull_request is not None,
        comment_id=seen.comment.id,
        comment=seen.comment.body or "",
        sender=frame.by,
    )


def _reviewed(frame: Frame, body: Mapping[str, Any], app_id: str) -> Event | Ignored:
    seen = ReviewComment.model_validate(body)
    comment = seen.comment
    if comment.performed_via_github_app is not None and str(comment.performed_via_github_app.id) == app_id:
        return Ignored("written through this App")
    line = comment.line or comment.original_line or 0
    number = seen.pull_request.number
    return ReviewCommentCreated(frame.repo, number, comment.path, line, comment.body or "", frame.by)


def _button_pressed(frame: Frame, body: Mapping[str, Any], _app_id: str) -> Event | Ignored:
    # GitHub sends a click to the App that made the check run, and to no other.
    seen = Button.model_validate(body)
    pressed = seen.requested_action.identifier if seen.requested_action else ""
    if pressed != REBUILD_BUTTON:
        return Ignored(f"the button {pressed} is not ours")
    return RebuildRequested(frame.repo, seen.check_run.check_suite.head_branch or "", frame.by)


def _pull_request_closed(frame: Frame, body: Mapping[str, Any], _app_id: str) -> Event | Ignored:
    seen = PullRequestOnly.model_validate(body).pull_request
    return PullRequestClosed(frame.repo, seen.number, bool(seen.merged), seen.head.ref, frame.by)


def _pull_request_pushed(frame: Frame, body: Mapping[str, Any], _app_id: str) -> Event | Ignored:
    seen = PullRequestOnly.model_validate(body).pull_request
    return PullRequestPushed(frame.repo, seen.number, seen.head.ref, seen.head.sha, frame.by)


_ENDINGS = frozenset({"issues.unlabeled", "issues.closed", "pull_request.closed"})
"""A bot asks for nothing. What it ends has ended all the same: merge queues and stale bots close, workflows take labels off."""

_READERS: Mapping[str, Callable[[Frame, Mapping[str, Any], str], Event | Ignored]] = {
    "issues.labeled": _labeled,
    "issues.unlabeled": _unlabeled,
    "issues.closed": _closed,
    "issue_comment.created": _commented,
    "pull_request_review_comment.created": _reviewed,
    "check_run.requested_action": _button_pressed,
    "pull_request.closed": _pull_request_closed,
    "pull_request.synchronize": _pull_request_pushed,
}
