"""A journal in a file, an application over it, and what GitHub would send."""

import hashlib
import hmac
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import Engine
from werkzeug.test import TestResponse

from bot.core.codec import dump
from bot.core.models import (
    AgentLabel,
    AgentState,
    AppKind,
    Brief,
    BuildRequest,
    CommitId,
    Evidence,
    Phase,
    Published,
    Repo,
    Role,
    RunId,
    RunState,
    Tokens,
    VmId,
)
from bot.core.texts import Texts, default_loader
from bot.pipeline.journal.database import metadata, open_database
from bot.pipeline.journal.fleet import Fleet
from bot.pipeline.journal.runs import Runs
from bot.pipeline.journal.transcripts import Transcripts
from bot.pipeline.journal.usage import Usage
from bot.web.app import create_app
from bot.web.setup import AppIdentity, SetUp

TEMPLATES = Path(__file__).resolve().parents[2] / "templates"
SECRET = "it's a secret"
REPO = Repo("octo/games", 42, 7)
START = 1_795_430_000.0


@dataclass
class TickingClock:
    """A clock that a test sets."""

    at: float = START

    def __call__(self) -> float:
        return self.at


@dataclass
class World:
    """One journal and the application that serves it."""

    engine: Engine
    clock: TickingClock = field(default_factory=TickingClock)
    queued: list[tuple[str, str]] = field(default_factory=list)
    secret: str = SECRET
    set_up: SetUp | None = None

    def __post_init__(self) -> None:
        self.runs = Runs(self.engine, self.clock)
        self.fleet = Fleet(self.engine, self.clock)
        self.usage = Usage(self.engine, self.clock, cap_microusd=10_000_000)
        self.transcripts = Transcripts(self.engine, self.clock, keep_days=30)
        self.enqueue: Callable[[Any, str, str], None] = lambda _db, delivery, repo: self.queued.append(
            (delivery, repo)
        )

    def app(self) -> Flask:
        return create_app(
            identity=lambda: AppIdentity("99", self.secret),
            runs=self.runs,
            fleet=self.fleet,
            usage=self.usage,
            transcripts=self.transcripts,
            enqueue=self.enqueue,
            texts=Texts(default_loader(TEMPLATES)),
            static_folder=TEMPLATES / "web" / "static",
            trigger_label="swarm-build",
            github_url="https://api.github.com",
            now=self.clock,
            set_up=self.set_up,
        )


def open_world(path: Path, **kwargs: Any) -> World:
    """A fresh journal in a SQLite file."""
    engine = open_database(f"sqlite:///{path}")
    metadata.create_all(engine)
    return World(engine, **kwargs)


def sign(body: bytes, secret: str = SECRET) -> str:
    """What GitHub puts into X-Hub-Signature-256."""
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def headers(body: bytes, event: str, delivery: str, secret: str = SECRET) -> dict[str, str]:
    """The headers of a delivery."""
    return {
        "Content-Type": "application/json",
        "X-GitHub-Event": event,
        "X-GitHub-Delivery": delivery,
        "X-Hub-Signature-256": sign(body, secret),
    }


def deliver(client: FlaskClient, event: str, payload: Any, delivery: str = "d-1") -> TestResponse:
    """Post a payload as GitHub does."""
    body = json.dumps(payload).encode()
    return client.post("/webhook", data=body, headers=headers(body, event, delivery))


def labeled(label: str = "swarm-build", **changes: Any) -> dict[str, Any]:
    """GitHub's payload of issues.labeled, as far as it is read."""
    return {
        "action": "labeled",
        "issue": {"number": 7, "title": "Multiplayer snake", "body": "Build it", "labels": [{"name": label}]},
        "label": {"id": 1, "name": label, "color": "f5b301"},
        "repository": {"id": 42, "full_name": "octo/games", "private": False},
        "installation": {"id": 7, "node_id": "x"},
        "sender": {"login": "ada", "id": 1, "type": "User"},
    } | changes


def commented(text: str, **changes: Any) -> dict[str, Any]:
    """GitHub's payload of issue_comment.created."""
    comment = {
        "id": 555,
        "body": text,
        "user": {"login": "ada", "type": "User"},
        "performed_via_github_app": None,
    }
    return labeled() | {"action": "created", "comment": comment} | changes


# Builds to look at ------------------------------------------------------------------------------------

BRIEF = Brief(
    title="Multiplayer snake in the browser",
    goal="A snake game that several people play at once.",
    requirements=("Players join by opening the page", "The server owns the state", "Scores are shown live"),
    stack="Node 22, ws, canvas",
    components=(),
    kind=AppKind.WEB,
    fits=True,
    reason="",
)


def start_build(world: World, run: str = "a1b2c3d4e5f6", title: str = "Multiplayer snake") -> RunId:
    """A build on the queue."""
    request = BuildRequest(REPO, 7, title, "Build it", "ada", f"delivery-{run}")
    assert world.runs.create(RunId(run), request)
    return RunId(run)


def until_swarm(world: World, run: RunId) -> None:
    """A build whose agents are at work."""
    clock = world.clock
    for phase, seconds in ((Phase.ADMIT, 1.0), (Phase.PREPARE, 4.0), (Phase.SWARM, 9.0)):
        world.runs.enter(run, phase)
        clock.at += seconds
        if phase is Phase.PREPARE:
            world.runs.keep(run, brief=dump(BRIEF))
            world.runs.record(run, "note", text="The brief is written: 3 requirements, 3 components")
    people = (
        ("architect", Role.ARCHITECT, AgentState.IDLE, "waiting for the workers", 420_000),
        ("server", Role.WORKER, AgentState.WORKING, "write server.js", 118_000),
        ("client", Role.WORKER, AgentState.WORKING, "write public/game.js", 97_000),
        ("landing", Role.WORKER, AgentState.DONE, "wrote public/index.html", 41_000),
    )
    for label, role, state, doing, price in people:
        agent = AgentLabel(label)
        world.fleet.add_agent(run, agent, role)
        clock.at += 0.1
        world.fleet.update_agent(run, agent, state=state, doing=doing)
        world.runs.record(run, "agent", label=label, role=role, state=state, doing=doing, reason="")
        call = world.usage.reserve(run, agent, "claude-sonnet-4-5", price * 2)
        assert call
        world.usage.settle(call, Tokens(price // 20, price // 30, price // 3, 0, price))
    clock.at += 40


def until_success(world: World, run: RunId) -> None:
    """A build that ended in a pull request."""
    until_swarm(world, run)
    for agent in world.fleet.agents(run):
        world.fleet.update_agent(run, agent.agent, state=AgentState.DONE, doing="done")
    for phase, seconds in (
        (Phase.COLLECT, 2.0),
        (Phase.PREVIEW, 7.0),
        (Phase.PUBLISH, 3.0),
        (Phase.DONE, 1.0),
    ):
        world.runs.enter(run, phase)
        world.clock.at += seconds
    vm = VmId(f"vm-{run}")
    world.fleet.bind(world.fleet.intend(run, "preview", CommitId("golden")).intent, vm)
    evidence = Evidence(
        AppKind.WEB,
        ok=True,
        url="https://vm-1.vm.vers.sh:3000",
        status=200,
        vm=vm,
        probed_at="2026-11-23T12:01:02Z",
    )
    published = Published("swarm/issue-7", "c0ffee", 8, "https://github.com/octo/games/pull/8", draft=False)
    world.runs.keep(run, evidence=dump(evidence), published=dump(published))
    world.runs.end(run, RunState.SUCCEEDED, "")
