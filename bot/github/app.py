"""The App's identity: its key, its JWT, and tokens that open one repository of one installation."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import httpx
import stamina
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from github import Auth

from bot.core.errors import Conflict, Forbidden, NotFound, Permanent, Transient, Unauthentic
from bot.core.models import Repo
from bot.github.client import Repository
from bot.github.door import API_VERSION, USER_AGENT, Door, Patience
from bot.github.errors import PERMISSIONS, Access, translated
from bot.github.values import HookDelivery, delivery_of

RENEW_S = 300.0
"""A token with less life left than this is minted anew: the longest call of ours is far shorter."""


@dataclass(frozen=True, slots=True)
class Token:
    """An installation token. Its text has no fixed length."""

    text: str = field(repr=False)
    expires_at: float
    """Seconds since the epoch."""


class GitHubApp:
    """The App as GitHub knows it. Safe to use from several threads.

    Args:
        api_url: of the REST API, `https://api.github.com` or `https://HOST/api/v3`.
        app_id: number or client id.
        private_key_pem: RSA key; parsed once, because parsing takes longer than a request.
        slug: the App's name in its login `{slug}[bot]`; asked of GitHub when it is first needed, if not given.
        now: seconds since the epoch. (JWTs are dated by PyGithub, by the system's clock.)
        patience: how long a call is tried again before the engine has to.
        timeout_s: of one request; a tree of a hundred files takes GitHub up to ten seconds.

    Raises:
        Permanent: the key is not an RSA key in PEM form.
    """

    def __init__(
        self,
        *,
        api_url: str,
        app_id: str | int,
        private_key_pem: str,
        slug: str | None = None,
        now: Callable[[], float] = time.time,
        patience: Patience | None = None,
        timeout_s: float = 60.0,
    ) -> None:
        key = _load_key(private_key_pem)
        self._api_url = api_url.rstrip("/")
        self._app_id = str(app_id)
        self._jwt = Auth.AppAuth(self._app_id, lambda: key)  # type: ignore[arg-type,return-value]  # PyJWT takes a loaded key as well
        self._slug = slug
        self._now = now
        self._patience = patience or Patience()
        self._timeout_s = timeout_s
        self._http = httpx.Client(base_url=self._api_url, timeout=timeout_s, follow_redirects=True)
        self._tokens: dict[tuple[int, int], Token] = {}
        self._lock = threading.Lock()

    def repository(self, repo: Repo) -> Repository:
        """A client for one repository. Cheap; calls on one object wait for each other, so take one per job."""
        door = Door(
            api_url=self._api_url,
            full_name=repo.full_name,
            token=lambda: self.token(repo),
            forget=lambda: self.forget(repo),
            now=self._now,
            patience=self._patience,
            timeout_s=self._timeout_s,
        )
        return Repository(repo, door, self.login)

    def login(self) -> str:
        """The App's own login, "{slug}[bot]": the author of our comments and commits."""
        if self._slug is None:
            self._slug = str(self.about()["slug"])
        return f"{self._slug}[bot]"

    def about(self) -> dict[str, Any]:
        """The App as GitHub has it: slug, permissions {name: level}, events, installations_count (GET /app)."""
        return dict(self._request("GET", "/app", "reading the App", None))

    def hook_url(self) -> str:
        """Where the App's webhooks go; empty if nowhere."""
        answer = self._request("GET", "/app/hook/config", "reading the webhook's address", None)
        return str(answer.get("url") or "")

    def token(self, repo: Repo) -> str:
        """A token for this repository alone, with the permissions of `PERMISSIONS`; from memory while it lives.

        Raises:
            Unauthentic: GitHub does not accept the App's id and key.
            NotFound: the installation is gone.
            Forbidden: it is suspended, does not hold the repository, or was not granted a permission.
            Transient: GitHub cannot be reached.
        """
        key = (repo.installation_id, repo.id)
        with self._lock:  # held while minting, so that two threads do not mint twice
            kept = self._tokens.get(key)
            if kept is None or kept.expires_at - self._now() < RENEW_S:
                kept = self._tokens[key] = self._mint(repo)
            return kept.text

    def forget(self, repo: Repo) -> None:
        """Drop the token of a repository, because GitHub no longer accepts it."""
        with self._lock:
            self._tokens.pop((repo.installation_id, repo.id), None)

    def deliveries(self, limit: int = 100, since: float = 0.0) -> list[HookDelivery]:
        """The App's newest webhook deliveries, newest first (GET /app/hook/deliveries, by cursor).

        Args:
            limit: no more than these.
            since: none that is older, in seconds since the epoch.
        """
        found: list[HookDelivery] = []
        path = f"/app/hook/deliveries?per_page={min(limit, 100)}"
        while path and len(found) < limit and (not found or found[-1].delivered_at >= since):
            answer = self._answer("GET", path, "listing webhook deliveries", None)
            found += map(delivery_of, answer.json())
            path = answer.links.get("next", {}).get("url", "")
        return [each for each in found[:limit] if each.delivered_at >= since]

    def redeliver(self, delivery_id: int) -> None:
        """Ask GitHub to send a webhook again, under the same guid. Possible for three days."""
        path = f"/app/hook/deliveries/{delivery_id}/attempts"
        self._request("POST", path, "asking for a webhook again", None)

    def close(self) -> None:
        """Close the App's own connections; those of its repositories are theirs to close."""
        self._http.close()

    def _mint(self, repo: Repo) -> Token:
        path = f"/app/installations/{repo.installation_id}/access_tokens"
        wanted = {"repository_ids": [repo.id], "permissions": dict(PERMISSIONS)}
        try:
            answer = self._request("POST", path, f"asking for a token for {repo.full_name}", wanted)
        except NotFound as error:
            if "integration not found" in str(error).lower():
                raise Unauthentic(
                    f"GitHub knows no App {self._app_id}: check the App's id and key."
                ) from error
            raise NotFound(f"The GitHub App is no longer installed on {repo.full_name}.") from error
        except Conflict as error:
            raise Forbidden(
                f"The installation on {repo.full_name} grants less than the App needs "
                f"({', '.join(access.value for access in Access)}): {error}"
            ) from error
        return Token(str(answer["token"]), datetime.fromisoformat(answer["expires_at"]).timestamp())

    def _request(self, verb: str, path: str, doing: str, body: Any) -> Any:
        return self._answer(verb, path, doing, body).json()

    def _answer(self, verb: str, path: str, doing: str, body: Any) -> httpx.Response:
        """One call as the App itself. Minting is repeated as well: a token that nobody got is harmless."""
        for attempt in stamina.retry_context(on=self._patience.worth_another_try, **self._patience.waits):
            with attempt, translated(doing, Access.METADATA, self._now()):
                answer = self._http.request(verb, path, json=body, headers=self._headers())
                answer.raise_for_status()
                return answer
        raise Transient(doing)  # not reached: the last attempt raises

    def _headers(self) -> dict[str, str]:
        return {
            "Authorization": f"Bearer {self._jwt.create_jwt()}",
            "Accept": "application/vnd.github+json",
            "X-GitHub-Api-Version": API_VERSION,
            "User-Agent": USER_AGENT,
        }


def _load_key(pem: str) -> RSAPrivateKey:
    try:
        key = load_pem_private_key(pem.encode(), password=None)
    except (ValueError, TypeError) as error:  # TypeError: the key is encrypted
        raise Permanent(
            "The GitHub App's private key cannot be read: it must be a PEM file as GitHub gave it."
        ) from error
    if not isinstance(key, RSAPrivateKey):
        raise Permanent("The GitHub App's private key is not an RSA key.")
    return key
