"""`/setup`: makes the GitHub App from our manifest, in the operator's browser, and keeps what GitHub answers.

The way: our page posts the manifest to GitHub, the operator confirms there, GitHub sends the browser back with a code,
and the code is exchanged for the App's id, key and webhook secret. Source:
https://docs.github.com/apps/sharing-github-apps/registering-a-github-app-from-a-manifest
"""

import hashlib
import hmac
import json
import logging
import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from cryptography.fernet import Fernet, InvalidToken
from flask import Blueprint, Response, abort, make_response, redirect, request

from bot.core.errors import BotError, Permanent, UserError
from bot.core.texts import Texts
from bot.pipeline.journal.credentials import Credentials
from bot.web.pages import ProblemPage

log = logging.getLogger(__name__)

STATE_LIFE_S = 3600.0
"""As long as GitHub's code lives."""
_APP = "app"
_COOKIE = "swarm_setup"
_ACCOUNT = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,38}")
_CODE = re.compile(r"[A-Za-z0-9_-]{1,128}")

Exchange = Callable[[str], Mapping[str, Any]]
"""GitHub's answer to `POST /app-manifests/{code}/conversions`."""


@dataclass(frozen=True, slots=True)
class AppIdentity:
    """Who we are on GitHub. `private_key` is PEM."""

    app_id: str
    webhook_secret: str
    private_key: str = ""


class Vault:
    """The App's identity in the database, sealed."""

    def __init__(self, credentials: Credentials, key: str) -> None:
        self._credentials = credentials
        try:
            self._fernet = Fernet(key)
        except ValueError as error:
            raise UserError("SETTINGS_KEY is not a Fernet key: 32 random bytes in URL-safe base64") from error

    def store(self, identity: AppIdentity) -> None:
        """Keep it, in the place of an earlier one; whoever is in the middle of another set-up has to begin again."""
        self._credentials.put(_APP, self._fernet.encrypt(json.dumps(asdict(identity)).encode()))
        self._credentials.forget("state:", older_than_s=0.0)

    def holds(self) -> bool:
        """Whether there is an identity, be it that of a key that is lost."""
        return self._credentials.get(_APP) is not None

    def load(self) -> AppIdentity | None:
        """The stored identity.

        Raises:
            Permanent: it was sealed with another key.
        """
        sealed = self._credentials.get(_APP)
        if sealed is None:
            return None
        try:
            return AppIdentity(**json.loads(self._fernet.decrypt(sealed)))
        except InvalidToken as error:
            raise Permanent("The stored App credentials were sealed with another SETTINGS_KEY.") from error

    def begin(self, *, by_admin: bool) -> str:
        """A state for one set-up, which `finish` accepts once."""
        self._credentials.forget("state:", older_than_s=STATE_LIFE_S)
        state = secrets.token_urlsafe(32)
        self._credentials.put(_state(state, by_admin=by_admin), b"")
        return state

    def finish(self, state: str, *, only_admin: bool) -> bool:
        """Whether this state was given out, to the admin if `only_admin`, is fresh, and was not used before."""
        return any(
            self._credentials.take(_state(state, by_admin=by_admin), younger_than_s=STATE_LIFE_S)
            for by_admin in ((True,) if only_admin else (True, False))
        )


def new_key() -> str:
    """A key for a vault."""
    return Fernet.generate_key().decode()


def _state(state: str, *, by_admin: bool) -> str:
    return f"state:{'admin:' if by_admin else ''}{hashlib.sha256(state.encode()).hexdigest()}"


@dataclass(frozen=True, slots=True)
class SetUp:
    """What the set-up pages need."""

    vault: Callable[[], Vault]
    configured: Callable[[], bool]
    exchange: Exchange
    texts: Texts
    manifest: Mapping[str, Any]
    """app.yml."""
    public_url: str
    site: str
    """Where people look at GitHub: "https://github.com"."""
    admin_token: str
    store: bool


@dataclass(frozen=True, slots=True)
class SetUpPage:
    """`web/setup.html.j2`."""

    organization: str
    action: str
    manifest: str
    site: str
    webhook_url: str
    permissions: tuple[tuple[str, str], ...]
    token: str
    local: bool
    """GitHub cannot reach us at this address."""
    poll: str = ""


@dataclass(frozen=True, slots=True)
class SetUpDonePage:
    """`web/setup_done.html.j2`: what to put into the environment."""

    name: str
    install_url: str
    variables: tuple[tuple[str, str], ...]
    poll: str = ""


def setup_pages(desk: SetUp) -> Blueprint:
    """The routes."""
    routes = Blueprint("setup", __name__)

    @routes.get("/setup")
    def begin() -> Response:
        token = request.args.get("token", "")
        by_admin = _is_admin(desk, token)
        if desk.configured() and not by_admin:
            abort(403, "The App is configured. To make another, open /setup?token=… with the ADMIN_TOKEN.")
        organization = request.args.get("organization", "").strip()
        if organization and not _ACCOUNT.fullmatch(organization):
            abort(400, "An organisation's name has letters, digits and hyphens.")
        state = desk.vault().begin(by_admin=by_admin)
        path = f"organizations/{quote(organization)}/settings" if organization else "settings"
        page = SetUpPage(
            organization=organization,
            action=f"{desk.site}/{path}/apps/new?{urlencode({'state': state})}",
            manifest=json.dumps(manifest_of(desk.manifest, desk.public_url)),
            site=desk.site,
            webhook_url=f"{desk.public_url}/webhook",
            permissions=tuple(sorted(desk.manifest["default_permissions"].items())),
            token=token,
            local=_is_local(desk.public_url) and not _is_local(desk.site),
        )
        answer = make_response(desk.texts.render("web/setup.html.j2", page))
        answer.headers["Content-Security-Policy"] = (
            "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; "
            f"base-uri 'none'; form-action 'self' {desk.site}; frame-ancestors 'none'"
        )
        secure = desk.public_url.startswith("https://")
        answer.set_cookie(
            _COOKIE,
            state,
            max_age=int(STATE_LIFE_S),
            httponly=True,
            samesite="Lax",
            secure=secure,
            path="/setup",
        )
        return answer

    @routes.get("/setup/done")
    def done() -> Any:
        code, state = request.args.get("code", ""), request.args.get("state", "")
        ours = hmac.compare_digest(state.encode(), request.cookies.get(_COOKIE, "").encode())
        if not (
            state
            and ours
            and _CODE.fullmatch(code)
            and desk.vault().finish(state, only_admin=desk.configured())
        ):
            abort(400, "This set-up was not begun here, was used already, or took over an hour. Begin again.")
        made = desk.exchange(code)
        identity = AppIdentity(str(made["id"]), str(made["webhook_secret"] or ""), str(made["pem"]))
        install = f"{made['html_url']}/installations/new"
        log.info("the GitHub App %s (%s) was made", made["slug"], identity.app_id)
        answer: Response
        if desk.store:
            desk.vault().store(identity)
            answer = redirect(install, 303)  # type: ignore[assignment]  # werkzeug's Response is flask's base
        else:
            answer = make_response(
                desk.texts.render(
                    "web/setup_done.html.j2", SetUpDonePage(str(made["name"]), install, _variables(identity))
                )
            )
        answer.delete_cookie(_COOKIE, path="/setup")
        return answer

    @routes.errorhandler(BotError)
    def failed(error: BotError) -> Any:
        log.warning("set-up: %s", error)
        status = 400 if isinstance(error, UserError) else 502
        return desk.texts.render("web/problem.html.j2", ProblemPage(status, f"Set-up: {error}.")), status

    return routes


def manifest_of(manifest: Mapping[str, Any], public_url: str) -> dict[str, Any]:
    """app.yml with the addresses of this deployment."""
    return {
        **manifest,
        "url": public_url,
        "hook_attributes": {**manifest["hook_attributes"], "url": f"{public_url}/webhook"},
        "redirect_url": f"{public_url}/setup/done",
    }


def _is_local(url: str) -> bool:
    return urlsplit(url).hostname in ("localhost", "127.0.0.1", "::1")


def _is_admin(desk: SetUp, token: str) -> bool:
    return bool(desk.admin_token) and hmac.compare_digest(token.encode(), desk.admin_token.encode())


def _variables(identity: AppIdentity) -> tuple[tuple[str, str], ...]:
    return (
        ("GITHUB_APP_ID", identity.app_id),
        ("GITHUB_WEBHOOK_SECRET", identity.webhook_secret),
        ("GITHUB_PRIVATE_KEY", identity.private_key.strip().replace("\n", "\\n")),
    )
