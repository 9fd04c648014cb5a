"""Who calls: JSON web tokens of Apps, installation tokens, users' tokens."""

import base64
import binascii
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from bot.local.github.clock import Clock, in_one_hour, moment
from bot.local.github.records import ROLES, App, Installation, Repository, Token
from bot.local.github.refusals import Refusal
from bot.local.github.world import World

LONGEST_JWT_S = 600
_UNDECODABLE = "A JSON web token could not be decoded"
# Since 2026-04-27 installation tokens are "ghs_<app id>_<JWT>", about 520 characters.
_TOKEN_CHARACTERS = 520


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sent a request: nobody, a person, an App by its JWT, or an installation of an App."""

    login: str = ""
    """Empty for nobody and for an App by JWT; "slug[bot]" for an installation."""
    app: App | None = None
    installation: Installation | None = None
    token: Token | None = None

    @property
    def name(self) -> str:
        """What a rate limit counts by."""
        if self.installation:
            return f"installation {self.installation.id}"
        return f"app {self.app.id}" if self.app else self.login or "nobody"

    @property
    def via_app(self) -> int | None:
        """Id of the App that acts, for `performed_via_github_app`."""
        return self.app.id if self.app else None


def identify(world: World, authorization: str | None) -> Caller:
    """The caller of an Authorization header.

    Raises:
        Refusal: 401 for anything that is not known and valid; 403 for a suspended installation.
    """
    if not authorization:
        return Caller()
    scheme, _, value = authorization.partition(" ")
    value = value.strip()
    if scheme.lower() == "basic":
        value = _basic_password(value)
    elif scheme.lower() not in ("bearer", "token"):
        raise Refusal(401, "Bad credentials")
    if value.startswith("eyJ"):
        return Caller(app=app_of_jwt(world, value))
    token = world.store.tokens.one(value=value)
    if token is None or _expired(token, world.clock):
        raise Refusal(401, "Bad credentials")
    if token.login is not None:
        return Caller(login=token.login, token=token)
    installation = world.store.installations.get(token.installation_id)
    app = world.store.apps.get(installation.app_id) if installation else None
    if installation is None or app is None:
        raise Refusal(401, "Bad credentials")
    if installation.suspended_at:
        raise Refusal(403, "This installation has been suspended")
    return Caller(world.bot_login(app), app, installation, token)


def _basic_password(value: str) -> str:
    try:
        return base64.b64decode(value, validate=True).decode().partition(":")[2]
    except (binascii.Error, UnicodeDecodeError) as error:
        raise Refusal(401, "Bad credentials") from error


def _expired(token: Token, clock: Clock) -> bool:
    return token.expires_at is not None and moment(token.expires_at) <= clock()


def app_of_jwt(world: World, token: str) -> App:
    """The App that signed a JWT (RS256).

    Raises:
        Refusal: 401 with GitHub's message for a bad signature or bad times, 404 for an unknown App.
    """
    parts = token.split(".")
    if len(parts) != 3:
        raise Refusal(401, _UNDECODABLE)
    header, claims = _json_part(parts[0]), _json_part(parts[1])
    if header.get("alg") != "RS256":
        raise Refusal(401, _UNDECODABLE)
    issuer = str(claims.get("iss", ""))
    app = next((a for a in world.store.apps if issuer in (str(a.id), a.client_id)), None)
    if app is None:
        raise Refusal(404, "Integration not found")
    key = serialization.load_pem_public_key(app.public_key_pem.encode())
    if not isinstance(key, rsa.RSAPublicKey):
        raise TypeError("an App's key is an RSA key")
    try:
        signed = f"{parts[0]}.{parts[1]}".encode()
        key.verify(_unpadded(parts[2]), signed, padding.PKCS1v15(), hashes.SHA256())
    except InvalidSignature as error:
        raise Refusal(401, _UNDECODABLE) from error
    _check_times(claims, world.clock().timestamp())
    return app


def _check_times(claims: Mapping[str, Any], now_s: float) -> None:
    issued, expires = claims.get("iat"), claims.get("exp")
    if not isinstance(issued, int) or issued > now_s:
        raise Refusal(
            401,
            "'Issued at' claim ('iat') must be an Integer representing the time that the assertion was issued",
        )
    if not isinstance(expires, int) or expires <= now_s:
        raise Refusal(
            401,
            "'Expiration time' claim ('exp') must be a numeric value representing the future time at which the assertion expires",
        )
    if expires > now_s + LONGEST_JWT_S:
        raise Refusal(401, "'Expiration time' claim ('exp') is too far in the future")


def _json_part(part: str) -> dict[str, Any]:
    try:
        found = json.loads(_unpadded(part))
    except (ValueError, binascii.Error) as error:
        raise Refusal(401, _UNDECODABLE) from error
    if not isinstance(found, dict):
        raise Refusal(401, _UNDECODABLE)
    return found


def _unpadded(part: str) -> bytes:
    try:
        return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    except binascii.Error as error:
        raise Refusal(401, _UNDECODABLE) from error


def mint(
    world: World,
    installation: Installation,
    repositories: tuple[int, ...] | None,
    permissions: dict[str, str],
) -> Token:
    """A new installation token for an hour; old ones are forgotten on the way.

    Args:
        world: where it is kept.
        installation: whose it is.
        repositories: ids it is limited to; None for all of the installation's.
        permissions: what it may do, already checked against the installation's.
    """
    long_ago = world.clock() - timedelta(hours=1)
    for old in world.store.tokens:
        if old.expires_at is not None and moment(old.expires_at) < long_ago:
            world.store.tokens.drop(old.id)
    value = f"ghs_{installation.app_id}_"
    value += secrets.token_urlsafe(_TOKEN_CHARACTERS)[: _TOKEN_CHARACTERS - len(value)]
    return world.store.tokens.put(
        Token(
            id=world.store.next_id(),
            value=value,
            installation_id=installation.id,
            repository_ids=repositories,
            permissions=permissions,
            expires_at=in_one_hour(world.clock()),
        )
    )


def covers(world: World, caller: Caller, repo: Repository) -> bool:
    """Whether an installation's token reaches a repository."""
    if caller.installation is None or caller.token is None:
        return False
    limited = caller.token.repository_ids
    inside = any(found.id == caller.installation.id for found in world.installations_on(repo))
    return inside and (limited is None or repo.id in limited)


def at_least(role: str, least: str) -> bool:
    """Whether a role can do what another can."""
    return ROLES.index(role) >= ROLES.index(least)
