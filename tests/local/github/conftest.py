"""A local GitHub per test, a real receiver of its webhooks, and clients."""

import hashlib
import hmac
import json
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from github import Auth, Github, GithubIntegration

from bot.local.github.server import Running, start


@dataclass
class Received:
    """One webhook as it arrived."""

    headers: dict[str, str]
    body: bytes

    @property
    def event(self) -> str:
        action = self.json().get("action")
        return self.headers["x-github-event"] + (f".{action}" if action else "")

    def json(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)
        return found

    def signed_by(self, secret: str) -> bool:
        wanted = "sha256=" + hmac.new(secret.encode(), self.body, hashlib.sha256).hexdigest()
        return hmac.compare_digest(wanted, self.headers["x-hub-signature-256"])


@dataclass
class Receiver:
    """A web server that takes webhooks; `answer` is the status it gives."""

    url: str = ""
    answer: int = 202
    got: list[Received] = field(default_factory=list)
    news: threading.Condition = field(default_factory=threading.Condition)
    free: threading.Event = field(default_factory=threading.Event)
    """Cleared: answers wait until it is set."""

    def add(self, received: Received) -> None:
        with self.news:
            self.got.append(received)
            self.news.notify_all()

    def wait_for(self, event: str, count: int = 1) -> list[Received]:
        """All webhooks of an event, once there are so many."""
        with self.news:
            found = self.news.wait_for(lambda: len(self.of(event)) >= count, timeout=10)
            assert found, f"no {event}; got {[received.event for received in self.got]}"
            return self.of(event)

    def of(self, event: str) -> list[Received]:
        return [received for received in self.got if received.event == event]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    box = Receiver()
    box.free.set()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            box.add(Received({name.lower(): value for name, value in self.headers.items()}, body))
            box.free.wait(9)
            self.send_response(box.answer)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    box.url = f"http://127.0.0.1:{server.server_port}/webhook"
    yield box
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(scope="session")
def seeded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The state of a fresh local GitHub; making its key takes longer than copying it."""
    folder = tmp_path_factory.mktemp("seeded") / "github"
    start(folder).stop()
    return folder


@pytest.fixture
def hub(tmp_path: Path, seeded: Path, receiver: Receiver) -> Iterator[Running]:
    """A local GitHub whose description must not have been left by the end of the test."""
    shutil.copytree(seeded, tmp_path / "github")
    running = start(tmp_path / "github", webhook_url=receiver.url)
    yield running
    running.wait_for_webhooks()
    found = running.violations()
    running.stop()
    assert found == []


# One for all: making one reads the certificate authorities, which takes longer than a call.
HTTP = httpx.Client(trust_env=False, timeout=30)


@dataclass
class Rest:
    """A caller of the REST API with one bearer."""

    base_url: str
    token: str

    def __call__(self, method: str, path: str, body: Any = None, **query: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        return HTTP.request(method, self.base_url + path, json=body, params=query or None, headers=headers)


@pytest.fixture
def rest(hub: Running) -> Callable[[str], Rest]:
    """`rest("alice")` calls as alice, `rest("")` as nobody, `rest("bot")` as the App's installation."""

    @cache
    def caller(who: str) -> Rest:
        if who == "bot":
            return Rest(hub.base_url, installation_token(hub))
        return Rest(hub.base_url, hub.users[who] if who else "")

    return caller


@cache  # parsing a key takes a tenth of a second
def _loaded(pem: str) -> Any:
    return serialization.load_pem_private_key(pem.encode(), None)


def app_jwt(hub: Running, **claims: Any) -> str:
    """A JWT of the App; claims and the PEM (`key`) can be changed."""
    now = int(time.time())
    key = claims.pop("key", hub.private_key_file.read_text())
    return jwt.encode(
        {"iat": now - 60, "exp": now + 300, "iss": str(hub.app_id)} | claims, _loaded(key), "RS256"
    )


def integration(hub: Running) -> GithubIntegration:
    """PyGithub as the App."""
    return GithubIntegration(
        auth=Auth.AppAuth(hub.app_id, hub.private_key_file.read_text()),
        base_url=hub.base_url,
        seconds_between_requests=0,
        seconds_between_writes=0,
    )


def installation_token(hub: Running, **body: Any) -> str:
    """A token of the installation on acme, by the App's JWT."""
    app = Rest(hub.base_url, app_jwt(hub))
    number = app("GET", "/repos/acme/arcade/installation").json()["id"]
    answer = app("POST", f"/app/installations/{number}/access_tokens", body)
    return str(answer.json()["token"])


def client(hub: Running, token: str) -> Github:
    """PyGithub with a bearer."""
    return Github(
        auth=Auth.Token(token),
        base_url=hub.base_url,
        seconds_between_requests=0,
        seconds_between_writes=0,
        retry=None,
    )
