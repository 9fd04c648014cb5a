"""A small provider of models: answers `POST /v1/messages` by a script, in real HTTP, and remembers what it was sent."""

import json
import socket
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Events = list[dict[str, Any]]


def message(text: str = "hello", *, output: int = 7, input_tokens: int = 10, stop: bool = True) -> Events:
    """The events of an answer, as Anthropic streams them."""
    usage = {
        "input_tokens": input_tokens, "output_tokens": 1,
        "cache_creation_input_tokens": 100, "cache_read_input_tokens": 1000,
    }  # fmt: skip
    events: Events = [
        {"type": "message_start", "message": {"id": "msg_1", "role": "assistant", "usage": usage}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        *(
            {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": c}}
            for c in text
        ),
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": output}},
    ]
    return [*events, {"type": "message_stop"}] if stop else events


@dataclass
class Reply:
    """One scripted answer. `gate` holds the stream back after its first `before` events until it is set."""

    status: int = 200
    events: Events = field(default_factory=message)
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    gate: threading.Event | None = None
    before: int = 2
    cut: bool = False
    """Break the connection instead of ending the stream."""


@dataclass
class Received:
    """What arrived: path with query, headers in lower case, body."""

    path: str
    headers: dict[str, str]
    body: bytes


def refusal(status: int, kind: str, message: str = "no", **headers: str) -> Reply:
    """An error answer of the provider."""
    body = json.dumps({"type": "error", "error": {"type": kind, "message": message}}).encode()
    return Reply(status=status, body=body, headers={k.replace("_", "-"): v for k, v in headers.items()})


class Provider:
    """The running server. Replies are used in their order, the last one for ever."""

    def __init__(self, *replies: Reply) -> None:
        self.replies = list(replies) or [Reply()]
        self.received: list[Received] = []
        self.ended = threading.Semaphore(0)
        provider = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args: object) -> None:
                pass

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                provider.received.append(Received(self.path, headers, body))
                reply = provider.replies.pop(0) if len(provider.replies) > 1 else provider.replies[0]
                try:
                    provider.answer(self, reply, streamed=json.loads(body).get("stream") is True)
                except OSError:
                    self.close_connection = True
                finally:
                    provider.ended.release()

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def answer(self, handler: BaseHTTPRequestHandler, reply: Reply, *, streamed: bool) -> None:
        handler.send_response(reply.status)
        for name, value in reply.headers.items():
            handler.send_header(name, value)
        if reply.status != 200 or not streamed:
            body = (
                reply.body
                or json.dumps({"type": "message", "usage": {"input_tokens": 3, "output_tokens": 4}}).encode()
            )
            handler.send_header("content-type", "application/json")
            handler.send_header("content-length", str(len(body)))
            handler.end_headers()
            handler.wfile.write(body)
            return
        handler.send_header("content-type", "text/event-stream; charset=utf-8")
        handler.send_header("transfer-encoding", "chunked")
        handler.send_header("request-id", "req_1")
        handler.end_headers()
        for number, event in enumerate(reply.events):
            if number == reply.before and reply.gate:
                assert reply.gate.wait(20)
            data = f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()
            handler.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
            handler.wfile.flush()
        if reply.cut:
            handler.connection.shutdown(socket.SHUT_RDWR)
            handler.close_connection = True
        else:
            handler.wfile.write(b"0\r\n\r\n")

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@dataclass
class Purse:
    """Accounts in memory, with the rules of the real ones: bearers, a cap per run, one settlement per call."""

    spenders: dict[str, Any] = field(default_factory=dict)
    cap_microusd: int = 10_000_000
    reserved: dict[str, int] = field(default_factory=dict)
    settled: dict[str, Any] = field(default_factory=dict)
    broken: dict[str, Any] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def spender(self, bearer: str) -> Any:
        return self.spenders.get(bearer)

    def reserve(self, run: Any, agent: Any, model: str, microusd: int) -> str | None:
        with self.lock:
            spent = sum(tokens.cost_microusd for tokens in self.settled.values())
            open_calls = sum(price for call, price in self.reserved.items() if call not in self.settled)
            if spent + open_calls + microusd > self.cap_microusd:
                return None
            call = f"call-{len(self.reserved)}"
            self.reserved[call] = microusd
            return call

    def settle(self, call: str, tokens: Any) -> None:
        self._once(call)
        self.settled[call] = tokens

    def settle_broken(self, call: str, tokens: Any) -> None:
        self._once(call)
        self.broken[call] = tokens

    def _once(self, call: str) -> None:
        assert call in self.reserved
        assert call not in self.settled
        assert call not in self.broken
