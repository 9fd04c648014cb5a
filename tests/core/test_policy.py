"""Who may ask for what."""

from dataclasses import replace

import pytest

from bot.core.commands import Command
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
    Sender,
)
from bot.core.models import BuildRequest, Options, OrderKind, Repo, RunId
from bot.core.policy import (
    _OF_COMMAND,
    _RULES,
    Ask,
    Permission,
    Standing,
    branch_of,
    concerns,
    decide,
    permission_of,
)
from bot.core.requests import request_of

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
    standing = Standing(active=active, latest=active)
    return decide(event, trigger_label="swarm-build", permission=permission, least=least, standing=standing)


ON_PULL = replace(says("/swarm rebuild in blue"), is_pull_request=True)
REFUSED = Refuse("starting or steering a build takes write permission in this repository")


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
        (ON_PULL, Permission.WRITE, None, StartBuild(True, "in blue")),
        (ON_PULL, Permission.READ, None, REFUSED),
        (says("nice work"), Permission.ADMIN, RUN, Nothing("it asks nothing of us")),
    ],
)
def test_decisions(event: Event, permission: Permission, active: RunId | None, decision: Decision) -> None:
    """The whole table of what becomes of an event."""
    assert what(event, permission, active) == decision


NOW = Standing(active=RUN, latest=RUN, gated=True)
BUILT = Standing(latest=RUN, published=RUN, preview=RUN)
GONE = Standing(latest=RUN, published=RUN)
ASKED = Standing(latest=RUN, asked=True)
NEVER = Standing()
FOREIGN = Standing(ours=False)
BUSY = Answer(Reply.ALREADY_RUNNING, run=RUN)
NOTHING_OPENED = Answer(Reply.NO_PULL_REQUEST)


@pytest.mark.parametrize(
    ("text", "standing", "decision"),
    [
        ("finish", NOW, GiveOrder(RUN, OrderKind.FINISH)),
        ("finish", BUILT, Answer(Reply.NOTHING_TO_STOP)),
        ("approve", NOW, GiveOrder(RUN, OrderKind.APPROVE)),
        ("approve", replace(NOW, gated=False), Answer(Reply.NOTHING_TO_APPROVE)),
        ("approve", BUILT, Answer(Reply.NOTHING_TO_APPROVE)),
        ("revise no table", NOW, GiveOrder(RUN, OrderKind.REVISE, "no table")),
        ("revise no table", NEVER, Answer(Reply.NOTHING_TO_APPROVE)),
        ("extend 3h", BUILT, ExtendPreview(RUN, 10_800)),
        ("extend 3h", GONE, Answer(Reply.NO_PREVIEW)),
        ("preview", BUILT, ShowAgain(RUN)),
        ("preview", GONE, ShowAgain(RUN)),
        ("preview", NOW, BUSY),
        ("preview", NEVER, NOTHING_OPENED),
        ("ci", GONE, LetCiRun(RUN, "")),
        ("ci c0ffee1 please", GONE, LetCiRun(RUN, "c0ffee1")),
        ("ci", NEVER, NOTHING_OPENED),
        ("answer blue", ASKED, StartBuild(insist=False, feedback="blue")),
        ("answer blue", BUILT, Answer(Reply.NOTHING_ASKED)),
        ("answer blue", NOW, BUSY),
        ("build workers=2 now", NEVER, StartBuild(True, "now", Options(workers=2))),
        ("rebuild from=spec", GONE, StartBuild(True, "", Options(start="spec"))),
        ("rebuild from=spec", NEVER, NOTHING_OPENED),
        ("rebuild", NOW, BUSY),
        ("status", BUILT, Answer(Reply.STATUS, run=RUN)),
        ("status", FOREIGN, Answer(Reply.ASK_IN_THE_ISSUE)),
        ("build", FOREIGN, Answer(Reply.ASK_IN_THE_ISSUE)),
        ("stop", FOREIGN, Answer(Reply.ASK_IN_THE_ISSUE)),
        ("help", FOREIGN, Answer(Reply.HELP)),
        ("bild", FOREIGN, Answer(Reply.UNKNOWN_COMMAND, word="bild", nearest="build")),
    ],
)
def test_commands(text: str, standing: Standing, decision: Decision) -> None:
    """Every command, wherever it makes sense and where it does not."""

    def decided(permission: Permission) -> Decision:
        return decide(
            says(f"/swarm {text}"),
            trigger_label="swarm-build",
            permission=permission,
            least=Permission.WRITE,
            standing=standing,
        )

    assert decided(Permission.WRITE) == decision
    acting = text.partition(" ")[0] not in ("status", "help", "bild")
    assert decided(Permission.TRIAGE) == (REFUSED if acting else decision)


def test_a_command_that_cannot_be_followed_is_answered() -> None:
    """By anybody: the answer costs nothing and does nothing."""
    found = what(says("/swarm build wokers=3"), Permission.NONE, None)
    assert isinstance(found, Answer)
    assert found.reply is Reply.MISUSED
    assert "workers=" in found.why


def test_a_comment_on_a_line_carries_the_place() -> None:
    """`/swarm fix` in a review becomes a rebuild that knows where."""
    event = ReviewCommentCreated(REPO, 8, "public/game.js", 12, "/swarm fix flickers", ADA)
    concern = concerns(event, "swarm-build")
    assert concern is not None
    assert concern.on_pull_request
    assert concern.number == 8
    found = what(event, Permission.WRITE, None)
    assert found == StartBuild(True, "About line 12 of public/game.js: flickers")
    bare = replace(event, line=0, comment="/swarm fix")
    assert what(bare, Permission.WRITE, None) == StartBuild(True, "Mend public/game.js.")
    assert what(replace(event, comment="/swarm ci"), Permission.WRITE, None) == NOTHING_OPENED


def test_the_button_of_a_check_run_rebuilds() -> None:
    """The branch says which issue; a branch of somebody else's says nothing."""
    event = RebuildRequested(REPO, "swarm/issue-7", ADA)
    concern = concerns(event, "swarm-build")
    assert concern is not None
    assert (concern.number, concern.on_pull_request) == (7, False)
    assert what(event, Permission.WRITE, None) == StartBuild(True)
    assert what(event, Permission.READ, None) == REFUSED
    for branch in ("main", "swarm/issue-", "swarm/issue-07", "x/swarm/issue-7", "swarm/issue-7/x", ""):
        assert concerns(replace(event, head_branch=branch), "swarm-build") is None


@pytest.mark.parametrize(
    ("label", "plausible"), [("Swarm: please", True), ("build-SWARM", True), ("bug", False), ("swan", False)]
)
def test_labels_of_a_repository(label: str, plausible: bool) -> None:
    """Only a label with the word in it is worth a look into the repository's configuration."""
    event = replace(LABEL, label=label)
    assert concerns(event, "swarm-build") is None
    assert (concerns(event, "") is not None) == plausible


def test_a_request_from_a_pull_request_is_the_issue_as_it_was_built_before() -> None:
    """Not the pull request's own text, which we wrote ourselves; without an earlier build there is nothing to build."""
    earlier = BuildRequest(REPO, 7, "Snake", "Build it", "bob", "d-0", feedback="old")
    decision = StartBuild(True, "in blue", Options(workers=2))
    event = replace(ON_PULL, issue=8, title="Our title", body="Our body")
    request = request_of(event, decision, "d-1", earlier)
    assert request == replace(
        earlier,
        requested_by="ada",
        delivery="d-1",
        insist=True,
        feedback="in blue",
        options=Options(workers=2),
        said_on=8,
    )
    assert request_of(event, decision, "d-1", None) is None


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
    request = request_of(says("/swarm build in blue"), StartBuild(True, "in blue"), "d-1", None)
    assert request == BuildRequest(
        REPO, 7, "Snake", "Build it", "ada", "d-1", insist=True, feedback="in blue"
    )


def test_branch() -> None:
    """A pull request from the branch of an issue is known as ours."""
    assert concerns(PullRequestClosed(REPO, 8, True, branch_of(7), ADA), "x") is not None


def test_a_review_says_more_while_its_first_comment_is_built() -> None:
    """Its words go to the architect as long as there is one; then the build has to end first."""
    remark = ReviewCommentCreated(REPO, 8, "style.css", 2, "/swarm fix larger letters", ADA)
    more = GiveOrder(RUN, OrderKind.ALSO, "About line 2 of style.css: larger letters")
    for standing, decision in (
        (replace(NOW, listens=True), more),
        (NOW, BUSY),
        (BUILT, StartBuild(True, "About line 2 of style.css: larger letters")),
    ):
        found = decide(
            remark,
            trigger_label="swarm-build",
            permission=Permission.WRITE,
            least=Permission.WRITE,
            standing=standing,
        )
        assert found == decision
