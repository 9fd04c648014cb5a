"""The REST server as one Flask app: who may ask, what errors look like, which faults strike, and the routes' rooms."""

import time
from collections.abc import Iterator

from flask import Flask, Response, g, request
from werkzeug.exceptions import HTTPException

from bot.core.errors import NotFound, Permanent
from bot.local.vers import api_account, api_commits, api_inside, api_local, api_public, api_vms
from bot.local.vers.faults import Fault, FaultKind
from bot.local.vers.inside import AgentUnreachable
from bot.local.vers.line import LabError
from bot.local.vers.machines import StillUsed
from bot.local.vers.wire import Refused, answer, empty, failure, plain
from bot.local.vers.world import World, find_caller, world

PREFIX = "/api/v1"
_UNAUTHENTICATED = (f"{PREFIX}/public/", f"{PREFIX}/keys/validate")


def create_app(parts: World) -> Flask:
    """The app of one server."""
    app = Flask("bot.local.vers")
    app.extensions["vers"] = parts
    app.json.sort_keys = False  # type: ignore[attr-defined]  # of the default provider
    app.before_request(_note_time)
    app.before_request(_authenticate)
    app.before_request(_fault_before)
    app.after_request(_fault_after)
    app.register_error_handler(Refused, lambda refused: refused.response)
    app.register_error_handler(NotFound, lambda error: failure(404, str(error)))
    app.register_error_handler(StillUsed, lambda error: failure(409, str(error)))
    for error in (LabError, AgentUnreachable, Permanent):
        app.register_error_handler(error, lambda error: failure(500, str(error)))
    # An unknown path or method gets the framework's status without a body
    app.register_error_handler(HTTPException, lambda error: empty(error.code or 500))
    for rooms in (api_vms, api_inside, api_commits, api_public, api_account):
        app.register_blueprint(rooms.routes, url_prefix=PREFIX)
    app.register_blueprint(api_local.routes, url_prefix="/_local")
    app.add_url_rule("/health", view_func=_health)
    return app


def _health() -> Response:
    counters = {f"{kind}_connections": number for kind, number in world().open_connections().items()}
    return answer({"status": "ok", **counters})


def _note_time() -> None:
    g.began_at = time.monotonic()


def _authenticate() -> Response | None:
    if not request.path.startswith(PREFIX) or request.path.startswith(_UNAUTHENTICATED):
        return None
    found = find_caller(world().store.read(), request.headers.get("Authorization", ""))
    if found is None:
        return plain(403, "403 Forbidden")  # the gateway's, before the API sees anything
    g.caller = found
    return None


def _route() -> str:
    return f"{request.method} {request.path.removeprefix(PREFIX)}"


def _of_fault(fault: Fault) -> Response:
    if fault.body is not None:
        return plain(fault.status, fault.body)
    if fault.status == 503:
        return plain(503, "503 Service unavailable")  # and no Retry-After
    return failure(fault.status, "internal server error")


def _fault_before() -> Response | None:
    if request.path.startswith("/_local"):
        return None
    world().conditions.before(_route())
    delay = world().faults.take(_route(), FaultKind.DELAY)
    if delay:
        time.sleep(delay.seconds)
    before = world().faults.take(_route(), FaultKind.BEFORE)
    return _of_fault(before) if before else None


def _fault_after(response: Response) -> Response:
    if request.path.startswith("/_local") or response.status_code >= 400:
        return response
    world().conditions.after(_route(), g.began_at)
    fault = world().faults.take(_route(), FaultKind.AFTER, FaultKind.CUT)
    if fault is None:
        return response
    if fault.kind is FaultKind.AFTER:
        return _of_fault(fault)
    if response.is_streamed:
        response.response = _without_last(response.iter_encoded())
    else:
        # A length that never comes true: the server closes the connection in the middle of the body
        response.headers["Content-Length"] = str(len(response.get_data()) + 1)
    return response


def _without_last(frames: Iterator[bytes]) -> Iterator[bytes]:
    """All frames of a stream but the exit; then the connection breaks."""
    for frame in frames:
        if b'"type": "chunk"' not in frame:
            raise ConnectionAbortedError("cut by a fault")
        yield frame
