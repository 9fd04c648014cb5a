"""Who may ask for what, and what becomes of it: an event, a permission and the present state -> one decision.

Two questions, because the answer to the first is known without asking anybody: `concerns` (does this event ask
something of us, and does it take a permission?) and `decide`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from bot.core import commands
from bot.core.commands import Command, Invocation, Unknown
from bot.core.events import (
    CommentCreated,
    Event,
    IssueClosed,
    IssueLabeled,
    IssueUnlabeled,
    PullRequestClosed,
    PullRequestPushed,
)
from bot.core.models import BuildRequest, Repo, RunId

BRANCH_PREFIX = "swarm/"
"""Branches below this are ours: `swarm/issue-7`."""


def branch_of(issue: int) -> str:
    """The branch that carries the builds of an issue."""
    return f"{BRANCH_PREFIX}issue-{issue}"


class Permission(StrEnum):
    """What a person may do in a repository, from least to most (GitHub's `role_name`)."""

    NONE = "none"
    READ = "read"
    TRIAGE = "triage"
    WRITE = "write"
    MAINTAIN = "maintain"
    ADMIN = "admin"

    def covers(self, least: "Permission") -> bool:
        """Whether this is at least as much."""
        order = list(Permission)
        return order.index(self) >= order.index(least)


def permission_of(permission: str, role_name: str) -> Permission:
    """GitHub's answer to "what may this collaborator do" as ours.

    `role_name` is exact, but an organisation may have invented it; `permission` then says which basic role it
    stands for ("admin", "write", "read", "none"). What is known to neither is no permission.
    """
    for name in (role_name, permission):
        if name in set(Permission):
            return Permission(name)
    return Permission.NONE


class Ask(StrEnum):
    """What an event asks of us."""

    BUILD = "build"
    """By label: unless the brief says that it does not suit a swarm."""
    INSIST = "insist"
    """By command: even then."""
    STOP = "stop"
    WITHDRAW = "withdraw"
    """The label was removed."""
    CLOSE = "close"
    """The issue was closed."""
    END_PREVIEW = "end_preview"
    OUTDATE = "outdate"
    """A person pushed to the branch: the preview shows an older commit."""
    STATUS = "status"
    HELP = "help"
    UNKNOWN = "unknown"


NEEDS_PERMISSION = frozenset({Ask.BUILD, Ask.INSIST, Ask.STOP})
"""For the rest GitHub's own rules are enough: who removes a label or closes somebody's issue has triage at least, and
an author who closes the own issue has changed their mind."""


@dataclass(frozen=True, slots=True)
class Concern:
    """What an event asks, of which issue or pull request, and whether the sender's permission has to be looked up."""

    ask: Ask
    repo: Repo
    number: int
    sender: str
    needs_permission: bool
    feedback: str = ""
    word: str = ""
    """For UNKNOWN: what was written, and which command was probably meant."""
    nearest: str = ""
    on_pull_request: bool = False
    """`number` is a pull request's; builds belong to issues."""
    head_sha: str = ""
    """For OUTDATE: where the branch stands now."""


@dataclass(frozen=True, slots=True)
class StartBuild:
    """Put a build on the queue."""

    insist: bool
    feedback: str = ""


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


@dataclass(frozen=True, slots=True)
class Answer:
    """Answer with a comment."""

    reply: Reply
    run: RunId | None = None
    word: str = ""
    nearest: str = ""


@dataclass(frozen=True, slots=True)
class Refuse:
    """Say no, in the one sentence `why`, and do nothing."""

    why: str


@dataclass(frozen=True, slots=True)
class Nothing:
    """Nothing is to be done; `why` is for the log."""

    why: str


Decision = StartBuild | CancelRun | EndIssue | EndPullRequest | OutdatePreview | Answer | Refuse | Nothing


# What an event asks -----------------------------------------------------------------------------------

_OF_COMMAND: Mapping[Command, Ask] = {
    Command.BUILD: Ask.INSIST,
    Command.REBUILD: Ask.INSIST,
    Command.STOP: Ask.STOP,
    Command.STATUS: Ask.STATUS,
    Command.HELP: Ask.HELP,
}


def concerns(event: Event, trigger_label: str) -> Concern | None:  # noqa: PLR0911  # a case per event
    """What an event asks of us; None if nothing. GitHub's labels are the same in every letter case."""
    match event:
        case IssueLabeled(repo=repo, issue=issue, label=label, sender=sender):
            ours = _same(label, trigger_label)
            return _concern(Ask.BUILD, repo, issue, sender.login) if ours else None
        case IssueUnlabeled(repo=repo, issue=issue, label=label, sender=sender):
            ours = _same(label, trigger_label)
            return _concern(Ask.WITHDRAW, repo, issue, sender.login) if ours else None
        case IssueClosed(repo=repo, issue=issue, sender=sender):
            return _concern(Ask.CLOSE, repo, issue, sender.login)
        case PullRequestClosed(repo=repo, pull_request=number, head_branch=branch, sender=sender):
            ours = branch.startswith(BRANCH_PREFIX)
            return _concern(Ask.END_PREVIEW, repo, number, sender.login) if ours else None
        case PullRequestPushed(repo=repo, pull_request=number, head_branch=branch, sender=sender):
            ours = branch.startswith(BRANCH_PREFIX)
            ask = _concern(Ask.OUTDATE, repo, number, sender.login)
            return replace(ask, head_sha=event.head_sha) if ours else None
        case CommentCreated():
            return _asked_in(event)
        case _:
            return None


def _asked_in(event: CommentCreated) -> Concern | None:
    match commands.parse(event.comment):
        case Invocation(command=command, feedback=feedback):
            ask = _concern(_OF_COMMAND[command], event.repo, event.issue, event.sender.login)
            return replace(ask, feedback=feedback, on_pull_request=event.is_pull_request)
        case Unknown(word=word, nearest=nearest):
            ask = _concern(Ask.UNKNOWN, event.repo, event.issue, event.sender.login)
            return replace(ask, word=word, nearest=nearest)
        case None:
            return None


def _concern(ask: Ask, repo: Repo, number: int, sender: str) -> Concern:
    return Concern(ask, repo, number, sender, ask in NEEDS_PERMISSION)


def _same(label: str, other: str) -> bool:
    return label.casefold() == other.casefold()


# What becomes of it -----------------------------------------------------------------------------------

_Rule = Callable[[Concern, RunId | None], Decision]


def _cancel(reason: str, otherwise: Decision) -> _Rule:
    return lambda _concern, active: CancelRun(active, reason) if active else otherwise


def _end_issue(reason: str) -> _Rule:
    return lambda concern, _active: EndIssue(concern.number, reason)


def _start(*, insist: bool) -> _Rule:
    def rule(concern: Concern, active: RunId | None) -> Decision:
        if concern.on_pull_request:
            return Answer(Reply.ASK_IN_THE_ISSUE)
        if active and not insist:
            return Nothing(f"build {active} is active, and its progress is in the issue")
        if active:
            return Answer(Reply.ALREADY_RUNNING, run=active)
        return StartBuild(insist=insist, feedback=concern.feedback)

    return rule


_RULES: Mapping[Ask, _Rule] = {
    Ask.BUILD: _start(insist=False),
    Ask.INSIST: _start(insist=True),
    Ask.STOP: _cancel("asked to by a command", Answer(Reply.NOTHING_TO_STOP)),
    Ask.WITHDRAW: _end_issue("the label was removed"),
    Ask.CLOSE: _end_issue("the issue was closed"),
    Ask.END_PREVIEW: lambda concern, _active: EndPullRequest(concern.number, "the pull request was closed"),
    Ask.OUTDATE: lambda concern, _active: OutdatePreview(concern.number, concern.head_sha),
    Ask.STATUS: lambda _concern, active: Answer(Reply.STATUS, run=active),
    Ask.HELP: lambda _concern, _active: Answer(Reply.HELP),
    Ask.UNKNOWN: lambda concern, _active: Answer(
        Reply.UNKNOWN_COMMAND, word=concern.word, nearest=concern.nearest
    ),
}


def decide(
    event: Event,
    *,
    trigger_label: str,
    permission: Permission,
    least: Permission,
    active: RunId | None,
) -> Decision:
    """What to do about an event.

    Args:
        event: what happened.
        trigger_label: the label that starts builds.
        permission: the sender's live permission; `NONE` when it could not be read or was not looked up.
        least: what it takes to start or stop a build.
        active: the build of this issue that has not ended.
    """
    concern = concerns(event, trigger_label)
    if concern is None:
        return Nothing("it asks nothing of us")
    if concern.needs_permission and not permission.covers(least):
        return Refuse(f"starting or stopping a build takes {least} permission in this repository")
    return _RULES[concern.ask](concern, active)


def request_of(event: IssueLabeled | CommentCreated, decision: StartBuild, delivery: str) -> BuildRequest:
    """The order for a build: the issue as it stood in the signed payload."""
    return BuildRequest(
        repo=event.repo,
        issue=event.issue,
        title=event.title,
        body=event.body,
        requested_by=event.sender.login,
        delivery=delivery,
        insist=decision.insist,
        feedback=decision.feedback,
        requested_by_id=event.sender.id,
    )
