"""What a clean machine says of collected files, good and bad: real machines, real processes."""

import contextlib
import http.server
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from websockets.sync.client import connect

from bot.core.errors import Cancelled
from bot.core.models import AppKind, Artifact, CommitId, Evidence
from bot.core.plan import AppSetup
from bot.local.vers.server import Running
from bot.pipeline.preview import Preview, PreviewTools, visit
from bot.vms.vers import LocalAddresses, VersProvider
from tests.agents.conftest import World

TOOLS = Path(__file__).parents[2] / "templates" / "vm" / "preview"

Show = Callable[..., Evidence]

HELLO = "require('http').createServer((q,r)=>r.end('hello '+(q.headers['x-forwarded-for']||''))).listen(process.env.PORT,'%s')"
# A WebSocket handshake and one text frame, by hand: the bridge must carry upgrades, and no package is needed.
ECHO = """
const h=require('http').createServer((q,r)=>r.end('page'));
h.on('upgrade',(q,s)=>{const k=require('crypto').createHash('sha1').update(q.headers['sec-websocket-key']+
'258EAFA5-E914-47DA-95CA-C5AB0DC85B11').digest('base64');
s.write('HTTP/1.1 101 x\\r\\nUpgrade: websocket\\r\\nConnection: Upgrade\\r\\nSec-WebSocket-Accept: '+k+'\\r\\n\\r\\n');
const t=Buffer.from(q.headers['x-forwarded-for']||'none');s.write(Buffer.concat([Buffer.from([0x81,t.length]),t]));});
h.listen(process.env.PORT,'0.0.0.0');
"""


@pytest.fixture
def show(world: World, golden: CommitId, local_vers: Running) -> Iterator[Show]:
    """Shows files on a clean machine, which is gone at the end of the test."""
    provider = VersProvider(
        url=local_vers.base_url,
        api_key=local_vers.api_key,
        vm_domain=local_vers.vm_domain,
        address=LocalAddresses(local_vers.publish_url),
    )
    (vm,) = provider.branch(golden)
    provider.label(vm, {"app": "swarm-build", "deployment": "local"})
    shell = world.connect(vm)

    def on_machine(
        files: dict[str, str],
        kind: AppKind = AppKind.WEB,
        check: str = "",
        start_limit_s: float = 20.0,
        setup: AppSetup | None = None,
    ) -> Evidence:
        preview = Preview(
            shell,
            provider,
            registry=world.lines.registry(vm),
            tools=PreviewTools((TOOLS / "app.py").read_text(), (TOOLS / "bridge.js").read_text()),
            start_limit_s=start_limit_s,
            probe_limit_s=start_limit_s,
            now=lambda: "2026-11-23T00:00:00+00:00",
            check_cancelled=lambda: None,
            setup=setup,
        )
        artifacts = [Artifact(path, text.encode()) for path, text in files.items()]
        return preview.show(artifacts, kind, check)

    yield on_machine
    shell.close()
    provider.delete(vm)


def test_an_app_on_both_families_is_shown_as_it_is(show: Show) -> None:
    """No bridge, the address answers, and the app's own process is not root's."""
    evidence = show({"Procfile": "web: id -un >&2; exec node app.js", "app.js": HELLO % "::"})
    assert evidence.ok, evidence.problem
    assert not evidence.bridged
    assert evidence.status == 200
    assert httpx.get(evidence.url).text.startswith("hello")
    assert "agent" in evidence.output


def test_a_repository_may_say_how_its_app_is_installed_and_started(show: Show) -> None:
    """Its commands take the place of ours, its environment reaches them, and its port is bridged to one that is routed."""
    setup = AppSetup(
        install='echo "$WORD" > installed',
        start="node app.js $(cat installed)",
        port=4100,
        env={"WORD": "it's here"},
        test='[ "$WORD" = "it\'s here" ] && echo tested && exit 5',
    )
    program = "require('http').createServer((q,r)=>r.end(process.argv.slice(2).join(' '))).listen(4100,'::')"
    evidence = show(
        {"app.js": program, "package.json": '{"dependencies": {"a": "file:./missing.tgz"}}'}, setup=setup
    )
    assert evidence.ok, evidence.problem + evidence.output
    assert not evidence.bridged
    assert httpx.get(evidence.url).text == "it's here"
    assert evidence.tests
    assert (evidence.tests.command, evidence.tests.exit_status) == (setup.test, 5)


def test_the_bridge_carries_pages_and_websockets(show: Show) -> None:
    """An app on IPv4 only: HTTP, an upgrade, and who the visitor is."""
    evidence = show({"Procfile": "web: node app.js", "app.js": ECHO})
    assert evidence.ok, evidence.problem
    assert evidence.bridged
    assert httpx.get(evidence.url).text == "page"
    with connect(evidence.url.replace("http", "ws", 1), close_timeout=0.2) as socket:
        visitor = socket.recv(timeout=10)
    assert visitor != "none"


@pytest.mark.parametrize(
    ("files", "problem", "log"),
    [
        ({"Procfile": "web: node app.js", "app.js": "throw new Error('broken wing')"}, "ended before it listened", "broken wing"),
        ({"Procfile": "worker: sleep 60"}, "no process `web`", ""),
        ({"Procfile": "web: node app.js", "app.js": (HELLO % "::").replace("process.env.PORT", "4321")}, "4321", ""),
        ({"Procfile": "web: node app.js", "package.json": "{ not json"}, "did not install", "package.json"),
        (
            {"Procfile": "web: node app.js", "app.js": "require('http').createServer((q,r)=>{r.statusCode=500;r.end()}).listen(process.env.PORT,'::')"},
            "status 500",
            "",
        ),
    ],
    ids=["crashes", "no-web", "other-port", "no-install", "error-page"],
)  # fmt: skip
def test_what_does_not_run_is_said_with_its_log(
    show: Show, files: dict[str, str], problem: str, log: str
) -> None:
    """The problem in a sentence, and the end of the log."""
    evidence = show(files, start_limit_s=4.0)
    assert not evidence.ok
    assert problem in evidence.problem
    assert log in evidence.output


def test_a_static_site_is_served_from_its_folder(show: Show) -> None:
    """Without a Procfile; the folder that has the index."""
    evidence = show({"public/index.html": "<h1>static</h1>"}, AppKind.STATIC)
    assert evidence.ok, evidence.problem
    assert "<h1>static</h1>" in httpx.get(evidence.url).text


@pytest.mark.parametrize(("command", "status"), [("echo fine; exit 0", 0), ("echo wrong >&2; exit 3", 3)])
def test_a_check_command_is_the_evidence(show: Show, command: str, status: int) -> None:
    """Exit status and output, of both streams."""
    evidence = show({"SPEC.md": "spec"}, AppKind.NONE, command)
    assert evidence.ok is (status == 0)
    assert evidence.exit_status == status
    assert evidence.output in ("fine", "wrong")
    assert evidence.url == ""


def test_a_visit_stops_when_the_build_is_stopped() -> None:
    """Nobody waits for an address of a build that is over."""

    def stopped() -> None:
        raise Cancelled("stopped")

    began = time.monotonic()
    with pytest.raises(Cancelled):
        visit("http://127.0.0.1:9", stopped)
    assert time.monotonic() - began < 5


def test_the_results_own_tests_are_run_before_it_starts(show: Show) -> None:
    """What they say is evidence of its own, and what they leave running is not in the app's way."""
    package = '{"private": true, "scripts": {"test": "node left.js & sleep 0.5; echo one failing; exit 4"}}'
    left = "require('http').createServer((q, r) => r.end('left')).listen(3000, '::')"
    app = {"Procfile": "web: node app.js", "app.js": HELLO % "::", "package.json": package, "left.js": left}
    evidence = show(app)
    assert evidence.ok, evidence.problem
    assert httpx.get(evidence.url).text.startswith("hello")
    assert evidence.tests
    assert (evidence.tests.command, evidence.tests.exit_status) == ("npm test --silent", 4)
    assert "one failing" in evidence.tests.output
    assert not evidence.complete


class _Stranger(http.server.BaseHTTPRequestHandler):
    """An app that does what its path says."""

    def do_GET(self) -> None:
        if self.path == "/away":
            self.send_response(302)
            self.send_header("Location", f"http://localhost:{self.server.server_address[1]}/inside")
            self.end_headers()
        elif self.path == "/round":
            self.send_response(302)
            self.send_header("Location", "/here")
            self.end_headers()
        elif self.path == "/endless":
            self.send_response(200)
            self.end_headers()
            with contextlib.suppress(OSError):
                while True:
                    self.wfile.write(b"x" * 65536)
        else:
            self.server.visited.append(self.path)  # type: ignore[attr-defined]
            self.send_response(200 if self.path in ("/here", "/inside") else 404)
            self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.mark.parametrize(
    ("path", "status", "visited"),
    [("/away", 302, []), ("/round", 200, ["/here"]), ("/endless", 200, []), ("/gone", 404, ["/gone"])],
)
def test_a_visit_goes_where_it_was_sent_and_reads_no_body(path: str, status: int, visited: list[str]) -> None:
    """An app cannot send the bot elsewhere, nor keep it listening."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Stranger) as server:
        server.visited = []  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_address[1]}{path}"
        seen, problem = visit(url, lambda: None, limit_s=0.0)
        server.shutdown()
        assert (seen, bool(problem)) == (status, status >= 400)
        assert server.visited[:1] == visited[:1]  # type: ignore[attr-defined]
