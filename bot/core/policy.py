"""Who may ask for what, and what becomes of it: an event, a permission and the present state -> one decision.

Two questions, because the answer to the first is known without asking anybody: `concerns` (does this event ask
something of us, and does it take a permission?) and `decide`.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from bot.core import commands
from bot.core.commands import Command, Invocation, Misused, Unknown
from bot.core.decisions import (
    Answer,
    CancelRun,
    Decision,
    EndIssue,
    EndPullRequest,
    ExtendPreview,
    GiveOrder,
    LetCiRun,
    Nothing,
    OutdatePreview,
    Refuse,
    Reply,
    ShowAgain,
    StartBuild,
)
from bot.core.events import (
    CommentCreated,
    Event,
    IssueClosed,
    IssueLabeled,
    IssueUnlabeled,
    PullRequestClosed,
    PullRequestPushed,
    RebuildRequested,
    ReviewCommentCreated,
)
from bot.core.models import Options, OrderKind, Repo, RunId

BRANCH_PREFIX = "swarm/"
"""Branches below this are ours: `swarm/issue-7`."""


LABEL_WORD = "swarm"
"""A label that starts builds has this word in its name."""


def branch_of(issue: int) -> str:
    """The branch that carries the builds of an issue."""
    return f"{BRANCH_PREFIX}issue-{issue}"


def issue_of(branch: str) -> int | None:
    """The issue whose builds a branch carries, also one that a build in conflict has for itself; None for a branch that is not ours."""
    found = re.fullmatch(re.escape(BRANCH_PREFIX) + r"issue-([1-9]\d{0,9})(-[0-9a-f]{12})?", branch)
    return int(found[1]) if found else None


def plausible_label(label: str) -> bool:
    """Whether a repository may have chosen this label to start builds: worth a look into its configuration.

    Only labels with this word in them are, so that the many others of a repository cost no call.
    """
    return LABEL_WORD in label.casefold()


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
    FINISH = "finish"
    APPROVE = "approve"
    REVISE = "revise"
    EXTEND = "extend"
    PREVIEW = "preview"
    CI = "ci"
    ANSWER = "answer"
    STATUS = "status"
    HELP = "help"
    UNKNOWN = "unknown"
    MISUSED = "misused"


NEEDS_PERMISSION = frozenset(
    {
        Ask.BUILD, Ask.INSIST, Ask.STOP, Ask.FINISH, Ask.APPROVE, Ask.REVISE, Ask.EXTEND, Ask.PREVIEW, Ask.CI,
        Ask.ANSWER,
    }
)  # fmt: skip
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
    options: Options = field(default_factory=Options)
    seconds: float = 0.0
    """Of EXTEND."""
    word: str = ""
    """For UNKNOWN: what was written, and which command was probably meant."""
    nearest: str = ""
    why: str = ""
    """For MISUSED: one sentence."""
    on_pull_request: bool = False
    """`number` is a pull request's; builds belong to issues."""
    of_review: bool = False
    """Said in a comment on a line; a review may have many."""
    head_sha: str = ""
    """For OUTDATE: where the branch stands now."""
    comment_id: int | None = None
    """The comment that asks, if it is one of an issue or of the conversation of a pull request."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How an issue stands when something is asked of it."""

    active: RunId | None = None
    """The build that has not ended."""
    latest: RunId | None = None
    """The newest build, whatever became of it."""
    published: RunId | None = None
    """The newest build with a pull request."""
    preview: RunId | None = None
    """The build whose preview lives."""
    listens: bool = False
    """The active build's architect still works, or has not begun."""
    gated: bool = False
    """The active build waits until its specification is approved."""
    asked: bool = False
    """The newest build ended with questions."""
    ours: bool = True
    """False for a pull request that no build opened."""


# What an event asks -----------------------------------------------------------------------------------

_OF_COMMAND: Mapping[Command, Ask] = {
    Command.BUILD: Ask.INSIST,
    Command.REBUILD: Ask.INSIST,
    Command.STOP: Ask.STOP,
    Command.FINISH: Ask.FINISH,
    Command.STATUS: Ask.STATUS,
    Command.APPROVE: Ask.APPROVE,
    Command.REVISE: Ask.REVISE,
    Command.EXTEND: Ask.EXTEND,
    Command.PREVIEW: Ask.PREVIEW,
    Command.CI: Ask.CI,
    Command.ANSWER: Ask.ANSWER,
    Command.HELP: Ask.HELP,
}


def concerns(event: Event, trigger_label: str) -> Concern | None:  # noqa: PLR0911  # a case per event
    """What an event asks of us; None if nothing. GitHub's labels are the same in every letter case.

    An empty `trigger_label` stands for every plausible one: which it is says the repository's configuration.
    """
    match event:
        case IssueLabeled(repo=repo) | IssueUnlabeled(repo=repo):
            ask = Ask.BUILD if isinstance(event, IssueLabeled) else Ask.WITHDRAW
            ours = _starts(event.label, trigger_label)
            return _concern(ask, repo, event.issue, event.sender.login) if ours else None
        case IssueClosed(repo=repo, issue=issue, sender=sender):
            return _concern(Ask.CLOSE, repo, issue, sender.login)
        case PullRequestClosed(repo=repo, pull_request=number, head_branch=branch, sender=sender):
            ours = branch.startswith(BRANCH_PREFIX)
            return _concern(Ask.END_PREVIEW, repo, number, sender.login) if ours else None
        case PullRequestPushed(repo=repo, pull_request=number, head_branch=branch, sender=sender):
            ours = branch.startswith(BRANCH_PREFIX)
            pushed = _concern(Ask.OUTDATE, repo, number, sender.login)
            return replace(pushed, head_sha=event.head_sha) if ours else None
        case RebuildRequested(repo=repo, head_branch=branch, sender=sender):
            of_issue = issue_of(branch)
            return _concern(Ask.INSIST, repo, of_issue, sender.login) if of_issue else None
        case CommentCreated() | ReviewCommentCreated():
            return _said(event)
        case _:
            return None


def _said(event: CommentCreated | ReviewCommentCreated) -> Concern | None:
    if isinstance(event, CommentCreated):
        asked = _asked_in(event.comment, event.repo, event.issue, event.sender.login)
        return asked and replace(asked, on_pull_request=event.is_pull_request, comment_id=event.comment_id)
    asked = _asked_in(event.comment, event.repo, event.pull_request, event.sender.login)
    if asked and asked.ask in (Ask.INSIST, Ask.REVISE):
        asked = replace(asked, feedback=_located(event, asked.feedback))
    return asked and replace(asked, on_pull_request=True, of_review=True)


def _asked_in(comment: str, repo: Repo, number: int, sender: str) -> Concern | None:
    match commands.parse(comment):
        case Invocation(command=command, feedback=feedback, options=options, seconds=seconds):
            asked = _concern(_OF_COMMAND[command], repo, number, sender)
            return replace(asked, feedback=feedback, options=options, seconds=seconds)
        case Unknown(word=word, nearest=nearest):
            return replace(_concern(Ask.UNKNOWN, repo, number, sender), word=word, nearest=nearest)
        case Misused(why=why):
            return replace(_concern(Ask.MISUSED, repo, number, sender), why=why)
        case None:
            return None


def _located(event: ReviewCommentCreated, feedback: str) -> str:
    """What a reviewer said, with the place that they said it of."""
    where = f"line {event.line} of {event.path}" if event.line else event.path
    return f"About {where}: {feedback}" if feedback else f"Mend {where}."


def _concern(ask: Ask, repo: Repo, number: int, sender: str) -> Concern:
    return Concern(ask, repo, number, sender, ask in NEEDS_PERMISSION)


def _starts(label: str, trigger_label: str) -> bool:
    return label.casefold() == trigger_label.casefold() if trigger_label else plausible_label(label)


# What becomes of it -----------------------------------------------------------------------------------

_Rule = Callable[[Concern, Standing], Decision]


def _cancel(reason: str, otherwise: Decision) -> _Rule:
    return lambda _concern, now: CancelRun(now.active, reason) if now.active else otherwise


def _end_issue(reason: str) -> _Rule:
    return lambda concern, _active: EndIssue(concern.number, reason)


def _start(*, insist: bool) -> _Rule:
    def rule(concern: Concern, now: Standing) -> Decision:
        if now.active and concern.of_review and now.listens:
            return GiveOrder(now.active, OrderKind.ALSO, concern.feedback)
        if now.active and not insist:
            return Nothing(f"build {now.active} is active, and its progress is in the issue")
        if now.active:
            return Answer(Reply.ALREADY_RUNNING, run=now.active)
        if concern.options.start and not now.published:
            return Answer(Reply.NO_PULL_REQUEST)
        return StartBuild(insist, concern.feedback, concern.options)

    return rule


def _answer(concern: Concern, now: Standing) -> Decision:
    if now.active:
        return Answer(Reply.ALREADY_RUNNING, run=now.active)
    return StartBuild(insist=False, feedback=concern.feedback) if now.asked else Answer(Reply.NOTHING_ASKED)


def _order(kind: OrderKind) -> _Rule:
    def rule(concern: Concern, now: Standing) -> Decision:
        if kind is OrderKind.FINISH:
            return GiveOrder(now.active, kind) if now.active else Answer(Reply.NOTHING_TO_STOP)
        waiting = now.active if now.gated else None
        return GiveOrder(waiting, kind, concern.feedback) if waiting else Answer(Reply.NOTHING_TO_APPROVE)

    return rule


def _extend(concern: Concern, now: Standing) -> Decision:
    return ExtendPreview(now.preview, concern.seconds) if now.preview else Answer(Reply.NO_PREVIEW)


def _show(_concern: Concern, now: Standing) -> Decision:
    if now.active:
        return Answer(Reply.ALREADY_RUNNING, run=now.active)
    return ShowAgain(now.published) if now.published else Answer(Reply.NO_PULL_REQUEST)


def _let_ci_run(concern: Concern, now: Standing) -> Decision:
    if not now.published:
        return Answer(Reply.NO_PULL_REQUEST)
    return LetCiRun(now.published, concern.feedback.partition(" ")[0])


_RULES: Mapping[Ask, _Rule] = {
    Ask.BUILD: _start(insist=False),
    Ask.INSIST: _start(insist=True),
    Ask.STOP: _cancel("asked to by a command", Answer(Reply.NOTHING_TO_STOP)),
    Ask.WITHDRAW: _end_issue("the label was removed"),
    Ask.CLOSE: _end_issue("the issue was closed"),
    Ask.END_PREVIEW: lambda concern, _now: EndPullRequest(concern.number, "the pull request was closed"),
    Ask.OUTDATE: lambda concern, _now: OutdatePreview(concern.number, concern.head_sha),
    Ask.FINISH: _order(OrderKind.FINISH),
    Ask.APPROVE: _order(OrderKind.APPROVE),
    Ask.REVISE: _order(OrderKind.REVISE),
    Ask.EXTEND: _extend,
    Ask.PREVIEW: _show,
    Ask.CI: _let_ci_run,
    Ask.ANSWER: _answer,
    Ask.STATUS: lambda _concern, now: Answer(Reply.STATUS, run=now.active or now.latest),
    Ask.HELP: lambda _concern, _now: Answer(Reply.HELP),
    Ask.UNKNOWN: lambda asked, _now: Answer(Reply.UNKNOWN_COMMAND, word=asked.word, nearest=asked.nearest),
    Ask.MISUSED: lambda asked, _now: Answer(Reply.MISUSED, why=asked.why),
}

_ANYWHERE = frozenset({Ask.HELP, Ask.UNKNOWN, Ask.MISUSED, Ask.END_PREVIEW})
"""These need no issue of ours."""


def decide(
    event: Event, *, trigger_label: str, permission: Permission, least: Permission, standing: Standing
) -> Decision:
    """What to do about an event.

    Args:
        event: what happened.
        trigger_label: the label that starts builds.
        permission: the sender's live permission; `NONE` when it could not be read or was not looked up.
        least: what it takes to start or steer a build.
        standing: how the issue stands.
    """
    concern = concerns(event, trigger_label)
    if concern is None:
        return Nothing("it asks nothing of us")
    if concern.needs_permission and not permission.covers(least):
        return Refuse(f"starting or steering a build takes {least} permission in this repository")
    if not standing.ours and concern.ask not in _ANYWHERE:
        return Answer(Reply.ASK_IN_THE_ISSUE)
    return _RULES[concern.ask](concern, standing)
