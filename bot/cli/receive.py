"""`swarm-bot receive`: sign a stored webhook payload and post it to a running bot, as GitHub would."""

import hashlib
import hmac
import uuid

import httpx

from bot.core.errors import Transient


def deliver(url: str, *, event: str, body: bytes, secret: str, delivery: str | None = None) -> httpx.Response:
    """Post a payload with GitHub's headers; the answer, whatever its status.

    Raises:
        Transient: nobody answers at the address.
    """
    signature = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "GitHub-Hookshot/swarm-bot",
        "X-GitHub-Event": event,
        "X-GitHub-Delivery": delivery or str(uuid.uuid4()),
        "X-Hub-Signature-256": f"sha256={signature}",
    }
    try:
        return httpx.post(url, content=body, headers=headers, timeout=10.0)
    except httpx.HTTPError as error:
        raise Transient(f"{url} did not answer: {type(error).__name__}: {error}") from error
