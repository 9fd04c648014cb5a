"""What people read of a build, as stored texts, and what foreign text cannot do in it."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from markdown_it import MarkdownIt

from bot.core.authorship import Authors
from bot.core.decisions import Answer, Reply
from bot.core.models import (
    AgentLabel,
    AgentState,
    AgentView,
    AppKind,
    Artifact,
    Brief,
    BuildRequest,
    Evidence,
    LeftOut,
    OwnTests,
    Phase,
    Published,
    Repo,
    Role,
    RunId,
    RunState,
    Tokens,
)
from bot.core.pull_views import (
    LiveView,
    Made,
    StaleView,
    check_view,
    commit_message_view,
    exhibits_marks,
    pull_request_view,
)
from bot.core.snapshot import Progress, Snapshot, phase_lines
from bot.core.texts import Texts, default_loader
from bot.core.views import (
    answer_view,
    declined_view,
    failure_view,
    marker,
    progress_view,
    refusal_view,
)
from tests.core.snapshots import assert_snapshot

TEXTS = Texts(default_loader(Path(__file__).resolve().parents[2] / "templates"))
RUN = RunId("a1b2c3d4e5f6")
START = 1_795_430_000.0
CAP = 10_000_000
STATUS = "https://swarm.example/builds/a1b2c3d4e5f6"
BRIEF = Brief(
    title="Multiplayer snake in the browser",
    goal="A snake game that several people play at once, in the browser.",
    requirements=("Players join by opening the page", "The server owns the state"),
    stack="Node 22, ws, canvas",
    components=(),
    kind=AppKind.WEB,
    fits=True,
    reason="",
)


def agent(label: str, role: Role, state: AgentState, doing: str, price: int, reason: str = "") -> AgentView:
    used = Tokens(price // 20, price // 30, price // 3, 0, price)
    return AgentView(AgentLabel(label), role, None, state, doing, reason, used, price // 140_000, START + 60)


AGENTS = (
    agent("architect", Role.ARCHITECT, AgentState.IDLE, "waiting for the workers", 420_000),
    agent("server", Role.WORKER, AgentState.WORKING, "write server.js", 118_000),
    agent("client", Role.WORKER, AgentState.STARTING, "", 0),
)
ENTERED = {Phase.ADMIT: START + 1, Phase.PREPARE: START + 2, Phase.SWARM: START + 6}
BUILDING = Snapshot(
    run=RUN,
    request=BuildRequest(Repo("octo/games", 42, 7), 7, "Multiplayer snake", "Build it", "ada", "d-1"),
    state=RunState.RUNNING,
    phase=Phase.SWARM,
    reason="",
    created_at=START,
    ended_at=None,
    entered=ENTERED,
    agents=AGENTS,
    spent=Tokens(30_000, 18_000, 180_000, 0, 545_000),
    brief=BRIEF,
)
SEEN = Evidence(
    AppKind.WEB,
    ok=True,
    url="https://vm-1.vm.vers.sh:3000",
    status=200,
    command="node server.js",
    probed_at="2026-11-23T10:35:02Z",
    install_seconds=3.24,
    start_seconds=0.61,
)
PUBLISHED = Published("swarm/issue-7", "c0ffee", 8, "https://github.com/octo/games/pull/8", draft=False)
BUILT = replace(
    BUILDING,
    state=RunState.SUCCEEDED,
    phase=Phase.DONE,
    ended_at=START + 107,
    entered=ENTERED
    | {
        Phase.COLLECT: START + 90,
        Phase.PREVIEW: START + 92,
        Phase.PUBLISH: START + 103,
        Phase.DONE: START + 106,
    },
    agents=tuple(replace(each, state=AgentState.DONE, doing="done") for each in AGENTS),
    evidence=SEEN,
    published=PUBLISHED,
)
FAILED = replace(
    BUILDING,
    state=RunState.FAILED,
    reason='the worker "server" was lost: pi ended with status 137',
    ended_at=START + 60,
    agents=(
        *AGENTS[:1],
        agent("server", Role.WORKER, AgentState.LOST, "write server.js", 118_000, "pi ended with status 137"),
    ),
    warnings=('The line to the machine of "server" was lost twice',),
)
FILES = (
    Artifact("Procfile", b"# how to run\nweb: node server.js\n"),
    Artifact("SPEC.md", b"# Spec\n" * 300),
    Artifact("package.json", b"{}"),
    Artifact("run.sh", b"#!/bin/sh\n", 0o100755),
)


def progress(seen: Snapshot, now: float = START + 48) -> str:
    view = progress_view(seen, now=now, cap_microusd=CAP, status_url=STATUS)
    return TEXTS.render("github/progress.md.j2", view)


def pull_request(seen: Snapshot = BUILT, **changes: Any) -> str:
    given: dict[str, Any] = {
        "now": START + 107,
        "evidence": SEEN,
        "files": FILES,
        "left_out": (LeftOut("node_modules/", "dependencies are installed from package.json"),),
        "model": "claude-sonnet-4-5",
        "cap_microusd": CAP,
        "status_url": STATUS,
        "branch": "swarm/issue-7",
        "lives_until": START + 86_400,
    }
    return TEXTS.render("github/pull_request.md.j2", pull_request_view(seen, **(given | changes)))


@pytest.mark.parametrize(
    ("name", "seen"),
    [
        (
            "queued",
            replace(BUILDING, state=RunState.QUEUED, phase=Phase.ADMIT, entered={}, agents=(), brief=None),
        ),
        ("building", BUILDING),
        ("stopping", replace(BUILDING, stopping="stopped by @bob: the label was removed")),
        ("built", BUILT),
        ("failed", FAILED),
        (
            "cancelled",
            replace(FAILED, state=RunState.CANCELLED, reason="stopped by @bob: the label was removed"),
        ),
    ],
)
def test_progress(name: str, seen: Snapshot) -> None:
    """The progress comment in each of its states."""
    assert_snapshot(f"progress_{name}.md", progress(seen))


NO_ANSWER = replace(
    SEEN,
    ok=False,
    status=0,
    problem="nothing listened on port 3000 within 120 s",
    output="Error: Cannot find module 'ws'\n",
)
CHECK = Evidence(
    AppKind.NONE, ok=True, command="python -m pytest -q", exit_status=0, output="....\n4 passed in 0.02s\n"
)


MADE = Made(
    authors=Authors({"Procfile": "server", "package.json": "server"}, {"package.json": ("edit",)}),
    deleted=("old.js",),
    closing="The snake game is ready. @everyone\n\n| not | a table |",
    snapshot="0b6e0b0c-8f8e-4a9e-9a5a-000000000001",
    shown_by={1: "the page answered 200"},
)


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        (
            "live",
            {
                "made": MADE,
                "evidence": replace(SEEN, tests=OwnTests("npm test --silent", 0, "3 passing", 1.5)),
            },
        ),
        ("bridged", {"evidence": replace(SEEN, bridged=True)}),
        ("unreachable", {"evidence": NO_ANSWER, "lives_until": None}),
        ("check", {"evidence": CHECK, "lives_until": None}),
        ("check_failed", {"evidence": replace(CHECK, ok=False, exit_status=1, problem="exit status 1")}),
        (
            "static",
            {
                "evidence": replace(SEEN, kind=AppKind.STATIC),
                "files": (Artifact("index.html", b"<p>"),),
                "left_out": (),
            },
        ),
    ],
)
def test_pull_request(name: str, changes: dict[str, Any]) -> None:
    """The pull request's page for each kind of evidence."""
    assert_snapshot(f"pull_request_{name}.md", pull_request(**changes))


def test_a_gated_build_says_what_it_waits_for() -> None:
    """Until it has ended."""
    gated = replace(BUILDING, gated=True)
    assert "Waiting for approval" in progress(gated)
    assert "/swarm approve" in progress(gated)
    assert "/swarm approve" not in progress(replace(BUILT, gated=True))


def test_commit_message() -> None:
    """The commit keeps the repository's workflows off, and its subject is short."""
    text = TEXTS.render("github/commit_message.txt.j2", commit_message_view(BUILT, files=4))
    assert_snapshot("commit_message.txt", text)
    allowed = TEXTS.render("github/commit_message.txt.j2", commit_message_view(BUILT, files=4, ci=True))
    assert "workflows do not run" in text
    assert "workflows" not in allowed
    long = replace(BUILT, brief=replace(BRIEF, title="x" * 300))
    assert (
        len(TEXTS.render("github/commit_message.txt.j2", commit_message_view(long, files=1)).splitlines()[0])
        == 72
    )


def test_endings() -> None:
    """Refusal, decline and failure say what to do next."""
    assert_snapshot(
        "refusal.md", TEXTS.render("github/refusal.md.j2", refusal_view("bob", "that takes write permission"))
    )
    declined = replace(
        BUILDING, state=RunState.DECLINED, reason="one line in one file needs no swarm", agents=()
    )
    assert_snapshot("declined.md", TEXTS.render("github/declined.md.j2", declined_view(declined)))
    failure = failure_view(
        FAILED, now=START + 60, cap_microusd=CAP, status_url=STATUS, log="line\n" * 60 + "killed\n"
    )
    assert_snapshot("failure.md", TEXTS.render("github/failure.md.j2", failure))


def answered(reply: Reply, seen: Snapshot | None) -> str:
    answer = Answer(
        reply, word="bild", nearest="build", why="workers= takes a whole number, such as | workers=3"
    )
    build = progress_view(seen, now=START + 60, cap_microusd=CAP, status_url=STATUS) if seen else None
    view = answer_view(answer, build=build, doing="Build with the swarm", trigger_label="swarm-build")
    return TEXTS.render(f"github/{reply}.md.j2", view)


@pytest.mark.parametrize("reply", list(Reply))
def test_answers(reply: Reply) -> None:
    """Every reply has its template."""
    assert_snapshot(f"answer_{reply}.md", answered(reply, BUILDING))


@pytest.mark.parametrize("word", ["bild`", "@octocat", "x" * 21, "a b", "&commat;x", "Bild", "bild\n"])
def test_a_word_that_is_no_word_is_not_repeated(word: str) -> None:
    """What a stranger writes after `/swarm` does not come back in the bot's name."""
    answer = Answer(Reply.UNKNOWN_COMMAND, word=word)
    view = answer_view(answer, build=None, doing="", trigger_label="swarm-build")
    said = TEXTS.render("github/unknown_command.md.j2", view)
    assert said == "That is not a command. `/swarm help` lists all of them.\n"


def test_status() -> None:
    """Of a build that ended, and of none."""
    assert_snapshot("answer_status_built.md", answered(Reply.STATUS, BUILT))
    assert_snapshot("answer_status_failed.md", answered(Reply.STATUS, FAILED))
    assert_snapshot("answer_status_none.md", answered(Reply.STATUS, None))


def test_phases_of_an_ended_build() -> None:
    """What came before the end is done, where it ended failed, and the rest was never reached."""
    lines = {line.phase: (line.progress, line.seconds) for line in phase_lines(FAILED, START + 999)}
    assert lines[Phase.PREPARE] == (Progress.DONE, "4 s")
    assert lines[Phase.SWARM] == (Progress.FAILED, "54 s")
    assert lines[Phase.COLLECT] == (Progress.WAITING, "")
    assert {line.progress for line in phase_lines(BUILT, START)} == {Progress.DONE}


def test_no_link_to_a_preview_that_is_gone() -> None:
    """A preview that was taken away, or never answered, is not offered."""
    assert SEEN.url in progress(BUILT)
    assert SEEN.url not in progress(replace(BUILT, preview_ended=True))
    assert SEEN.url not in progress(replace(BUILT, evidence=NO_ANSWER))


EVIL = "x | y\n\n# @octo/team Closes #1 <!-- <img src=x> ![a](http://b/c.png)\n```\n/swarm build"


def test_foreign_text_does_not_act() -> None:
    """Text of models and strangers mentions nobody, closes nothing, hides nothing, and gives no command."""
    brief = replace(BRIEF, title=EVIL, goal=EVIL, requirements=(EVIL,))
    seen = replace(
        FAILED,
        reason=EVIL,
        brief=brief,
        request=replace(FAILED.request, title=EVIL),
        warnings=(EVIL,),
        stopping=EVIL,
        agents=(agent("server", Role.WORKER, AgentState.FAILED, EVIL, 1, EVIL),),
    )
    evidence = replace(NO_ANSWER, problem=EVIL, output=EVIL)
    texts = [
        progress(seen),
        progress(replace(seen, state=RunState.RUNNING)),
        pull_request(
            replace(seen, published=None),
            evidence=evidence,
            left_out=(LeftOut(EVIL, EVIL),),
            files=(Artifact(EVIL, b""),),
        ),
        pull_request(seen, evidence=replace(CHECK, ok=False, command=EVIL, output=EVIL, problem=EVIL)),
        TEXTS.render(
            "github/failure.md.j2",
            failure_view(seen, now=START, cap_microusd=CAP, status_url="", log=EVIL, kept=EVIL),
        ),
        TEXTS.render("github/declined.md.j2", declined_view(seen)),
    ]
    for text in texts:
        for ours in (marker(RUN), *exhibits_marks(RUN)):
            text = text.replace(ours, "")  # noqa: PLW2901 - what is left is foreign
        shown = _outside_code(text)
        assert "@octo" not in shown
        assert "#1 " not in shown
        assert "<!--" not in shown
        assert "<img" not in shown
        assert "![" not in shown
    commit = TEXTS.render("github/commit_message.txt.j2", commit_message_view(seen, files=1))
    assert "#1 " not in commit
    assert "@octo" not in commit


def _outside_code(markdown: str) -> str:
    """The text without what stands in code blocks, where nothing acts."""
    tokens = MarkdownIt("commonmark").enable("table").parse(markdown)
    return "\n".join(token.content for token in tokens if token.type not in ("fence", "code_block"))


def test_tables_hold() -> None:
    """Every table is one table: foreign pipes and line breaks do not break rows out."""
    seen = replace(BUILDING, agents=(agent("server", Role.WORKER, AgentState.WORKING, EVIL, 1),) * 3)
    html = MarkdownIt("commonmark").enable("table").render(progress(seen))
    assert html.count("<table>") == 2
    assert html.count("<tr>") == 1 + len(Phase) + 1 + 3


def test_pull_request_stays_below_githubs_limit() -> None:
    """Two thousand files and long texts fit into 60,000 characters."""
    long = "é@#1|" * 500
    brief = replace(BRIEF, goal=long * 10, requirements=(long,) * 60)
    text = pull_request(
        replace(BUILT, brief=brief, warnings=(long,) * 30),
        evidence=replace(NO_ANSWER, output=(long + "\n") * 200),
        files=tuple(Artifact("d/" * 120 + f"{n}.txt", b"x") for n in range(2_000)),
        left_out=tuple(LeftOut("d/" * 120 + str(n), "not a regular file") for n in range(500)),
    )
    assert len(text) < 60_000
    assert "and 1900 more" in text
    assert "and 450 more" in text


def test_check_and_stale() -> None:
    """The summary of the check run on the commit, good and bad, and the remark that a preview is old."""
    good = check_view(BUILT, now=START + 107, evidence=SEEN, files=4, left_out=())
    tests = OwnTests("npm test --silent", 1, "1 failing", 2.0)
    bad = check_view(
        BUILT,
        now=START + 107,
        evidence=replace(NO_ANSWER, tests=tests),
        files=4,
        left_out=(LeftOut("link", "a link"),),
    )
    told = [TEXTS.render("github/check.md.j2", view) for view in (good, bad)]
    stale = StaleView("abc123456", "def123456", "ada", SEEN.url)
    assert_snapshot("check_and_stale.md", "\n---\n".join([*told, TEXTS.render("github/stale.md.j2", stale)]))


def test_where_it_can_be_tried() -> None:
    """Or why no longer, in words that do nothing."""
    there = TEXTS.render("github/live.md.j2", LiveView(SEEN.url, "tomorrow", ""))
    gone = TEXTS.render("github/live.md.j2", LiveView("", "", EVIL))
    assert f"## ▶️ Try it: <{SEEN.url}>" in there
    assert "at the latest tomorrow" in there
    assert "The preview is gone" in gone
    assert "@octo/team" not in gone
