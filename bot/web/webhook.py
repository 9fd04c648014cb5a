"""`POST /webhook`: verify, parse, store and queue in one transaction. Never calls GitHub, never waits for a build."""

import hashlib
import hmac
import logging
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from flask import Blueprint, Response, jsonify, request
from werkzeug.exceptions import RequestEntityTooLarge

from bot.core import policy
from bot.core.codec import dump
from bot.core.errors import BotError, Transient, Unauthentic, UserError
from bot.core.events import Event, Ignored, RebuildRequested, parse, partition
from bot.core.installations import InstallationEvent
from bot.pipeline.journal.runs import Runs
from bot.web.setup import AppIdentity

log = logging.getLogger(__name__)

BODY_LIMIT_BYTES = 25 * 1024 * 1024
"""GitHub sends no larger payload (docs: "Webhook events and payloads", payload cap)."""

Enqueue = Callable[[Any, str, str], None]
"""(open connection of the journal's database, delivery id, partition: the repository's full name)."""

ANY_PLAUSIBLE_LABEL = ""
"""A repository may have chosen a label of its own, which only the worker can look up."""

_SAME_PRESS_S = 600
_DELIVERY_ID = re.compile(r"[A-Za-z0-9-]{1,64}")

_STATUS: dict[type[BotError], int] = {Unauthentic: 401, UserError: 400, Transient: 503}


@dataclass(frozen=True, slots=True)
class Intake:
    """What the edge needs: the secret, the journal, the queue, and what tells our events from others.

    The identity is asked for with every webhook, because set-up may give us one while we run.
    """

    identity: Callable[[], AppIdentity]
    runs: Runs
    enqueue: Enqueue
    trigger_label: str


def verify(secret: str, body: bytes, signature: str) -> None:
    """Check X-Hub-Signature-256 ("sha256=<hex>") over the raw body, in constant time.

    Raises:
        Unauthentic: no secret is configured, or the signature is missing or wrong.
    """
    if not secret:
        raise Unauthentic(
            "no webhook secret is configured, so that no webhook can be trusted; open /setup, or set GITHUB_WEBHOOK_SECRET"
        )
    expected = "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    if not hmac.compare_digest(expected.encode(), signature.encode("utf-8", "surrogateescape")):
        raise Unauthentic("the signature in X-Hub-Signature-256 does not match the body")


def webhook(intake: Intake) -> Blueprint:
    """The route, with its answers to everything that can go wrong."""
    routes = Blueprint("webhook", __name__)

    @routes.post("/webhook")
    def receive() -> tuple[Response, int]:
        body, identity = _body(), intake.identity()
        verify(identity.webhook_secret, body, request.headers.get("X-Hub-Signature-256", ""))
        event, delivery = _headers()
        parsed = _ours(intake, identity.app_id, event, body)
        if isinstance(parsed, Ignored):
            log.info("delivery %s (%s) ignored: %s", delivery, event, parsed.reason)
            return _answer(202, "ignored", parsed.reason)
        new = intake.runs.accept(
            delivery,
            event,
            _fingerprint(event, parsed, body),
            dump(parsed),
            lambda db: intake.enqueue(db, delivery, partition(parsed)),
        )
        log.info("delivery %s (%s) %s", delivery, event, "queued" if new else "was known")
        return _answer(202, "queued") if new else _answer(200, "duplicate", "this delivery is known")

    @routes.errorhandler(BotError)
    def refused(error: BotError) -> tuple[Response, int]:
        status = next((code for kind, code in _STATUS.items() if isinstance(error, kind)), 500)
        log.warning("delivery %s: %s: %s", request.headers.get("X-GitHub-Delivery", "?"), status, error)
        # What a database driver says may name hosts and files; the sender of a webhook is not who needs them.
        reason = "the database is not available; deliver again later" if status == 503 else str(error)
        return _answer(status, "refused", reason)

    @routes.errorhandler(RequestEntityTooLarge)
    def too_large(_error: RequestEntityTooLarge) -> tuple[Response, int]:
        log.warning("a body of more than %s bytes was refused unread", BODY_LIMIT_BYTES)
        return _answer(413, "refused", "the body is larger than 25 MB")

    return routes


def _fingerprint(event: str, parsed: Event, body: bytes) -> str:
    """The same for a webhook that comes again under another id.

    A button may be pressed twice with nothing changed in what GitHub says of it: that counts as once for minutes only.
    """
    pressed = b"%d" % (time.time() // _SAME_PRESS_S) if isinstance(parsed, RebuildRequested) else b""
    return hashlib.sha256(event.encode() + b"\0" + body + pressed).hexdigest()


def _body() -> bytes:
    """The raw body, refused by its announced length before a byte is read, and by count if it announces none."""
    if (request.content_length or 0) > BODY_LIMIT_BYTES:
        raise RequestEntityTooLarge
    # Werkzeug cuts a chunked body at the limit without a word; one byte more shows that there was more.
    request.max_content_length = BODY_LIMIT_BYTES + 1
    body = request.get_data(cache=False, parse_form_data=False)
    if len(body) > BODY_LIMIT_BYTES:
        raise RequestEntityTooLarge
    return body


def _headers() -> tuple[str, str]:
    event = request.headers.get("X-GitHub-Event", "")
    delivery = request.headers.get("X-GitHub-Delivery", "")
    if not event or not delivery:
        raise UserError("X-GitHub-Event and X-GitHub-Delivery are required")
    if len(event) > 64 or not _DELIVERY_ID.fullmatch(delivery):
        raise UserError("X-GitHub-Event or X-GitHub-Delivery is not of the form that GitHub sends")
    return event, delivery


def _ours(intake: Intake, app_id: str, event: str, body: bytes) -> Event | Ignored:
    """The event, unless it asks nothing of us: what other people write in their issues is not stored."""
    parsed = parse(event, body, app_id=app_id)
    if isinstance(parsed, Ignored | InstallationEvent):
        return parsed
    if not any(policy.concerns(parsed, label) for label in (intake.trigger_label, ANY_PLAUSIBLE_LABEL)):
        return Ignored("it asks nothing of us")
    return parsed


def _answer(status: int, state: str, reason: str = "") -> tuple[Response, int]:
    return jsonify({"state": state} | ({"reason": reason} if reason else {})), status
