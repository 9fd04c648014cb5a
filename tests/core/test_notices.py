"""What we say because somebody commanded something, as stored texts."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bot.core.models import AgentLabel, AppKind, Brief, Component, RunId
from bot.core.notices import (
    CiView,
    ExhibitsView,
    ExtendedView,
    MovedView,
    QuestionsView,
    ShownView,
    TranscriptLink,
    gate_view,
)
from bot.core.prompts import AlsoPrompt, AnsweredPrompt, FinishPrompt, RevisePrompt
from bot.core.texts import Texts, default_loader
from tests.core.snapshots import assert_snapshot

TEXTS = Texts(default_loader(Path(__file__).resolve().parents[2] / "templates"))
URL = "https://vm-1.vm.vers.sh:3000"
UNTIL = "2026-11-24 10:35 UTC"
EVIL = "x | y\n\n@octo/team closes #1 <!-- <img src=x>\n```\n/swarm build"
BRIEF = Brief(
    title="Snake",
    goal="A snake game that several people play at once.",
    requirements=("It runs",),
    stack="Node",
    components=(Component(AgentLabel("server"), "server.js and package.json"),),
    kind=AppKind.WEB,
    fits=True,
    reason="",
)
SPEC = '# Snake\n\n## Protocol\n`{ type: "state" }`\n\n## Files\n- server.js\n'


def gate(**changes: Any) -> str:
    given: dict[str, Any] = {
        "run": RunId("a1b2c3d4e5f6"), "login": "ada", "spec": SPEC, "brief": BRIEF, "labels": ("server", "client"),
        "past": ((100.0, 400_000), (120.0, 600_000), (500.0, 500_000)), "budget_microusd": 10_000_000,
        "until": 1_795_430_000.0,
    }  # fmt: skip
    return TEXTS.render("github/gate.md.j2", gate_view(**given | changes))


def test_gate() -> None:
    """Summary, owners, estimate, and what to write."""
    assert_snapshot("gate.md", gate())
    assert "unknown: no build has succeeded here yet" in gate(past=())


@pytest.mark.parametrize(
    ("name", "template", "view"),
    [
        ("questions", "questions", QuestionsView("ada", ("Which colour?", "For whom?"))),
        ("extended", "extended", ExtendedView(URL, UNTIL, already=False)),
        ("extended_already", "extended", ExtendedView(URL, UNTIL, already=True)),
        ("shown", "shown", ShownView("c0ffee123", URL, UNTIL, "", "")),
        (
            "shown_not",
            "shown",
            ShownView("c0ffee123", "", "", "nothing listened on port 3000", "Error: boom"),
        ),
        (
            "exhibits",
            "exhibits",
            ExhibitsView(
                "https://github.com/o/r/blob/beef/issue-1/a.png?raw=true",
                "c0ffee123",
                "",
                (
                    TranscriptLink("architect", "https://swarm.example/builds/a/transcripts/architect"),
                    TranscriptLink("server", "https://swarm.example/builds/a/transcripts/server"),
                ),
            ),
        ),
        ("exhibits_none", "exhibits", ExhibitsView("", "c0ffee123", "the browser | did not start", ())),
        ("ci", "ci", CiView("c0ffee123", "beef12345", "c0ffee123")),
        ("moved", "moved", MovedView("main", "beef12345", "c0ffee123", "beef12345", (), 0)),
        (
            "moved_in_conflict",
            "moved",
            MovedView("main", "beef12345", "c0ffee123", "c0ffee123", ("a.js", "`b`.js"), 2),
        ),
        ("ci_moved", "ci", CiView("", "beef12345", "c0ffee123")),
    ],
)
def test_notices(name: str, template: str, view: object) -> None:
    """Each in its own words."""
    assert_snapshot(f"notice_{name}.md", TEXTS.render(f"github/{template}.md.j2", view))


@pytest.mark.parametrize(
    ("name", "view"),
    [
        ("finish", FinishPrompt()),
        ("also", AlsoPrompt("ada", "Larger letters.")),
        ("revise", RevisePrompt("ada", "Use a list.\nNo table.", ("server", "client"))),
        ("answered", AnsweredPrompt(("Which colour?",), "Blue.")),
    ],
)
def test_prompts(name: str, view: object) -> None:
    """What the models are told of it."""
    assert_snapshot(f"prompt_{name}.md", TEXTS.render(f"prompts/{name}.md.j2", view))


def test_foreign_text_does_not_act() -> None:
    """Neither in a specification nor in a question."""
    brief = replace(BRIEF, goal=EVIL, components=(Component(AgentLabel("server"), EVIL),))
    shown = ShownView("c0ffee123", "", "", EVIL, EVIL)
    for text in (
        gate(brief=brief, spec=f"# {EVIL}"),
        TEXTS.render("github/questions.md.j2", QuestionsView("ada", (EVIL,))),
        TEXTS.render("github/shown.md.j2", shown),
    ):
        outside = "\n".join(part for number, part in enumerate(text.split("````")) if number % 2 == 0)
        assert "@octo" not in outside
        assert "<img" not in outside
        assert "closes #1" not in outside
