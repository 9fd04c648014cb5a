"""What the rest of the product sees of GitHub: values, made once from PyGithub's objects by the client."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from github.GitCommit import GitCommit as GhCommit
from github.Issue import Issue as GhIssue

MAX_CHECK_CHARS = 65_535
MAX_ANNOTATIONS = 50


class Reaction(StrEnum):
    """The reactions that we use, as the API spells them."""

    EYES = "eyes"
    ROCKET = "rocket"
    CONFUSED = "confused"
    THUMBS_UP = "+1"


class DeploymentState(StrEnum):
    """States of a deployment's status that we set."""

    IN_PROGRESS = "in_progress"
    SUCCESS = "success"
    FAILURE = "failure"
    ERROR = "error"
    INACTIVE = "inactive"


class CheckConclusion(StrEnum):
    """How a check run ends."""

    SUCCESS = "success"
    FAILURE = "failure"
    NEUTRAL = "neutral"
    CANCELLED = "cancelled"
    ACTION_REQUIRED = "action_required"


@dataclass(frozen=True, slots=True)
class Issue:
    """An issue (or a pull request seen as one) as it stands now."""

    number: int
    title: str
    body: str
    author: str
    """Login."""
    author_id: int
    state: str
    """"open" or "closed"."""
    labels: tuple[str, ...]
    url: str
    """For people."""


@dataclass(frozen=True, slots=True)
class Base:
    """The head of the default branch: what a build starts from and is merged into."""

    branch: str
    sha: str
    tree_sha: str
    private: bool


@dataclass(frozen=True, slots=True)
class Commit:
    """A git commit. `author` and `committer` are the names written in it, not logins."""

    sha: str
    message: str
    author: str
    committer: str
    tree_sha: str
    parents: tuple[str, ...]

    @property
    def subject(self) -> str:
        return self.message.partition("\n")[0]


@dataclass(frozen=True, slots=True)
class PullRequest:
    """A pull request of ours. `url` is for people; `draft` as GitHub has it, which may differ from what was asked."""

    number: int
    url: str
    draft: bool
    head_sha: str


@dataclass(frozen=True, slots=True)
class HookDelivery:
    """One try to hand a webhook to us. `guid` is the same for every try; `duration_s` is until our answer was read."""

    id: int
    guid: str
    event: str
    action: str
    status_code: int
    """0 when nobody answered."""
    duration_s: float
    delivered_at: float
    """Seconds since the epoch."""

    @property
    def ok(self) -> bool:
        """Whether we took it."""
        return 200 <= self.status_code < 300


def delivery_of(answer: Mapping[str, Any]) -> HookDelivery:
    """An item of `GET /app/hook/deliveries`."""
    return HookDelivery(
        id=answer["id"],
        guid=answer["guid"],
        event=answer["event"],
        action=answer["action"] or "",
        status_code=answer["status_code"],
        duration_s=answer["duration"],
        delivered_at=datetime.fromisoformat(answer["delivered_at"]).timestamp(),
    )


@dataclass(frozen=True, slots=True)
class CheckAction:
    """A button under a finished check run; the limits are GitHub's: 20, 40 and 20 characters."""

    label: str
    description: str
    identifier: str


@dataclass(frozen=True, slots=True)
class Annotation:
    """A remark on a file of a check run's commit; GitHub wants a line, and the whole file has none."""

    path: str
    message: str
    level: str = "warning"
    """"notice", "warning" or "failure"."""

    def body(self) -> dict[str, Any]:
        """As the API wants it."""
        return {
            "path": self.path,
            "start_line": 1,
            "end_line": 1,
            "annotation_level": self.level,
            "message": self.message,
        }


@dataclass(frozen=True, slots=True)
class CheckReport:
    """What a check run shows. Without a `conclusion` it is still in progress, and shows no buttons."""

    title: str
    summary: str
    """Markdown."""
    text: str = ""
    """Markdown, below the summary."""
    conclusion: CheckConclusion | None = None
    details_url: str = ""
    actions: Sequence[CheckAction] = ()
    annotations: Sequence[Annotation] = ()
    """GitHub takes 50 at once; the rest is not shown."""

    def body(self) -> dict[str, Any]:
        """As the API wants it; summary and text are cut at its 65,535 characters."""
        output: dict[str, Any] = {"title": self.title, "summary": self.summary[:MAX_CHECK_CHARS]}
        if self.text:
            output["text"] = self.text[:MAX_CHECK_CHARS]
        if self.annotations:
            output["annotations"] = [each.body() for each in self.annotations[:MAX_ANNOTATIONS]]
        body: dict[str, Any] = {"output": output, "actions": [asdict(action) for action in self.actions[:3]]}
        if self.details_url:
            body["details_url"] = self.details_url
        if self.conclusion:
            return {**body, "status": "completed", "conclusion": self.conclusion.value}
        return {**body, "status": "in_progress"}


def issue_of(found: GhIssue) -> Issue:
    """Our value of PyGithub's object. Authors who deleted their account are GitHub's "ghost"."""
    author = found.user
    return Issue(
        number=found.number,
        title=found.title,
        body=found.body or "",
        author=author.login if author else "ghost",
        author_id=author.id if author else 0,
        state=found.state,
        labels=tuple(label.name for label in found.labels),
        url=found.html_url,
    )


def commit_of(found: GhCommit) -> Commit:
    """Our value of PyGithub's object."""
    return Commit(
        sha=found.sha,
        message=found.message,
        author=found.author.name,
        committer=found.committer.name,
        tree_sha=found.tree.sha,
        parents=tuple(parent.sha for parent in found.parents),
    )


def commit_in(answer: Mapping[str, Any]) -> Commit:
    """Our value of an item in a list of commits, where the git commit lies one level deeper."""
    written = answer["commit"]
    return Commit(
        sha=answer["sha"],
        message=written["message"],
        author=written["author"]["name"],
        committer=written["committer"]["name"],
        tree_sha=written["tree"]["sha"],
        parents=tuple(parent["sha"] for parent in answer["parents"]),
    )
