"""The scripted model's HTTP face: Anthropic's Messages API, and below `/_local` and `/ledger` what tests turn and read."""

import hmac
import itertools
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http import HTTPStatus

from flask import Flask, Request, Response, jsonify, request
from pydantic import BaseModel, Field, ValidationError

from bot.local.model.conversation import Refused, read_request
from bot.local.model.faults import Fault, FaultKind, Faults
from bot.local.model.ledger import Entry, Ledger
from bot.local.model.pace import Metronome, Pace
from bot.local.model.playing import Playing
from bot.local.model.reply import error, message, whole
from bot.local.model.scenarios import answer
from bot.serving import Serving

LOCAL_KEY = "sk-ant-local-scripted-model"
"""The API key that the scripted model takes unless told otherwise. It opens nothing else."""

THREADS = 64
"""Each answer holds one while it streams; a build has about four agents."""

_REFUSALS = {
    FaultKind.RATE_LIMITED: (429, "rate_limit_error", "This request would exceed your rate limit"),
    FaultKind.SERVER_ERROR: (500, "api_error", "Internal server error"),
    FaultKind.OVERLOADED: (529, "overloaded_error", "Overloaded"),
    FaultKind.NO_CREDIT: (
        400,
        "invalid_request_error",
        "Your credit balance is too low to access the Anthropic API.",
    ),
}


@dataclass(slots=True)
class _World:
    """What the routes share. `pace` is replaced whole, so that reading it needs no lock."""

    api_key: str
    pace: Pace
    ledger: Ledger = field(default_factory=Ledger)
    faults: Faults = field(default_factory=Faults)
    stopping: threading.Event = field(default_factory=threading.Event)
    calls: Iterator[int] = field(default_factory=lambda: itertools.count(1))


class _PaceOrder(BaseModel):
    """Body of `POST /_local/pace`; what is left out stays."""

    rate: float | None = Field(None, ge=0)
    ttft_s: float | None = Field(None, ge=0)


_MODELS = ("claude-opus-5", "claude-sonnet-5", "claude-haiku-4-5")


def _refusal(status: int, kind: str, text: str, *, retry_after_s: float | None = None) -> Response:
    headers = {} if retry_after_s is None else {"retry-after": f"{retry_after_s:g}"}
    return Response(json.dumps(error(kind, text)), status, headers, mimetype="application/json")


def _check_headers(sent: Request, api_key: str) -> None:
    # Anthropic takes a key in either header: its newer clients send it as a bearer.
    key = sent.headers.get("x-api-key") or sent.headers.get("authorization", "").removeprefix("Bearer ")
    if not key:
        raise Refused(401, "authentication_error", "x-api-key header is required")
    if not hmac.compare_digest(key.encode(), api_key.encode()):
        raise Refused(401, "authentication_error", "invalid x-api-key")
    if not sent.headers.get("anthropic-version"):
        raise Refused(400, "invalid_request_error", "anthropic-version: header is required")


def _messages(world: _World) -> Response:
    _check_headers(request, world.api_key)
    start = time.monotonic()
    asked = read_request(request.get_data())
    agent = request.headers.get("x-swarm-agent", "")
    fault = world.faults.strike(agent)
    if fault and fault.kind in _REFUSALS:
        return _refusal(*_REFUSALS[fault.kind], retry_after_s=fault.retry_after)
    reply = answer(asked)
    number = world.ledger.open(
        Entry(
            id=message(asked)["id"],
            run=request.headers.get("x-swarm-run", ""),
            agent=agent,
            model=asked.model,
            input_tokens=asked.input_tokens,
            start=start,
        )
    )
    playing = Playing(
        asked,
        reply,
        Metronome(world.pace, start, time.monotonic, world.stopping.wait),
        world.ledger,
        number,
        fault.kind if fault else None,
        world.stopping,
        request.environ["waitress.client_disconnected"],
    )
    headers = {"request-id": f"req_local_{next(world.calls)}", "cache-control": "no-cache"}
    if asked.stream:
        return Response(playing.events(), 200, headers, mimetype="text/event-stream")
    content = json.dumps(whole(asked, reply)).encode()
    headers["content-length"] = str(len(content))
    return Response(playing.body(content), 200, headers, mimetype="application/json")


def _models(world: _World) -> Response:
    _check_headers(request, world.api_key)
    models = [{"type": "model", "id": name, "display_name": name} for name in _MODELS]
    return jsonify(data=models, has_more=False, first_id=_MODELS[0], last_id=_MODELS[-1])


def _set_pace(world: _World) -> Response:
    order = _PaceOrder.model_validate_json(request.get_data())
    world.pace = Pace(
        world.pace.rate_tokens_per_s if order.rate is None else order.rate,
        world.pace.ttft_s if order.ttft_s is None else order.ttft_s,
    )
    return jsonify(rate=world.pace.rate_tokens_per_s, ttft_s=world.pace.ttft_s)


def _order_fault(world: _World) -> Response:
    fault = Fault.model_validate_json(request.get_data())
    world.faults.order(fault)
    return jsonify(fault.model_dump())


def _app(world: _World) -> Flask:
    app = Flask("scripted-model")

    @app.post("/v1/messages")
    def messages() -> Response:
        return _messages(world)

    @app.get("/v1/models")
    def models() -> Response:
        return _models(world)

    @app.get("/ledger")
    def ledger() -> Response:
        return jsonify(world.ledger.rows())

    @app.post("/_local/pace")
    def pace() -> Response:
        return _set_pace(world)

    @app.post("/_local/faults")
    def faults() -> Response:
        return _order_fault(world)

    @app.errorhandler(Refused)
    def refused(why: Refused) -> Response:
        return _refusal(why.status, why.kind, str(why))

    @app.errorhandler(ValidationError)
    def wrong_order(why: ValidationError) -> Response:
        return _refusal(400, "invalid_request_error", str(why))

    @app.errorhandler(HTTPStatus.NOT_FOUND)
    def not_found(_: Exception) -> Response:
        return _refusal(404, "not_found_error", f"{request.method} {request.path} does not exist")

    return app


@dataclass(frozen=True, slots=True)
class Running:
    """A scripted model that serves."""

    base_url: str
    """"http://127.0.0.1:PORT", without /v1, as `ANTHROPIC_BASE_URL` wants it."""
    api_key: str = field(repr=False)
    stop: Callable[[], None]
    """Break off what is being said, free the port, return when that is done."""


def start(
    *,
    port: int = 0,
    rate: float = 80.0,
    ttft_s: float = 0.5,
    api_key: str = LOCAL_KEY,
    host: str = "127.0.0.1",
) -> Running:
    """Serve in threads of this process; the port is open on return.

    Args:
        port: 0 for any that is free.
        rate: tokens per second of each answer; 0 for as fast as it goes.
        ttft_s: seconds from a request to its first token.
        api_key: what callers have to send as `x-api-key` or as a bearer.
        host: address to listen on.
    """
    world = _World(api_key, Pace(rate, ttft_s))
    serving = Serving(
        _app(world),
        name="scripted-model",
        host=host,
        port=port,
        threads=THREADS,
        channel_request_lookahead=1,  # so that an answer can tell that its caller has left
        ident="scripted-model",
    )

    def stop() -> None:
        world.stopping.set()
        serving.stop()

    return Running(serving.url, api_key, stop)
