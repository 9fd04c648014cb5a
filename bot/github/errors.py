"""What GitHub's refusals and broken lines mean to us: the one table of foreign exceptions of this room."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from enum import StrEnum
from typing import Any

import httpx
import requests
import urllib3
from github import BadAttributeException, GithubException

from bot.core.errors import (
    BotError,
    Conflict,
    Forbidden,
    NotFound,
    Permanent,
    Transient,
    TranslationTable,
    Unauthentic,
    translate,
)


class Access(StrEnum):
    """What a call needs of the installation, as the App's settings call it."""

    METADATA = "metadata: read"
    CONTENTS = "contents: write"
    ISSUES = "issues: write"
    PULL_REQUESTS = "pull_requests: write"
    CHECKS = "checks: write"
    DEPLOYMENTS = "deployments: write"


PERMISSIONS: Mapping[str, str] = dict(access.value.split(": ") for access in Access)
"""All that a token is minted with; `app.yml` asks for exactly this."""


class RateLimited(Transient):
    """GitHub refused before doing anything, so that even a POST may be sent again after `retry_after_s`."""


class Oversized(Transient):
    """GitHub gave up on a request that asks too much at once (422 "request timed out")."""


STATUS: Mapping[int, type[BotError]] = {
    400: Permanent,
    401: Unauthentic,
    403: Forbidden,
    404: NotFound,
    408: Transient,
    409: Conflict,
    410: NotFound,
    422: Conflict,
    429: RateLimited,
    451: Forbidden,
}
"""Answer -> our error; what is not named is `Transient` from 500 on and `Permanent` below."""

TABLE: TranslationTable = {
    BadAttributeException: Permanent,
    requests.exceptions.InvalidURL: Permanent,
    requests.exceptions.MissingSchema: Permanent,
    requests.exceptions.InvalidSchema: Permanent,
    requests.exceptions.URLRequired: Permanent,
    requests.exceptions.InvalidHeader: Permanent,
    requests.exceptions.TooManyRedirects: Permanent,
    requests.RequestException: Transient,
    urllib3.exceptions.ProxySchemeUnsupported: Permanent,
    urllib3.exceptions.HTTPError: Transient,  # what requests forgets to wrap while a body is read
    httpx.UnsupportedProtocol: Permanent,
    httpx.TooManyRedirects: Permanent,
    httpx.HTTPError: Transient,
    httpx.InvalidURL: Permanent,
    httpx.CookieConflict: Permanent,
    httpx.StreamError: Permanent,
    OSError: Transient,  # a socket's own words
    json.JSONDecodeError: Transient,  # an answer that was cut, or a proxy's page in place of GitHub's
    KeyError: Permanent,  # an answer without a field that the API promises
    AssertionError: Permanent,  # PyGithub's way to say that an answer points to another host than ours
    RuntimeError: Permanent,  # PyGithub's way to refuse a redirect to another host or scheme
}
"""Foreign class -> ours, for all that carries no HTTP status. What carries one goes through `refusal`."""

SECONDARY_LIMIT_S = 60.0
"""What GitHub asks for when a secondary limit comes without a header (docs, "Rate limits for the REST API")."""


@contextmanager
def translated(doing: str, needs: Access, now: float) -> Iterator[None]:
    """Re-raise whatever PyGithub, requests and httpx raise as our errors.

    Args:
        doing: what was tried, as the object of a sentence: "opening the pull request".
        needs: named to the operator when GitHub says that the App may not.
        now: seconds since the epoch, to turn a reset time into a wait.
    """
    with translate(TABLE, doing):
        try:
            yield
        except GithubException as error:
            headers = {name.lower(): value for name, value in (error.headers or {}).items()}
            raise refusal(error.status, error.data, headers, doing, needs, now) from error
        except httpx.HTTPStatusError as error:
            answer = error.response
            headers = dict(answer.headers)
            raise refusal(answer.status_code, answer.text, headers, doing, needs, now) from error


def refusal(
    status: int, body: Any, headers: Mapping[str, str], doing: str, needs: Access, now: float
) -> BotError:
    """Our error for one answer of GitHub's REST API.

    Args:
        status: of HTTP.
        body: the answer as decoded JSON or as text.
        headers: with lower-case names.
        doing: what was tried.
        needs: the permission that the call needs, if GitHub does not name it itself.
        now: seconds since the epoch.
    """
    said = words_of(body)
    wait_s = wait_of(status, said, headers, now)
    if status in (403, 429) and wait_s is not None:
        return RateLimited(f"{doing}: GitHub limits our rate: {said}", retry_after_s=wait_s)
    if status == 403:
        return Forbidden(_forbidden(said, headers, doing, needs))
    if status == 422 and "timed out" in said.lower():
        return Oversized(f"{doing}: {said}")
    ours = STATUS.get(status, Transient if status >= 500 else Permanent)
    message = f"{doing}: GitHub answered {status}: {said}"
    return ours(message, retry_after_s=wait_s) if issubclass(ours, Transient) else ours(message)


def words_of(body: Any) -> str:
    """What an error answer says, in one line: its message and the messages of its `errors`."""
    if isinstance(body, str | bytes):
        try:
            body = json.loads(body)
        except ValueError:
            return (body.decode("utf-8", "replace") if isinstance(body, bytes) else body)[:200]
    if not isinstance(body, Mapping):
        return "" if body is None else str(body)[:200]
    details = body.get("errors")
    details = details if isinstance(details, list) else [details] if details else []
    parts = [str(body.get("message", "")), *(_detail(detail) for detail in details)]
    return ": ".join(part for part in parts if part)[:500]


def _detail(detail: Any) -> str:
    if not isinstance(detail, Mapping):
        return str(detail)
    if detail.get("message"):
        return str(detail["message"])
    return " ".join(str(detail[key]) for key in ("resource", "field", "code") if detail.get(key))


def wait_of(status: int, said: str, headers: Mapping[str, str], now: float) -> float | None:
    """Seconds that GitHub wants us to wait, or None if it does not limit us."""
    asked = headers.get("retry-after", "")
    if asked.isdigit():
        return float(asked)
    if status not in (403, 429):
        return None
    reset = headers.get("x-ratelimit-reset", "")
    if headers.get("x-ratelimit-remaining") == "0" and reset.isdigit():
        return max(float(reset) - now, 0.0) + 1.0  # the header does not say when within that second
    if status == 429 or "rate limit" in said.lower():
        return SECONDARY_LIMIT_S
    return None


def _forbidden(said: str, headers: Mapping[str, str], doing: str, needs: Access) -> str:
    if "not accessible by integration" not in said.lower():
        return f"{doing}: GitHub refuses: {said}"
    # "contents=write; contents=write,workflows=write": alternatives, the first of which is enough
    named = headers.get("x-accepted-github-permissions", "").partition(";")[0].replace("=", ": ").strip()
    return (
        f"{doing}: the GitHub App lacks the permission “{named or needs.value}”; "
        "grant it in the App's settings and accept the change for this installation"
    )
