"""Who may ask for what."""

from dataclasses import replace

import pytest

from bot.core.commands import Command
from bot.core.events import (
    CommentCreated,
    Event,
    IssueClosed,
    IssueLabeled,
    IssueUnlabeled,
    PullRequestClosed,
    PullRequestPushed,
    Sender,
)
from bot.core.models import BuildRequest, Repo, RunId
from bot.core.policy import (
    _OF_COMMAND,
    _RULES,
    Answer,
    Ask,
    CancelRun,
    Decision,
    EndIssue,
    EndPullRequest,
    Nothing,
    OutdatePreview,
    Permission,
    Refuse,
    Reply,
    StartBuild,
    branch_of,
    concerns,
    decide,
    permission_of,
    request_of,
)

REPO = Repo("octo/games", 42, 7)
ADA = Sender("ada", "User")
RUN = RunId("a1b2c3d4e5f6")
LABEL = IssueLabeled(REPO, 7, "Snake", "Build it", "swarm-build", ADA)
OTHER_LABEL = IssueLabeled(REPO, 7, "Snake", "Build it", "bug", ADA)
UNLABEL = IssueUnlabeled(REPO, 7, "Swarm-Build", ADA)
CLOSE = IssueClosed(REPO, 7, ADA)
PULL = PullRequestClosed(REPO, 8, False, "swarm/issue-7", ADA)
OTHER_PULL = PullRequestClosed(REPO, 9, False, "feature", ADA)


def says(text: str) -> CommentCreated:
    return CommentCreated(REPO, 7, "Snake", "Build it", False, 5, text, ADA)


def what(
    event: Event, permission: Permission, active: RunId | None, least: Permission = Permission.WRITE
) -> Decision:
    return decide(event, trigger_label="swarm-build", permission=permission, least=least, active=active)


ON_PULL = replace(says("/swarm rebuild in blue"), is_pull_request=True)
REFUSED = Refuse("starting or stopping a build takes write permission in this repository")


@pytest.mark.parametrize(
    ("event", "permission", "active", "decision"),
    [
        (LABEL, Permission.WRITE, None, StartBuild(insist=False)),
        (LABEL, Permission.ADMIN, None, StartBuild(insist=False)),
        (LABEL, Permission.WRITE, RUN, Nothing(f"build {RUN} is active, and its progress is in the issue")),
        (LABEL, Permission.TRIAGE, None, REFUSED),
        (LABEL, Permission.READ, RUN, REFUSED),
        (LABEL, Permission.NONE, None, REFUSED),
        (OTHER_LABEL, Permission.ADMIN, None, Nothing("it asks nothing of us")),
        (UNLABEL, Permission.NONE, RUN, EndIssue(7, "the label was removed")),
        (UNLABEL, Permission.NONE, None, EndIssue(7, "the label was removed")),
        (CLOSE, Permission.NONE, RUN, EndIssue(7, "the issue was closed")),
        (CLOSE, Permission.NONE, None, EndIssue(7, "the issue was closed")),
        (PULL, Permission.NONE, None, EndPullRequest(8, "the pull request was closed")),
        (
            PullRequestPushed(REPO, 8, "swarm/issue-7", "abc", ADA),
            Permission.NONE,
            None,
            OutdatePreview(8, "abc"),
        ),
        (
            PullRequestPushed(REPO, 9, "feature", "abc", ADA),
            Permission.NONE,
            None,
            Nothing("it asks nothing of us"),
        ),
        (OTHER_PULL, Permission.ADMIN, None, Nothing("it asks nothing of us")),
        (says("/swarm build"), Permission.WRITE, None, StartBuild(insist=True)),
        (says("/swarm rebuild in blue"), Permission.MAINTAIN, None, StartBuild(True, "in blue")),
        (says("/swarm rebuild"), Permission.WRITE, RUN, Answer(Reply.ALREADY_RUNNING, run=RUN)),
        (says("/swarm build"), Permission.READ, None, REFUSED),
        (says("/swarm stop"), Permission.WRITE, RUN, CancelRun(RUN, "asked to by a command")),
        (says("/swarm stop"), Permission.WRITE, None, Answer(Reply.NOTHING_TO_STOP)),
        (says("/swarm stop"), Permission.READ, RUN, REFUSED),
        (says("/swarm status"), Permission.NONE, RUN, Answer(Reply.STATUS, run=RUN)),
        (says("/swarm status"), Permission.NONE, None, Answer(Reply.STATUS)),
        (says("/swarm help"), Permission.NONE, None, Answer(Reply.HELP)),
        (
            says("/swarm bild"),
            Permission.NONE,
            None,
            Answer(Reply.UNKNOWN_COMMAND, word="bild", nearest="build"),
        ),
        (ON_PULL, Permission.WRITE, None, Answer(Reply.ASK_IN_THE_ISSUE)),
        (ON_PULL, Permission.READ, None, REFUSED),
        (says("nice work"), Permission.ADMIN, RUN, Nothing("it asks nothing of us")),
    ],
)
def test_decisions(event: Event, permission: Permission, active: RunId | None, decision: Decision) -> None:
    """The whole table of what becomes of an event."""
    assert what(event, permission, active) == decision


def test_least_is_a_setting() -> None:
    """An operator can ask for more than write."""
    assert isinstance(what(LABEL, Permission.WRITE, None, Permission.MAINTAIN), Refuse)
    assert isinstance(what(LABEL, Permission.MAINTAIN, None, Permission.MAINTAIN), StartBuild)


def test_whose_permission_is_looked_up() -> None:
    """Starting and stopping take a look-up, of the one who did it; the rest does not cost a call."""
    needing: list[Event] = [LABEL, says("/swarm build"), says("/swarm stop")]
    free: list[Event] = [
        UNLABEL,
        CLOSE,
        PULL,
        says("/swarm help"),
        says("/swarm status"),
        says("/swarm x"),
    ]
    for event in needing + free:
        concern = concerns(event, "swarm-build")
        assert concern is not None
        assert concern.needs_permission == (event in needing)
        assert concern.sender == "ada"
    assert concerns(says("thanks"), "swarm-build") is None


def test_every_ask_has_a_rule() -> None:
    """The tables are complete."""
    assert set(_RULES) == set(Ask)
    assert set(_OF_COMMAND) == set(Command)


@pytest.mark.parametrize(
    ("permission", "role", "expected"),
    [
        ("write", "maintain", Permission.MAINTAIN),
        ("read", "triage", Permission.TRIAGE),
        ("admin", "admin", Permission.ADMIN),
        ("write", "release-manager", Permission.WRITE),
        ("read", "", Permission.READ),
        ("none", "none", Permission.NONE),
        ("owner", "root", Permission.NONE),
    ],
)
def test_permission_of(permission: str, role: str, expected: Permission) -> None:
    """The exact role counts; an invented one stands for its basic permission; the unknown is none."""
    assert permission_of(permission, role) is expected


def test_permissions_are_ordered() -> None:
    """Each permission covers itself and all before it."""
    order = list(Permission)
    for have in order:
        assert [have.covers(least) for least in order] == [
            order.index(least) <= order.index(have) for least in order
        ]


def test_request() -> None:
    """The order carries the issue as it stood in the signed payload."""
    request = request_of(says("/swarm build in blue"), StartBuild(True, "in blue"), "d-1")
    assert request == BuildRequest(
        REPO, 7, "Snake", "Build it", "ada", "d-1", insist=True, feedback="in blue"
    )


def test_branch() -> None:
    """A pull request from the branch of an issue is known as ours."""
    assert concerns(PullRequestClosed(REPO, 8, True, branch_of(7), ADA), "x") is not None
