"""JSON web tokens, installation tokens and users' tokens."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from bot.local.github.server import Running, start
from tests.local.github.conftest import Rest, app_jwt, client, installation_token, integration


def test_the_app_finds_its_installation_and_acts_as_its_bot(hub: Running) -> None:
    """JWT, installation, token, comment: the author is the App's bot."""
    app = integration(hub).get_app()
    assert (app.id, app.slug) == (hub.app_id, "swarm-build")
    repo = client(hub, installation_token(hub)).get_repo("acme/arcade")
    comment = repo.create_issue("A title").create_comment("Hello")
    assert (comment.user.login, comment.user.type) == ("swarm-build[bot]", "Bot")


@pytest.mark.parametrize(
    ("claims", "status", "words"),
    [
        ({"exp": 3600}, 401, "too far in the future"),
        ({"exp": -5}, 401, "Expiration time"),
        ({"iat": 900, "exp": 950}, 401, "Issued at"),
        ({"iss": "1"}, 404, "Integration not found"),
    ],
)
def test_a_jwt_with_wrong_claims_is_refused(
    hub: Running, claims: dict[str, Any], status: int, words: str
) -> None:
    """Times outside GitHub's window, in seconds from now, and unknown issuers."""
    now = int(time.time())
    said = {name: now + value if isinstance(value, int) else value for name, value in claims.items()}
    answer = Rest(hub.base_url, app_jwt(hub, **said))("GET", "/app")
    assert answer.status_code == status
    assert words in answer.json()["message"]


def test_a_jwt_by_another_key_is_refused(hub: Running) -> None:
    """The signature counts, not the claims."""
    other = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    assert Rest(hub.base_url, app_jwt(hub, key=other.decode()))("GET", "/app").status_code == 401


def test_a_jwt_opens_nothing_but_the_app(hub: Running, rest: Callable[[str], Rest]) -> None:
    """Repositories need an installation token, and /app needs the JWT."""
    assert Rest(hub.base_url, app_jwt(hub))("GET", "/repos/acme/arcade").status_code == 403
    assert rest("bot")("GET", "/app").status_code == 401
    assert rest("alice")("GET", "/app").status_code == 401


def test_installation_tokens_are_long_and_live_an_hour(hub: Running) -> None:
    """The form since April 2026, and expiry: after an hour the token is worth nothing."""
    token = installation_token(hub)
    assert token.startswith(f"ghs_{hub.app_id}_")
    assert len(token) > 500
    stored = hub.world.store.tokens.one(value=token)
    assert stored is not None
    assert stored.expires_at is not None
    left = datetime.fromisoformat(stored.expires_at) - datetime.now(UTC)
    assert timedelta(minutes=59) < left <= timedelta(hours=1)


def test_an_expired_token_is_refused(tmp_path: Path) -> None:
    """Time is an argument, so the hour can pass at once."""
    offset = [timedelta(0)]
    hub = start(tmp_path / "github", clock=lambda: datetime.now(UTC) + offset[0])
    try:
        bot = Rest(hub.base_url, installation_token(hub))
        assert bot("GET", "/repos/acme/arcade").status_code == 200
        offset[0] = timedelta(minutes=61)
        answer = bot("GET", "/repos/acme/arcade")
        assert (answer.status_code, answer.json()["message"]) == (401, "Bad credentials")
    finally:
        hub.stop()


def test_a_token_can_be_limited_to_a_repository(hub: Running) -> None:
    """Other repositories of the installation are then out of reach."""
    hub.create_repository("acme/secret", {"a": b"b"}, private=True)
    arcade = hub.world.repository("acme", "arcade")
    assert arcade is not None
    narrow = Rest(hub.base_url, installation_token(hub, repository_ids=[arcade.id]))
    wide = Rest(hub.base_url, installation_token(hub))
    assert narrow("GET", "/repos/acme/secret").status_code == 404
    assert wide("GET", "/repos/acme/secret").status_code == 200
    names = [repo["name"] for repo in narrow("GET", "/installation/repositories").json()["repositories"]]
    assert names == ["arcade"]


def test_a_token_cannot_ask_for_more_than_was_granted(hub: Running) -> None:
    """Neither for a permission nor for a repository."""
    app = integration(hub)
    path = f"/app/installations/{app.get_repo_installation('acme', 'arcade').id}/access_tokens"
    jwt_only = Rest(hub.base_url, app_jwt(hub))
    for body in ({"permissions": {"administration": "write"}}, {"repositories": ["nowhere"]}):
        assert jwt_only("POST", path, body).status_code == 422


def test_a_revoked_token_is_refused(hub: Running, rest: Callable[[str], Rest]) -> None:
    """DELETE /installation/token ends it."""
    bot = rest("bot")
    assert bot("DELETE", "/installation/token").status_code == 204
    assert bot("GET", "/repos/acme/arcade").status_code == 401


def test_a_suspended_installation_is_closed(hub: Running, rest: Callable[[str], Rest]) -> None:
    """Its tokens answer 403 until it is unsuspended, and the App is told by webhook."""
    bot = rest("bot")
    number = integration(hub).get_repo_installation("acme", "arcade").id
    change = f"{hub.web_url}/_local/installations/{number}"
    assert httpx.post(f"{change}/suspend").status_code == 204
    assert bot("GET", "/repos/acme/arcade").status_code == 403
    assert httpx.post(f"{change}/unsuspend").status_code == 204
    assert bot("GET", "/repos/acme/arcade").status_code == 200


def test_requests_without_a_user_agent_or_with_a_foreign_version_are_refused(hub: Running) -> None:
    """As GitHub does, whoever asks."""
    url = f"{hub.base_url}/repos/acme/arcade"
    assert httpx.get(url, headers={"User-Agent": ""}).status_code == 403
    assert httpx.get(url, headers={"X-GitHub-Api-Version": "2031-01-01"}).status_code == 400
    assert httpx.get(url, headers={"X-GitHub-Api-Version": "2022-11-28"}).status_code == 200
