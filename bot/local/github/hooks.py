"""Webhooks out: built when something happens, signed over the exact bytes, sent from threads, never repeated."""

import hashlib
import hmac
import json
import secrets
import threading
import time
import uuid
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import httpx

from bot.local.github.faults import Faults
from bot.local.github.permissions import allows
from bot.local.github.records import App, Delivery, Installation, Repository
from bot.local.github.shapes import common
from bot.local.github.violations import Violations
from bot.local.github.world import World

TIMEOUT_S = 10.0
LARGEST_BYTES = 25 * 2**20
# An App hears of these only with the permission that covers them.
_PERMISSION = {
    "issues": "issues:read",
    "issue_comment": "issues:read",
    "label": "metadata:read",
    "pull_request": "pull_requests:read",
    "pull_request_review": "pull_requests:read",
    "pull_request_review_comment": "pull_requests:read",
    "push": "contents:read",
    "check_run": "checks:read",
    "check_suite": "checks:read",
    "deployment": "deployments:read",
    "deployment_status": "deployments:read",
    "repository": "metadata:read",
}
_ZEN = "Responsive is better than fast."


class Outbox:
    """Turns events into deliveries and sends them."""

    def __init__(self, world: World, faults: Faults, violations: Violations) -> None:
        self._world = world
        self._faults = faults
        self._violations = violations
        self._client = httpx.Client(timeout=TIMEOUT_S, trust_env=False, follow_redirects=False)
        self._senders = ThreadPoolExecutor(max_workers=8, thread_name_prefix="github-hook")
        self._waiting: set[threading.Timer] = set()
        self._open = 0
        self._idle = threading.Condition()
        self._stopped = False
        world.listeners.append(self.on_event)

    def on_event(
        self, event: str, action: str | None, repo: Repository | None, payload: dict[str, Any], sender: str
    ) -> None:
        """Deliver an event to every App that is installed there and listens."""
        if repo is None:
            return
        only = payload.pop("_app", None)
        for installation in self._world.installations_on(repo):
            app = self._world.store.apps.get(installation.app_id)
            if app is None or installation.suspended_at or only not in (None, app.id):
                continue
            if event in installation.events and allows(installation.permissions, _PERMISSION[event]):
                self.deliver(app, event, action, payload, sender, repo=repo, installation=installation)

    def deliver(
        self,
        app: App,
        event: str,
        action: str | None,
        payload: Mapping[str, Any],
        sender: str | None,
        *,
        repo: Repository | None = None,
        installation: Installation | None = None,
    ) -> None:
        """Build, record and send one event to one App. Without a webhook address nothing happens."""
        if not app.webhook_url:
            return
        body = self._complete(action, payload, sender, repo, installation)
        self._violations.add("webhook", f"{event}.{action}", self._world.description.bad_webhook(event, body))
        text = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
        if len(text.encode()) > LARGEST_BYTES:
            return  # GitHub does not send these
        rule = self._faults.take_rule(f"{event}.{action}")
        guid = str(uuid.uuid4())
        for _ in range(rule.copies):
            delivery = Delivery(
                id=self._world.store.next_id("delivery", first=7_000_000),
                app_id=app.id,
                guid=guid,
                event=event,
                action=action,
                installation_id=installation.id if installation else None,
                repository_id=repo.id if repo else None,
                url=app.webhook_url,
                headers=_headers(app, event, guid, text.encode()),
                body=text,
                delivered_at=self._world.now(),
            )
            self._world.store.deliveries.put(delivery)
            if rule.lose:
                self._record(delivery, 0.0, 502, "failed to connect to host")
            else:
                self._later(rule.delay_s, delivery)

    def redeliver(self, old: Delivery) -> Delivery:
        """Send a recorded delivery once more, with its id and its bytes, to where the App listens now."""
        app = self._world.store.apps.get(old.app_id)
        url = app.webhook_url if app and app.webhook_url else old.url
        new = replace(
            old,
            id=self._world.store.next_id("delivery", first=7_000_000),
            url=url,
            redelivery=True,
            status="pending",
            status_code=0,
            delivered_at=self._world.now(),
            response_headers={},
            response_body="",
        )
        self._world.store.deliveries.put(new)
        self._later(0.0, new)
        return new

    def ping(self, app: App) -> None:
        """What GitHub sends when an App's webhook is made."""
        hook = {
            "type": "App",
            "id": app.hook_id,
            "name": "web",
            "active": True,
            "events": list(app.events),
            "config": {
                "content_type": "json",
                "insecure_ssl": "0",
                "secret": "********",
                "url": app.webhook_url,
            },
            "updated_at": app.created_at,
            "created_at": app.created_at,
            "app_id": app.id,
            "deliveries_url": f"{self._world.api_url}/app/hook/deliveries",
        }
        self.deliver(app, "ping", None, {"zen": _ZEN, "hook_id": app.hook_id, "hook": hook}, None)

    def wait_idle(self, timeout_s: float) -> bool:
        """Wait until nothing is on its way; False if that takes longer."""
        with self._idle:
            return self._idle.wait_for(lambda: self._open == 0, timeout_s)

    def stop(self) -> None:
        """Send nothing more and wait for what is being sent."""
        with self._idle:
            self._stopped = True
            waiting, self._waiting = self._waiting, set()
        for timer in waiting:
            timer.cancel()
        self._senders.shutdown(wait=True, cancel_futures=True)
        self._client.close()

    def _complete(
        self,
        action: str | None,
        payload: Mapping[str, Any],
        sender: str | None,
        repo: Repository | None,
        installation: Installation | None,
    ) -> dict[str, Any]:
        body: dict[str, Any] = {"action": action} if action else {}
        body |= payload
        if repo:
            body["repository"] = common.repository(self._world, repo)
            owner = self._world.account(repo.owner)
            if owner and owner.type == "Organization":
                body["organization"] = common.organization(self._world, owner.login)
        if sender:
            body["sender"] = common.user(self._world, sender)
        if installation and "installation" not in body:
            node = common.node_id("IntegrationInstallation", installation.id)
            body["installation"] = {"id": installation.id, "node_id": node}
        return body

    def _later(self, delay_s: float, delivery: Delivery) -> None:
        with self._idle:
            if self._stopped:
                return
            self._open += 1
            if delay_s <= 0:
                self._senders.submit(self._send, delivery)
                return
            timer = threading.Timer(delay_s, self._due, (delivery,))
            timer.daemon = True
            self._waiting = {other for other in self._waiting if other.is_alive()} | {timer}
            timer.start()

    def _due(self, delivery: Delivery) -> None:
        with self._idle:
            if not self._stopped:
                self._senders.submit(self._send, delivery)

    def _send(self, delivery: Delivery) -> None:
        started = time.monotonic()
        headers: Mapping[str, str] = {}
        text = ""
        try:
            answer = self._client.post(delivery.url, content=delivery.body.encode(), headers=delivery.headers)
            code, headers, text = answer.status_code, answer.headers, answer.text[:10_000]
            status = "OK" if answer.is_success else f"Invalid HTTP Response: {code}"
        except httpx.TimeoutException:
            code, status = 504, "timed out"
        except httpx.HTTPError:
            code, status = 502, "failed to connect to host"
        try:
            self._record(delivery, time.monotonic() - started, code, status, dict(headers), text)
        finally:
            with self._idle:
                self._open -= 1
                self._idle.notify_all()

    def _record(
        self,
        delivery: Delivery,
        duration_s: float,
        code: int,
        status: str,
        headers: Mapping[str, str] | None = None,
        text: str = "",
    ) -> None:
        with self._world.store.lock:
            self._world.store.deliveries.put(
                replace(
                    delivery,
                    duration_s=duration_s,
                    status=status,
                    status_code=code,
                    response_headers=dict(headers or {}),
                    response_body=text,
                )
            )


def _headers(app: App, event: str, guid: str, body: bytes) -> dict[str, str]:
    headers = {
        "Accept": "*/*",
        "Content-Type": "application/json",
        "User-Agent": f"GitHub-Hookshot/{secrets.token_hex(4)[:7]}",
        "X-GitHub-Delivery": guid,
        "X-GitHub-Event": event,
        "X-GitHub-Hook-ID": str(app.hook_id),
        "X-GitHub-Hook-Installation-Target-ID": str(app.id),
        "X-GitHub-Hook-Installation-Target-Type": "integration",
    }
    if app.webhook_secret:
        secret = app.webhook_secret.encode()
        headers["X-Hub-Signature"] = "sha1=" + hmac.new(secret, body, hashlib.sha1).hexdigest()
        headers["X-Hub-Signature-256"] = "sha256=" + hmac.new(secret, body, hashlib.sha256).hexdigest()
    return headers
