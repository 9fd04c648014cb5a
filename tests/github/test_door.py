"""Tokens, retries and limits, against a server that answers as told."""

import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from bot.core.errors import Conflict, Forbidden, NotFound, Permanent, Transient, Unauthentic
from bot.core.models import Repo
from bot.github.app import RENEW_S, GitHubApp
from bot.github.client import Repository
from bot.github.door import Patience
from bot.github.errors import PERMISSIONS, RateLimited
from tests.github.scripted import Script, scripted

REPO = Repo("acme/arcade", 7, 70)
MINT = "POST /app/installations/70/access_tokens"
COMMENT = "/repos/acme/arcade/issues/comments/1"
QUICK = Patience(attempts=3, first_wait_s=0.01, longest_wait_s=2.0)
KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)


def pem(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    ).decode()


@dataclass
class Clock:
    """Seconds since the epoch, moved by hand."""

    at: float = field(default_factory=time.time)

    def __call__(self) -> float:
        return self.at


@pytest.fixture
def script() -> Iterator[Script]:
    with scripted() as script:
        yield script


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def app(script: Script, clock: Clock) -> Iterator[GitHubApp]:
    app = GitHubApp(
        api_url=script.url, app_id=5, private_key_pem=pem(KEY), slug="swarm", now=clock, patience=QUICK
    )
    yield app
    app.close()


@pytest.fixture
def repository(script: Script, app: GitHubApp, clock: Clock) -> Repository:
    grant(script, clock, "ghs_one")
    return app.repository(REPO)


def grant(script: Script, clock: Clock, token: str) -> None:
    expires = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(clock() + 3600))
    script.on(MINT, 201, {"token": token, "expires_at": expires})


def test_a_token_opens_one_repository(script: Script, repository: Repository) -> None:
    """A token is asked for with the App's signature, for this repository's id and with named permissions."""
    script.on(f"PATCH {COMMENT}", 200, {})
    repository.edit_comment(1, "text")
    mint, edit = script.asked
    claims = jwt.decode(mint.authorization.removeprefix("Bearer "), KEY.public_key(), ["RS256"])
    assert claims["iss"] == "5"
    assert mint.body == {"repository_ids": [7], "permissions": dict(PERMISSIONS)}
    assert edit.authorization == "Bearer ghs_one"


def test_a_token_is_kept_until_shortly_before_its_end(
    script: Script, app: GitHubApp, repository: Repository, clock: Clock
) -> None:
    """All objects for a repository share its token; it is minted anew while it still has minutes to live."""
    script.on(f"PATCH {COMMENT}", 200, {})
    repository.edit_comment(1, "text")
    app.repository(REPO).edit_comment(1, "text")
    assert script.count(MINT) == 1
    clock.at += 3600 - RENEW_S + 1
    repository.edit_comment(1, "text")
    assert script.count(MINT) == 2


def test_a_refused_token_is_minted_again_once(script: Script, clock: Clock, repository: Repository) -> None:
    """A 401 costs a new token and one more try, even of a POST, which GitHub did not carry out."""
    grant(script, clock, "ghs_two")
    script.on("POST /repos/acme/arcade/deployments/3/statuses", 401, {"message": "Bad credentials"})
    script.on("POST /repos/acme/arcade/deployments/3/statuses", 201, {})
    repository.deactivate_deployment(3)
    assert [asked.authorization for asked in script.asked if "statuses" in asked.path] == [
        "Bearer ghs_one",
        "Bearer ghs_two",
    ]


def test_a_second_refusal_ends_it(script: Script, clock: Clock, repository: Repository) -> None:
    """Tokens are not minted for ever."""
    script.on(f"PATCH {COMMENT}", 401, {"message": "Bad credentials"})
    with pytest.raises(Unauthentic):
        repository.edit_comment(1, "text")
    assert script.count(MINT) == 2


@pytest.mark.parametrize("status", [429, 500, 502, 503])
def test_an_edit_is_tried_again(script: Script, repository: Repository, status: int) -> None:
    """PATCH survives a passing trouble."""
    script.on(f"PATCH {COMMENT}", status, b"<html>Unicorn!</html>", {"Retry-After": "0"})
    script.on(f"PATCH {COMMENT}", 200, {})
    repository.edit_comment(1, "text")
    assert script.count("PATCH") == 2


def test_tries_end(script: Script, repository: Repository) -> None:
    """A trouble that stays is the engine's."""
    script.on(f"PATCH {COMMENT}", 502, b"")
    with pytest.raises(Transient, match="editing a comment"):
        repository.edit_comment(1, "text")
    assert script.count("PATCH") == QUICK.attempts


def test_a_short_limit_is_sat_out(script: Script, repository: Repository) -> None:
    """`Retry-After` within our patience is obeyed to the second."""
    script.on(
        f"PATCH {COMMENT}",
        403,
        {"message": "You have exceeded a secondary rate limit."},
        {"Retry-After": "1"},
    )
    script.on(f"PATCH {COMMENT}", 200, {})
    started = time.monotonic()
    repository.edit_comment(1, "text")
    assert time.monotonic() - started >= 1.0


def test_a_long_limit_goes_to_the_engine(script: Script, repository: Repository) -> None:
    """A limit beyond our patience is handed on with its seconds, at once."""
    script.on(f"PATCH {COMMENT}", 429, {"message": "slow down"}, {"Retry-After": "600"})
    started = time.monotonic()
    with pytest.raises(RateLimited) as caught:
        repository.edit_comment(1, "text")
    assert caught.value.retry_after_s == 600
    assert time.monotonic() - started < 60
    assert script.count("PATCH") == 1


def test_an_unclear_creation_is_looked_for_first(script: Script, repository: Repository) -> None:
    """After a lost answer to a POST the thing is found instead of made twice."""
    comments = "/repos/acme/arcade/issues/4/comments"
    said = {"id": 9, "user": {"login": "swarm[bot]", "type": "Bot"}, "body": "hi\n\n<!-- swarm:run=1 -->"}
    script.on(f"GET {comments}", 200, [])
    script.on(f"GET {comments}", 200, [said])
    script.on(f"POST {comments}", 502, b"")
    assert repository.say(4, "hi", "run=1") == 9
    assert script.count(f"POST {comments}") == 1


def test_a_comment_of_somebody_else_is_not_ours(script: Script, repository: Repository) -> None:
    """A person who copies the hidden marker does not take our comment's place."""
    comments = "/repos/acme/arcade/issues/4/comments"
    copied = {"id": 9, "user": {"login": "mallory"}, "body": "<!-- swarm:run=1 -->"}
    ghostly = {"id": 8, "user": None, "body": "<!-- swarm:run=1 -->"}
    script.on(f"GET {comments}", 200, [copied, ghostly])
    script.on(f"POST {comments}", 201, {"id": 10})
    assert repository.say(4, "hi", "run=1") == 10


@pytest.fixture
def hasty_threads() -> Iterator[None]:
    """Threads that give way to each other all the time."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("hasty_threads")
def test_threads_do_not_mix_requests(script: Script, repository: Repository) -> None:
    """Threads that share an object each reach their own comment."""
    script.on("PATCH /repos/acme/arcade/issues/comments/", 200, {})

    def edit(numbers: range) -> None:
        for number in numbers:
            repository.edit_comment(number, str(number))

    threads = [threading.Thread(target=edit, args=(range(first, first + 10),)) for first in range(0, 80, 10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sent = [
        (asked.path.rpartition("/")[2], asked.body["body"]) for asked in script.asked if asked.verb == "PATCH"
    ]
    assert sorted(sent) == sorted((str(number), str(number)) for number in range(80))
    assert repository.requests == 80


@pytest.mark.parametrize(
    ("status", "message", "ours", "words"),
    [
        (404, "Not Found", NotFound, "no longer installed"),
        (404, "Integration not found", Unauthentic, "no App 5"),
        (403, "This installation has been suspended", Forbidden, "suspended"),
        (
            422,
            "The permissions requested are not granted to this installation.",
            Forbidden,
            "deployments: write",
        ),
        (401, "A JSON web token could not be decoded", Unauthentic, "JSON web token"),
    ],
)
def test_no_token_says_why(
    script: Script, app: GitHubApp, status: int, message: str, ours: type[Exception], words: str
) -> None:
    """An installation that is gone, suspended or too narrow is named in the operator's words."""
    script.on(MINT, status, {"message": message})
    with pytest.raises(ours, match=words):
        app.repository(REPO).branch_head("main")


def test_github_is_down(clock: Clock) -> None:
    """A refused connection is worth another try, later."""
    with scripted() as script:
        url = script.url
    app = GitHubApp(api_url=url, app_id=5, private_key_pem=pem(KEY), now=clock, patience=QUICK)
    with pytest.raises(Transient):
        app.token(REPO)


def test_the_app_asks_its_name_once(script: Script, clock: Clock) -> None:
    """Without a configured slug GitHub is asked, one time."""
    script.on("GET /app", 200, {"slug": "hive"})
    app = GitHubApp(api_url=script.url, app_id=5, private_key_pem=pem(KEY), now=clock, patience=QUICK)
    assert [app.login(), app.login()] == ["hive[bot]"] * 2
    assert script.count("GET /app") == 1


@pytest.mark.parametrize("text", ["", "not a key", pem(ec.generate_private_key(ec.SECP256R1()))])
def test_a_wrong_key_is_told_at_the_start(text: str) -> None:
    """The operator reads what is wrong with the key before any request; the key itself is not in the message."""
    with pytest.raises(Permanent, match="private key") as caught:
        GitHubApp(api_url="http://127.0.0.1:1", app_id=5, private_key_pem=text)
    assert "BEGIN" not in str(caught.value)


def test_a_person_unknown_here_may_nothing(script: Script, repository: Repository) -> None:
    """404 means no permission; any other failure raises, and the name cannot leave its place in the path."""
    assert repository.permission("ghost/../x") == "none"
    assert script.asked[-1].path.endswith("/collaborators/ghost%2F..%2Fx/permission")
    script.on("GET /repos/acme/arcade/collaborators/eve/permission", 409, {"message": "?"})
    with pytest.raises(Conflict):
        repository.permission("eve")
    script.on(
        "GET /repos/acme/arcade/collaborators/kim/", 200, {"permission": "write", "role_name": "releaser"}
    )
    assert repository.permission("kim") == "write"
    script.on(
        "GET /repos/acme/arcade/collaborators/lee/", 200, {"permission": "write", "role_name": "maintain"}
    )
    assert repository.permission("lee") == "maintain"
