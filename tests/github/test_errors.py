"""GitHub's refusals as our errors."""

import json
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import github
import httpx
import pytest
import requests
import urllib3.exceptions

from bot.core.errors import (
    BotError,
    Conflict,
    Forbidden,
    NotFound,
    Permanent,
    Transient,
    Unauthentic,
)
from bot.github.errors import SECONDARY_LIMIT_S, TABLE, Access, Oversized, RateLimited, refusal, translated

NOW = 1_000_000.0


def exceptions_of(module: ModuleType) -> Iterator[type[Exception]]:
    package = module.__name__.partition(".")[0]
    for found in vars(module).values():
        theirs = isinstance(found, type) and found.__module__.partition(".")[0] == package
        if theirs and issubclass(found, Exception) and not issubclass(found, Warning):
            yield found


@pytest.mark.parametrize(
    "module", [github, requests.exceptions, urllib3.exceptions, httpx], ids=lambda m: m.__name__
)
def test_every_foreign_exception_is_translated(module: ModuleType) -> None:
    """No class that PyGithub, requests, urllib3 or httpx can raise passes the door untranslated."""
    by_status = (github.GithubException, httpx.HTTPStatusError)
    found = list(exceptions_of(module))
    assert found
    missing = [cls for cls in found if not issubclass(cls, (*by_status, *TABLE))]
    assert not missing


def raised(error: Exception, needs: Access = Access.CONTENTS) -> BotError:
    with pytest.raises(BotError) as caught, translated("opening the door", needs, NOW):
        raise error
    return caught.value


@pytest.mark.parametrize(
    ("status", "ours"),
    [
        (400, Permanent),
        (401, Unauthentic),
        (403, Forbidden),
        (404, NotFound),
        (408, Transient),
        (409, Conflict),
        (410, NotFound),
        (418, Permanent),
        (422, Conflict),
        (429, RateLimited),
        (451, Forbidden),
        (500, Transient),
        (502, Transient),
        (504, Transient),
    ],
)
def test_an_answer_means_the_same_from_both_clients(status: int, ours: type[BotError]) -> None:
    """The status decides, whether PyGithub or httpx brought it."""
    body = {"message": "No."}
    answer = httpx.Response(status, json=body, request=httpx.Request("GET", "http://gh/app"))
    from_httpx = raised(httpx.HTTPStatusError("no", request=answer.request, response=answer))
    from_pygithub = raised(github.GithubException(status, body, {}))
    assert type(from_httpx) is type(from_pygithub) is ours
    assert str(from_httpx) == str(from_pygithub)
    assert "opening the door" in str(from_httpx)


@pytest.mark.parametrize(
    ("error", "ours"),
    [
        (requests.ConnectionError("refused"), Transient),
        (requests.ReadTimeout("slow"), Transient),
        (requests.exceptions.InvalidURL("x"), Permanent),
        (httpx.ReadTimeout("slow"), Transient),
        (httpx.RemoteProtocolError("cut"), Transient),
        (httpx.UnsupportedProtocol("ftp"), Permanent),
        (json.JSONDecodeError("cut", "{", 1), Transient),
        (AssertionError("api.github.com"), Permanent),
        (github.BadAttributeException(1, (str, str), None), Permanent),
    ],
)
def test_what_carries_no_status(error: Exception, ours: type[BotError]) -> None:
    """A broken line may be tried again, a wrong address may not."""
    found = raised(error)
    assert type(found) is ours
    assert found.__cause__ is error


def test_a_missing_permission_is_named() -> None:
    """The operator reads which permission to grant, from GitHub's header if it says so, else from our own table."""
    body = {"message": "Resource not accessible by integration"}
    ours = raised(github.GithubException(403, body, {}), Access.CHECKS)
    assert isinstance(ours, Forbidden)
    assert "“checks: write”" in str(ours)
    header = {"X-Accepted-GitHub-Permissions": "issues=write; pull_requests=write"}
    assert "“issues: write”" in str(raised(github.GithubException(403, body, header), Access.CHECKS))


@pytest.mark.parametrize(
    ("status", "headers", "message", "wait_s"),
    [
        (403, {"retry-after": "17"}, "You have exceeded a secondary rate limit.", 17.0),
        (429, {"retry-after": "3"}, "", 3.0),
        (
            403,
            {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "1000040"},
            "API rate limit exceeded",
            41.0,
        ),
        (403, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "5"}, "API rate limit exceeded", 1.0),
        (403, {}, "You have exceeded a secondary rate limit.", SECONDARY_LIMIT_S),
        (429, {}, "Too many requests", SECONDARY_LIMIT_S),
    ],
)
def test_rate_limits_say_how_long(status: int, headers: dict[str, str], message: str, wait_s: float) -> None:
    """Every way in which GitHub limits us carries the seconds to wait."""
    ours = refusal(status, {"message": message}, headers, "reading", Access.METADATA, NOW)
    assert isinstance(ours, RateLimited)
    assert ours.retry_after_s == wait_s


def test_an_ordinary_403_is_no_rate_limit() -> None:
    """A refusal while the limit happens to be far away is for the operator."""
    headers = {"x-ratelimit-remaining": "4999", "x-ratelimit-reset": "1000040"}
    ours = refusal(
        403, {"message": "This installation has been suspended"}, headers, "x", Access.METADATA, NOW
    )
    assert type(ours) is Forbidden
    assert "suspended" in str(ours)


def test_too_much_at_once_is_told_from_a_refusal() -> None:
    """GitHub answers 422 both for a bad file and for a request that took it too long."""
    slow = {"message": "Sorry, your request timed out. It's likely that your input was too large to process."}
    assert isinstance(refusal(422, slow, {}, "x", Access.CONTENTS, NOW), Oversized)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (
            {"message": "Validation Failed", "errors": [{"message": "No commits"}]},
            "Validation Failed: No commits",
        ),
        (
            {
                "message": "Validation Failed",
                "errors": [{"resource": "Issue", "field": "title", "code": "missing"}],
            },
            "Validation Failed: Issue title missing",
        ),
        ({"message": "Bad", "errors": "plain"}, "Bad: plain"),
        (b"<html>Unicorn!</html>", "<html>Unicorn!</html>"),
        (None, ""),
    ],
)
def test_all_that_github_says_is_kept(body: Any, words: str) -> None:
    """The message carries GitHub's own words, whatever their shape."""
    assert str(refusal(422, body, {}, "x", Access.CONTENTS, NOW)).endswith(words)
