"""What can become of an event: the decisions of `core.policy`, as values."""

from dataclasses import dataclass, field
from enum import StrEnum

from bot.core.models import Options, OrderKind, RunId


@dataclass(frozen=True, slots=True)
class StartBuild:
    """Put a build on the queue."""

    insist: bool
    feedback: str = ""
    options: Options = field(default_factory=Options)


@dataclass(frozen=True, slots=True)
class GiveOrder:
    """Tell the active build something."""

    run: RunId
    order: OrderKind
    text: str = ""


@dataclass(frozen=True, slots=True)
class ExtendPreview:
    """Let a preview live for at least so long from now."""

    run: RunId
    seconds: float


@dataclass(frozen=True, slots=True)
class ShowAgain:
    """Start what stands on the branch once more, on a clean machine, without a swarm."""

    run: RunId


@dataclass(frozen=True, slots=True)
class LetCiRun:
    """Let the repository's workflows run on the head of the branch, if it is the one that the person saw."""

    run: RunId
    seen: str
    """The commit that they named, or empty for the one that the build published."""


@dataclass(frozen=True, slots=True)
class CancelRun:
    """Ask the active build to stop; `reason` is for people: "the label was removed"."""

    run: RunId
    reason: str


@dataclass(frozen=True, slots=True)
class EndIssue:
    """Nothing of this issue goes on: its builds end and its previews go. `reason` is for people."""

    issue: int
    reason: str


@dataclass(frozen=True, slots=True)
class EndPullRequest:
    """The pull request was closed or merged: its preview goes, and so does a build that would renew it."""

    pull_request: int
    reason: str


@dataclass(frozen=True, slots=True)
class OutdatePreview:
    """Say that the pull request's preview shows an older commit than its head."""

    pull_request: int
    head_sha: str


class Reply(StrEnum):
    """Answers to a command; each is the template `github/<value>.md.j2`."""

    HELP = "help"
    STATUS = "status"
    ALREADY_RUNNING = "already_running"
    NOTHING_TO_STOP = "nothing_to_stop"
    UNKNOWN_COMMAND = "unknown_command"
    ASK_IN_THE_ISSUE = "ask_in_the_issue"
    MISUSED = "misused"
    NOTHING_TO_APPROVE = "nothing_to_approve"
    NOTHING_ASKED = "nothing_asked"
    NO_PREVIEW = "no_preview"
    NO_PULL_REQUEST = "no_pull_request"


@dataclass(frozen=True, slots=True)
class Answer:
    """Answer with a comment."""

    reply: Reply
    run: RunId | None = None
    word: str = ""
    nearest: str = ""
    why: str = ""


@dataclass(frozen=True, slots=True)
class Refuse:
    """Say no, in the one sentence `why`, and do nothing."""

    why: str


@dataclass(frozen=True, slots=True)
class Nothing:
    """Nothing is to be done; `why` is for the log."""

    why: str


Decision = (
    StartBuild
    | CancelRun
    | EndIssue
    | EndPullRequest
    | OutdatePreview
    | GiveOrder
    | ExtendPreview
    | ShowAgain
    | LetCiRun
    | Answer
    | Refuse
    | Nothing
)
