"""The webhook's edge: every status, and what is stored and queued with it."""

import ast
import io
import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import func, select

import bot.web.webhook
from bot.core.errors import Unauthentic
from bot.core.events import IssueLabeled, load_event
from bot.pipeline.journal.database import deliveries, metadata
from bot.web.webhook import BODY_LIMIT_BYTES, verify
from tests.web.world import SECRET, World, commented, deliver, headers, labeled, open_world, sign


@pytest.fixture
def world(tmp_path: Path) -> World:
    return open_world(tmp_path / "journal.db")


def stored(world: World) -> int:
    with world.engine.begin() as db:
        return int(db.execute(select(func.count()).select_from(deliveries)).scalar_one())


def test_accepted(world: World) -> None:
    """A delivery of ours is stored and queued, and answered 202."""
    answer = deliver(world.app().test_client(), "issues", labeled(), "d-1")
    assert (answer.status_code, answer.json) == (202, {"state": "queued"})
    assert world.queued == [("d-1", "octo/games")]
    event = load_event(world.runs.delivery("d-1"))
    assert isinstance(event, IssueLabeled)
    assert event.title == "Multiplayer snake"


def test_duplicates(world: World) -> None:
    """The same id, or the same content under a new id, is answered 200 and changes nothing."""
    client = world.app().test_client()
    deliver(client, "issues", labeled(), "d-1")
    for payload, delivery in ((labeled(), "d-1"), (labeled(), "d-2"), (commented("/swarm build"), "d-1")):
        answer = deliver(client, "issues" if "comment" not in payload else "issue_comment", payload, delivery)
        assert answer.status_code == 200
        assert answer.json is not None
        assert answer.json["state"] == "duplicate"
    assert world.queued == [("d-1", "octo/games")]
    assert stored(world) == 1


@pytest.mark.parametrize("ways", ["same id", "new ids"])
def test_twenty_at_once(world: World, ways: str) -> None:
    """Of twenty parallel deliveries of one event, one is queued."""
    app = world.app()

    def post(number: int) -> int:
        delivery = "d-1" if ways == "same id" else f"d-{number}"
        return deliver(app.test_client(), "issues", labeled(), delivery).status_code

    with ThreadPoolExecutor(20) as pool:
        statuses = sorted(pool.map(post, range(20)))
    assert statuses == [200] * 19 + [202]
    assert len(world.queued) == 1
    assert stored(world) == 1


OURS = {
    "installation": {"id": 7},
    "sender": {"login": "ada", "type": "User"},
    "repository": {"id": 42, "full_name": "octo/games"},
}
PULL = {"number": 3, "merged": False, "head": {"ref": "feature", "sha": "c0ffee"}}
NOT_OURS: list[tuple[str, Any]] = [
    ("ping", {"zen": "Design for failure.", "hook_id": 1, "hook": {"type": "App"}}),
    ("issues", labeled("bug")),
    ("issues", labeled() | {"action": "opened"}),
    ("issues", labeled() | {"action": "edited", "changes": {"title": {"from": "x"}}}),
    ("issues", labeled() | {"action": "unlabeled", "label": {"name": "bug"}}),
    ("issues", labeled(sender={"login": "swarm[bot]", "type": "Bot"})),
    ("issues", {key: value for key, value in labeled().items() if key != "installation"}),
    ("issue_comment", commented("Looks good to me")),
    ("issue_comment", commented("> /swarm build")),
    ("issue_comment", commented("/swarm build") | {"action": "edited", "changes": {"body": {"from": "x"}}}),
    ("issue_comment", commented("/swarm build") | {"action": "deleted"}),
    (
        "issue_comment",
        commented("", comment={"id": 1, "body": "/swarm stop", "performed_via_github_app": {"id": 99}}),
    ),
    ("pull_request", OURS | {"action": "opened", "number": 3, "pull_request": PULL}),
    ("pull_request", OURS | {"action": "closed", "number": 3, "pull_request": PULL}),
    ("push", OURS | {"ref": "refs/heads/main", "commits": []}),
    ("check_run", OURS | {"action": "created", "check_run": {"id": 1}}),
    ("check_suite", OURS | {"action": "requested", "check_suite": {"id": 1}}),
    (
        "installation",
        {"action": "created", "installation": {"id": 7}, "sender": {"login": "ada", "type": "User"}},
    ),
    ("installation_repositories", {"action": "added", "installation": {"id": 7}}),
    ("github_app_authorization", {"action": "revoked", "sender": {"login": "ada", "type": "User"}}),
    ("marketplace_purchase", {"action": "purchased"}),
    ("an_event_of_2030", {}),
]


@pytest.mark.parametrize(("event", "payload"), NOT_OURS)
def test_not_ours(world: World, event: str, payload: Any) -> None:
    """Whatever else GitHub sends is answered 2xx with a reason, and not kept."""
    answer = deliver(world.app().test_client(), event, payload)
    assert answer.status_code == 202
    assert answer.json is not None
    assert answer.json["state"] == "ignored"
    assert answer.json["reason"]
    assert stored(world) == 0
    assert world.queued == []


@pytest.mark.parametrize(
    ("event", "payload"),
    [
        ("issues", labeled("Swarm-Build")),
        ("issues", labeled("swarm: games")),  # perhaps the repository's own: the worker looks
        ("issues", labeled() | {"action": "unlabeled"}),
        ("issues", labeled() | {"action": "closed"}),
        ("issue_comment", commented("/swarm stop")),
        ("issue_comment", commented("/swarm wat")),
        (
            "pull_request",
            OURS | {"action": "closed", "pull_request": PULL | {"head": {"ref": "swarm/issue-7"}}},
        ),
    ],
)
def test_ours(world: World, event: str, payload: Any) -> None:
    """All that asks something of us is queued."""
    assert deliver(world.app().test_client(), event, payload).status_code == 202
    assert len(world.queued) == 1


@pytest.mark.parametrize(
    "signature",
    [
        "",
        "sha256=",
        "sha256=" + "0" * 64,
        "sha1=" + "0" * 40,
        sign(b"{}", SECRET),
        "sha256=é" + "0" * 63,
    ],
)
def test_wrong_signature(world: World, signature: str) -> None:
    """A missing, wrong or odd signature is 401 with a sentence."""
    body = json.dumps(labeled()).encode()
    sent = headers(body, "issues", "d-1") | {"X-Hub-Signature-256": signature}
    answer = world.app().test_client().post("/webhook", data=body, headers=sent)
    assert answer.status_code == 401
    assert answer.json is not None
    assert "X-Hub-Signature-256" in answer.json["reason"]
    assert stored(world) == 0


def test_signature_is_over_the_raw_bytes(world: World) -> None:
    """The same JSON in other bytes does not carry the signature along."""
    body = json.dumps(labeled()).encode()
    answer = (
        world.app().test_client().post("/webhook", data=body + b" ", headers=headers(body, "issues", "d-1"))
    )
    assert answer.status_code == 401


def test_githubs_example() -> None:
    """The example of GitHub's documentation, "Validating webhook deliveries"."""
    expected = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    verify("It's a Secret to Everybody", b"Hello, World!", expected)
    with pytest.raises(Unauthentic):
        verify("It's a Secret to Everybody", b"Hello, World?", expected)


def test_constant_time() -> None:
    """The signature is compared by hmac.compare_digest and by nothing else."""
    tree = ast.parse(Path(bot.web.webhook.__file__).read_text())
    check = next(
        node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name == "verify"
    )
    assert any(isinstance(node, ast.Attribute) and node.attr == "compare_digest" for node in ast.walk(check))
    assert not any(isinstance(node, ast.Compare) for node in ast.walk(check))
    elsewhere = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and node.value == "X-Hub-Signature-256"
    ]
    assert len(elsewhere) == 1


def test_without_a_secret(tmp_path: Path) -> None:
    """No secret: everything is refused, with what to set."""
    world = open_world(tmp_path / "journal.db", secret="")
    client = world.app().test_client()
    body = json.dumps(labeled()).encode()
    for secret in ("", SECRET):
        answer = client.post("/webhook", data=body, headers=headers(body, "issues", "d-1", secret))
        assert answer.status_code == 401
        assert answer.json is not None
        assert "GITHUB_WEBHOOK_SECRET" in answer.json["reason"]


@pytest.mark.parametrize(
    ("event", "body", "changes"),
    [
        ("issues", b"not json", {}),
        ("issues", b"[]", {}),
        ("issues", b'{"action": "labeled"}', {}),
        ("issues", b"\xff", {}),
        ("issues", b"{}", {"X-GitHub-Event": ""}),
        ("issues", b"{}", {"X-GitHub-Delivery": ""}),
        ("issues", b"{}", {"X-GitHub-Delivery": "x" * 65}),
        ("issues", b"{}", {"X-GitHub-Delivery": "a/b"}),
        ("issues", b"{}", {"X-GitHub-Event": "x" * 65}),
    ],
)
def test_bad_requests(world: World, event: str, body: bytes, changes: dict[str, str]) -> None:
    """A signed body or header that GitHub would not send is 400 with a sentence."""
    answer = (
        world.app().test_client().post("/webhook", data=body, headers=headers(body, event, "d-1") | changes)
    )
    assert answer.status_code == 400
    assert answer.json is not None
    assert answer.json["reason"]


def test_too_large(world: World) -> None:
    """A body beyond 25 MB is refused by its Content-Length, before a byte of it is read."""

    class Untouchable(io.BytesIO):
        def read(self, *_: object) -> bytes:
            raise AssertionError("the body was read")

        readinto = readline = readlines = read  # type: ignore[assignment]  # none of them is to be called

    sent = {"CONTENT_LENGTH": str(BODY_LIMIT_BYTES + 1), "wsgi.input": Untouchable()}
    answer = world.app().test_client().post("/webhook", environ_overrides=sent)
    assert answer.status_code == 413
    assert answer.json == {"state": "refused", "reason": "the body is larger than 25 MB"}


def test_just_large_enough(world: World) -> None:
    """25 MB exactly are read."""
    payload = labeled()
    payload["issue"]["body"] = "x" * (BODY_LIMIT_BYTES - len(json.dumps(payload).encode()) + len("Build it"))
    assert len(json.dumps(payload).encode()) == BODY_LIMIT_BYTES
    assert deliver(world.app().test_client(), "issues", payload).status_code == 202


def test_database_down(world: World) -> None:
    """Without the database nothing is accepted: 503, so that GitHub lists the delivery as failed."""
    metadata.drop_all(world.engine)
    client = world.app().test_client()
    answer = deliver(client, "issues", labeled())
    assert answer.status_code == 503
    assert answer.json is not None
    assert "deliver again" in answer.json["reason"]
    assert client.get("/healthz").status_code == 503


def test_queue_down(world: World) -> None:
    """If the job cannot be queued, the delivery is not stored either, and a second try succeeds."""
    calls: list[str] = []

    def enqueue(_db: Any, delivery: str, _repo: str) -> None:
        calls.append(delivery)
        if len(calls) == 1:
            raise ConnectionError("the queue is gone")

    world.enqueue = enqueue
    client = world.app().test_client()
    assert deliver(client, "issues", labeled()).status_code == 500
    assert stored(world) == 0
    assert deliver(client, "issues", labeled()).status_code == 202
    assert stored(world) == 1


def test_other_methods(world: World) -> None:
    """Only POST."""
    assert world.app().test_client().get("/webhook").status_code == 405


# Under the real server --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def gunicorn(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The application under gunicorn on loopback, as the Procfile starts it; its address."""
    folder = tmp_path_factory.mktemp("gunicorn")
    (folder / "served.py").write_text(
        textwrap.dedent(f"""
        from pathlib import Path
        from tests.web.world import open_world
        app = open_world(Path({str(folder / "journal.db")!r})).app()
        """)
    )
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        root = Path(__file__).resolve().parents[2]
        command = [sys.executable, "-m", "gunicorn", "served:app", "--bind", f"fd://{taken.fileno()}"]
        server = subprocess.Popen(
            [*command, "--worker-class", "gthread", "--threads", "8", "--chdir", str(folder)],
            env={**os.environ, "PYTHONPATH": str(root)},
            pass_fds=[taken.fileno()],
            stderr=subprocess.PIPE,
        )
        try:
            yield f"http://127.0.0.1:{taken.getsockname()[1]}"
        finally:
            server.send_signal(signal.SIGTERM)
            _, errors = server.communicate(timeout=20)
            assert b"Traceback" not in errors, errors.decode()


def test_gunicorn(gunicorn: str) -> None:
    """Signed deliveries, plain and chunked, through the real server, twenty at once."""
    body = json.dumps(labeled()).encode()
    with httpx.Client(base_url=gunicorn, timeout=20) as client:
        assert client.get("/healthz").json() == {"state": "up"}

        def post(number: int) -> int:
            whole = number % 2 == 0
            return client.post(
                "/webhook",
                content=body if whole else iter([body[:50], body[50:]]),
                headers=headers(body, "issues", "d-1"),
            ).status_code

        with ThreadPoolExecutor(20) as pool:
            assert sorted(pool.map(post, range(20))) == [200] * 19 + [202]
        assert client.post("/webhook", content=body).status_code == 401
        assert client.get("/").status_code == 200


def test_gunicorn_chunked_without_end(gunicorn: str) -> None:
    """A chunked body that never ends is refused once it passes 25 MB."""
    host, _, port = gunicorn.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=20) as line:
        line.sendall(b"POST /webhook HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        chunk = b"100000\r\n" + b"x" * 0x100000 + b"\r\n"
        for _ in range(26):
            line.sendall(chunk)
        assert line.recv(12) == b"HTTP/1.1 413"


def test_gunicorn_refuses_by_length(gunicorn: str) -> None:
    """A body that is announced as too large is refused although nothing of it was sent."""
    host, _, port = gunicorn.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=20) as line:
        line.sendall(b"POST /webhook HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n")
        assert line.recv(12) == b"HTTP/1.1 413"


def test_a_button_may_be_pressed_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """GitHub says the same of a check run after a rebuild that came to nothing; minutes later that is another press."""
    client = world.app().test_client()
    pressed = labeled() | {
        "action": "requested_action",
        "check_run": {"check_suite": {"head_branch": "swarm/issue-7"}},
        "requested_action": {"identifier": "rebuild"},
    }
    now = [1_000_000.0]
    monkeypatch.setattr("bot.web.webhook.time.time", lambda: now[0])
    statuses = []
    for delivery, later_s in (("d-1", 0), ("d-2", 5), ("d-3", 1_200), ("d-3", 0)):
        now[0] += later_s
        statuses.append(deliver(client, "check_run", pressed, delivery).status_code)
    assert statuses == [202, 200, 202, 200]
