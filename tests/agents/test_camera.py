"""Pictures and transcripts on machines of their own."""

import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from bot.agents.camera import CameraImages, photograph, transcripts
from bot.core.errors import UserError
from bot.core.models import CommitId
from bot.vms.base import Shell
from tests.agents.conftest import DEPLOYMENT, TEMPLATES, World
from tests.conftest import one_builder


@pytest.fixture(scope="module")
def camera(world: World, golden: CommitId) -> Iterator[Shell]:
    """A machine with a browser; its image is built once per host."""
    images = CameraImages(
        provider=world.provider,
        connect=world.connect,
        fleet=world.fleet,
        lines=world.lines,
        texts=world.texts,
        vm_files=TEMPLATES / "vm",
        deployment=DEPLOYMENT,
    )
    with one_builder():
        commit = images.ensure(golden)
    assert images.ensure(golden) == commit
    (vm,) = world.provider.branch(commit)
    shell = world.connect(vm)
    yield shell
    shell.close()
    world.provider.delete(vm)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[http.server.ThreadingHTTPServer]:
    """A page that would like to see more of the world than it may."""
    asked: list[str] = []

    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(
                b"<body style='background:#f5b301'><h1>A page</h1><script>alert('hello');"
                b"for (const it of ['http://127.0.0.1:8898/', 'http://127.0.0.1:8899/', 'http://deb.debian.org/'])"
                b" fetch(it, {mode: 'no-cors'}).then(() => fetch('/reached?' + it), () => fetch('/failed?' + it))</script>"
            )

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
    server.asked = asked  # type: ignore[attr-defined]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def test_a_page_is_drawn_and_reaches_nothing_else(
    camera: Shell, site: http.server.ThreadingHTTPServer
) -> None:
    """A dialog does not stop it; gateway, registries and the world are not there for it."""
    picture = photograph(camera, f"http://127.0.0.1:{site.server_port}/")
    assert len(picture) > 2_000
    width, height = (int.from_bytes(picture[at : at + 4], "big") for at in (16, 20))
    assert (width, height) == (1280, 800)
    asked = site.asked  # type: ignore[attr-defined]
    assert not [path for path in asked if path.startswith("/reached")]
    assert len([path for path in asked if path.startswith("/failed")]) == 3


def test_a_page_that_is_gone_is_said(camera: Shell) -> None:
    """A sentence instead of a picture of an error."""
    with pytest.raises(UserError, match="could not open the page"):
        photograph(camera, "http://127.0.0.1:9/")


def test_a_session_becomes_a_page(camera: Shell) -> None:
    """The export of pi itself; what is no session gives none and spoils nothing."""
    lines = [
        {"type": "session", "version": 3, "id": "a", "timestamp": "2026-11-23T00:00:00.000Z", "cwd": "/root/workspace"},
        {"type": "message", "id": "b", "parentId": None, "timestamp": "2026-11-23T00:00:01.000Z",
         "message": {"role": "user", "content": [{"type": "text", "text": "Build it"}], "timestamp": 1}},
    ]  # fmt: skip
    session = "".join(json.dumps(line) + "\n" for line in lines).encode()
    made = transcripts(camera, {"architect": session, "server": b"not a session"})
    assert list(made) == ["architect"]
    assert b"<html" in made["architect"][:500].lower()
