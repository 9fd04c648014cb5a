"""The model as a machine sees it: `POST /v1/messages`, for the agent that its bearer and its connection both name."""

import logging
from collections.abc import Callable, Iterator
from functools import partial

from flask import Flask, Request, Response, request
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge

from bot.core.errors import UserError
from bot.core.models import Spender, VmId
from bot.gateway.accounts import Accounts
from bot.gateway.answers import Answer, Head
from bot.gateway.messages import PING, error_body, error_event, error_type, read_call
from bot.gateway.places import CALLS, TOO_MANY_CALLS, Places
from bot.gateway.upstream import Asked, Upstream

log = logging.getLogger(__name__)

LIMIT_BYTES = 32 << 20
"""Anthropic's own limit of a request."""

_EVENTS = "text/event-stream"
_HOLD_S = 3.0
_READ_S = 15.0

Caller = Callable[[int], VmId | None]
"""Which machine a connection comes from, by its source port; None if nobody of ours made it."""


def create_app(
    *,
    accounts: Accounts,
    upstream: Upstream,
    caller: Caller,
    max_tokens: int,
    ping_s: float,
    hold_s: float = _HOLD_S,
) -> Flask:
    """The WSGI application.

    Args:
        accounts: who may spend.
        upstream: where calls go.
        caller: who called, by the connection.
        max_tokens: the ceiling of one answer.
        ping_s: pause between the pings of a stream that has not begun.
        hold_s: how long an answer may take to begin before the first ping is sent, and its status with it.
    """
    app = Flask(__name__)
    app.config["MAX_CONTENT_LENGTH"] = LIMIT_BYTES
    places = Places(CALLS)

    @app.get("/healthz")
    def healthz() -> Response:
        return Response("ok\n", content_type="text/plain")

    @app.post("/v1/messages")
    def messages() -> Response:
        spender = _spender(accounts, caller)
        if spender is None:
            return _error(401, "this bearer is not valid on this machine")
        if not places.take(spender.vm):
            return _error(429, TOO_MANY_CALLS)
        leave = partial(places.leave, spender.vm)
        try:
            response = _answered(upstream, spender, max_tokens=max_tokens, ping_s=ping_s, hold_s=hold_s)
        except BaseException:
            leave()
            raise
        response.call_on_close(leave)
        return response

    @app.errorhandler(HTTPException)
    def refused(error: HTTPException) -> Response:
        if isinstance(error, RequestEntityTooLarge):
            return _error(413, f"a request may have {LIMIT_BYTES} bytes")
        return _error(error.code or 500, f"this gateway serves POST /v1/messages only ({error.name})")

    @app.errorhandler(Exception)
    def failed(error: Exception) -> Response:
        log.error("a model call failed in the gateway", exc_info=error)
        return _error(500, "the gateway failed; the operator's log says why")

    return app


def _answered(
    upstream: Upstream, spender: Spender, *, max_tokens: int, ping_s: float, hold_s: float
) -> Response:
    raw = request.get_data(cache=False)
    try:
        call = read_call(raw, max_tokens)
    except UserError as error:
        return _error(400, str(error))
    headers = _forwarded(request)
    answer = upstream.ask(Asked(spender, call, raw, request.query_string.decode("latin-1"), headers))
    if not call.stream:
        return _respond(answer.head(None, even_if_waiting=True), _body(answer, None))
    head = answer.head(hold_s)
    if (
        head is None
    ):  # the call has to wait: the line is kept alive, and what comes of it is told in the stream
        return _respond(Head(200, _EVENTS), _body(answer, ping_s))
    return _respond(head, _body(answer, None))


def _spender(accounts: Accounts, caller: Caller) -> Spender | None:
    vm = caller(int(request.environ.get("REMOTE_PORT") or 0))
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    bearer = request.headers.get("x-api-key") or (token.strip() if scheme.lower() == "bearer" else "")
    if vm is None or not bearer:
        return None
    spender = accounts.spender(bearer)
    if spender is None or spender.vm != vm:
        log.warning("refused a bearer from machine %s", vm)
        return None
    return spender


def _forwarded(asked: Request) -> dict[str, str]:
    """The headers that go along: what the API's versions and betas are chosen by. No credential has such a name."""
    headers = {
        name.lower(): value for name, value in asked.headers.items() if name.lower().startswith("anthropic-")
    }
    return {**headers, "content-type": "application/json"}


def _body(answer: Answer, ping_s: float | None) -> Iterator[bytes]:
    """The answer's bytes as they come. With `ping_s`, the status is out already: pings until it begins, and an error
    becomes an event.
    """
    if ping_s is not None:
        yield PING
        while (head := answer.head(ping_s, even_if_waiting=True)) is None:
            if answer.ended:
                return
            yield PING
        if head.status >= 400:
            yield error_event(_rest(answer), head.status)
            return
    position, over = 0, False
    while not over:
        data, over = answer.read(position, _READ_S)
        position += len(data)
        if data:
            yield data


def _rest(answer: Answer) -> bytes:
    over = False
    while not over:
        data, over = answer.read(0, _READ_S)
    return data


def _respond(head: Head | None, body: Iterator[bytes]) -> Response:
    if head is None:
        return _error(500, "the gateway failed; the operator's log says why")
    response = Response(body, status=head.status, content_type=head.content_type)
    if head.request_id:
        response.headers["request-id"] = head.request_id
    return response


def _error(status: int, message: str) -> Response:
    return Response(error_body(error_type(status), message), status=status, content_type="application/json")
