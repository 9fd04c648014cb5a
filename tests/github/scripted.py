"""An HTTP server on loopback that answers from a script and remembers what it was asked."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Asked:
    """One request."""

    verb: str
    path: str
    authorization: str
    body: Any


@dataclass
class Script:
    """Answers by "VERB /path-prefix", used up in order; the last one stays."""

    url: str = ""
    asked: list[Asked] = field(default_factory=list)
    answers: dict[str, list[tuple[int, Any, dict[str, str]]]] = field(default_factory=dict)

    def on(self, request: str, status: int, body: Any = None, headers: dict[str, str] | None = None) -> None:
        self.answers.setdefault(request, []).append((status, body, headers or {}))

    def count(self, request: str) -> int:
        return len([asked for asked in self.asked if f"{asked.verb} {asked.path}".startswith(request)])

    def answer(self, verb: str, path: str) -> tuple[int, Any, dict[str, str]]:
        for request, queue in self.answers.items():
            if f"{verb} {path}".startswith(request):
                return queue.pop(0) if len(queue) > 1 else queue[0]
        return 404, {"message": "Not Found"}, {}


@contextmanager
def scripted() -> Iterator[Script]:
    """Serve a script until the block ends."""
    script = Script()
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the base class names it so
            pass

        def _serve(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(length)
            asked = Asked(
                self.command,
                self.path,
                self.headers.get("Authorization", ""),
                json.loads(body) if body else None,
            )
            with lock:
                script.asked.append(asked)
                status, answer, headers = script.answer(asked.verb, asked.path)
            content = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
            self.send_response(status)
            for name, value in {"Content-Length": str(len(content)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = _serve  # noqa: N815  # the base class looks for these names

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    script.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield script
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
