"""The parts of GitHub's webhook payloads that `core.events` reads: of each only what the product needs."""

from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, StrictBool, StrictInt

from bot.core.models import Repo


@dataclass(frozen=True, slots=True)
class Sender:
    """Who did it. `type` is GitHub's: "User", "Organization" …; events by a "Bot" never become values."""

    login: str
    type: str
    id: int = 0


class User(BaseModel):
    login: str
    type: str = "User"
    id: StrictInt = 0


class Repository(BaseModel):
    full_name: str
    id: StrictInt


class Numbered(BaseModel):
    id: StrictInt


class Frame(BaseModel):
    """What all payloads of repository events have in common."""

    sender: User
    repository: Repository
    installation: Numbered | None = None

    @property
    def repo(self) -> Repo:
        installation = self.installation.id if self.installation else 0
        return Repo(self.repository.full_name, self.repository.id, installation)

    @property
    def by(self) -> Sender:
        return Sender(self.sender.login, self.sender.type, self.sender.id)


class Issue(BaseModel):
    number: StrictInt
    title: str
    body: str | None = None
    pull_request: dict[str, Any] | None = None


class Label(BaseModel):
    name: str


class IssueLabel(BaseModel):
    issue: Issue
    label: Label | None = None  # absent when the label itself was deleted from the repository


class IssueOnly(BaseModel):
    issue: Issue


class CommentBody(BaseModel):
    id: StrictInt
    body: str | None = None
    performed_via_github_app: Numbered | None = None


class Comment(BaseModel):
    issue: Issue
    comment: CommentBody


class ReviewCommentBody(CommentBody):
    path: str
    line: StrictInt | None = None
    original_line: StrictInt | None = None


class PullNumber(BaseModel):
    number: StrictInt


class ReviewComment(BaseModel):
    pull_request: PullNumber
    comment: ReviewCommentBody


class Suite(BaseModel):
    head_branch: str | None = None


class CheckRun(BaseModel):
    check_suite: Suite


class Pressed(BaseModel):
    identifier: str


class Button(BaseModel):
    check_run: CheckRun
    requested_action: Pressed | None = None


class Head(BaseModel):
    ref: str
    sha: str = ""


class PullRequest(BaseModel):
    number: StrictInt
    merged: StrictBool | None = None
    head: Head


class PullRequestOnly(BaseModel):
    pull_request: PullRequest


# Readers ----------------------------------------------------------------------------------------------
