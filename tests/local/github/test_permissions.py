"""Who may do what: the table of App permissions and the table of roles."""

from collections.abc import Callable
from typing import Any

from bot.local.github.description import load_description
from bot.local.github.operations import HANDLERS
from bot.local.github.permissions import REPOSITORY_NEEDS
from bot.local.github.server import Running
from tests.local.github.conftest import Rest, installation_token

ARCADE = "/repos/acme/arcade"


def test_every_operation_of_the_description_is_served_and_has_a_need() -> None:
    """Nothing is vendored that is not there, and nothing in a repository is open by accident."""
    description = load_description()
    assert set(HANDLERS) == description.operation_ids()
    in_repository = {
        name for name in HANDLERS if description.template_of(name).startswith("/repos/{owner}/{repo}")
    }
    assert set(REPOSITORY_NEEDS) == in_repository


WRITES: list[tuple[str, str, dict[str, Any] | None]] = [
    ("POST", "/issues", {"title": "x"}),
    ("POST", "/issues/1/comments", {"body": "x"}),
    ("POST", "/issues/1/labels", {"labels": ["bug"]}),
    ("POST", "/issues/1/reactions", {"content": "eyes"}),
    ("POST", "/labels", {"name": "new", "color": "ff0000"}),
    ("POST", "/git/blobs", {"content": "x"}),
    ("POST", "/git/trees", {"tree": [{"path": "a", "mode": "100644", "content": "x"}]}),
    ("POST", "/pulls", {"title": "x", "head": "main", "base": "main"}),
    ("POST", "/deployments", {"ref": "main"}),
    ("POST", "/check-runs", {"name": "x", "head_sha": "main"}),
    ("POST", "/statuses/main", {"state": "success"}),
    ("DELETE", "/environments/x", None),
]


def test_a_write_without_its_permission_is_refused(hub: Running, rest: Callable[[str], Rest]) -> None:
    """403 in GitHub's words, for a token that may read everything and write nothing."""
    rest("alice")("POST", f"{ARCADE}/issues", {"title": "First"})
    permissions = dict.fromkeys(("issues", "contents", "pull_requests", "deployments", "checks"), "read")
    weak = Rest(hub.base_url, installation_token(hub, permissions=permissions))
    for method, path, body in WRITES:
        answer = weak(method, ARCADE + path, body)
        found = (answer.status_code, answer.json()["message"])
        assert found == (403, "Resource not accessible by integration"), path


def test_pull_request_permission_is_enough_to_comment_on_a_pull_request(
    hub: Running, rest: Callable[[str], Rest]
) -> None:
    """But not on an issue, and not to react."""
    alice = rest("alice")
    alice("POST", f"{ARCADE}/issues", {"title": "First"})
    put = {"message": "m", "content": "eA==", "branch": "topic"}
    main = alice("GET", f"{ARCADE}/git/ref/heads/main").json()["object"]["sha"]
    alice("POST", f"{ARCADE}/git/refs", {"ref": "refs/heads/topic", "sha": main})
    assert alice("PUT", f"{ARCADE}/contents/x.txt", put).status_code == 201
    pull = alice("POST", f"{ARCADE}/pulls", {"title": "p", "head": "topic", "base": "main"}).json()["number"]
    narrow = Rest(hub.base_url, installation_token(hub, permissions={"pull_requests": "write"}))
    assert narrow("POST", f"{ARCADE}/issues/{pull}/comments", {"body": "x"}).status_code == 201
    assert narrow("POST", f"{ARCADE}/issues/1/comments", {"body": "x"}).status_code == 403
    assert narrow("POST", f"{ARCADE}/issues/{pull}/reactions", {"content": "eyes"}).status_code == 403


def test_the_permission_endpoint_tells_roles_apart(rest: Callable[[str], Rest]) -> None:
    """`permission` is coarse, `role_name` exact; everybody may read a public repository."""
    bot = rest("bot")
    found = {}
    for who in ("alice", "mark", "wendy", "rita", "stranger"):
        answer = bot("GET", f"{ARCADE}/collaborators/{who}/permission").json()
        found[who] = (answer["permission"], answer["role_name"])
    assert found == {
        "alice": ("admin", "admin"),
        "mark": ("write", "maintain"),
        "wendy": ("write", "write"),
        "rita": ("read", "read"),
        "stranger": ("read", "read"),
    }


def test_strangers_have_no_permission_in_private_repositories(
    hub: Running, rest: Callable[[str], Rest]
) -> None:
    """`none` for an account without a role, 404 for a login that does not exist."""
    hub.create_repository("acme/secret", {"a": b"b"}, private=True)
    path = "/repos/acme/secret/collaborators"
    assert rest("bot")("GET", f"{path}/stranger/permission").json()["permission"] == "none"
    assert rest("bot")("GET", f"{path}/nobody-at-all/permission").status_code == 404
    assert rest("stranger")("GET", "/repos/acme/secret").status_code == 404
    assert rest("")("GET", "/repos/acme/secret").status_code == 404


def test_readers_may_talk_but_not_label(rest: Callable[[str], Rest]) -> None:
    """Labels that a reader sends along when opening an issue are dropped without a word."""
    rita = rest("rita")
    opened = rita("POST", f"{ARCADE}/issues", {"title": "x", "labels": ["swarm-build"]})
    assert (opened.status_code, opened.json()["labels"]) == (201, [])
    number = opened.json()["number"]
    assert rita("POST", f"{ARCADE}/issues/{number}/comments", {"body": "x"}).status_code == 201
    assert rita("POST", f"{ARCADE}/issues/{number}/labels", {"labels": ["bug"]}).status_code == 403
    assert rita("PATCH", f"{ARCADE}/issues/{number}", {"state": "closed"}).status_code == 200
    assert rita("POST", f"{ARCADE}/git/blobs", {"content": "x"}).status_code == 403


def test_nobody_reads_public_repositories_only(rest: Callable[[str], Rest]) -> None:
    """Without credentials: 200 to read, 401 to write, and a small hourly limit."""
    answer = rest("")("GET", ARCADE)
    assert (answer.status_code, answer.headers["x-ratelimit-limit"]) == (200, "60")
    assert rest("")("POST", f"{ARCADE}/issues", {"title": "x"}).status_code == 401


def test_wrong_tokens_are_refused(hub: Running) -> None:
    """Also for what nobody needs a token for."""
    answer = Rest(hub.base_url, "ghp_wrong")("GET", ARCADE)
    assert (answer.status_code, answer.json()["message"]) == (401, "Bad credentials")


def test_an_app_installed_elsewhere_sees_no_private_repository(
    hub: Running, rest: Callable[[str], Rest]
) -> None:
    """404, as for what does not exist; a public one can be read and not written."""
    hub.create_repository("other/closed", {"a": b"b"}, private=True)
    hub.create_repository("other/open", {"a": b"b"})
    bot = rest("bot")
    assert bot("GET", "/repos/other/closed").status_code == 404
    assert bot("GET", "/repos/other/open").status_code == 200
    assert bot("POST", "/repos/other/open/issues", {"title": "x"}).status_code == 403


def test_only_apps_make_check_runs(rest: Callable[[str], Rest]) -> None:
    """Not even an administrator can."""
    sha = rest("alice")("GET", f"{ARCADE}/git/ref/heads/main").json()["object"]["sha"]
    body = {"name": "x", "head_sha": sha}
    assert rest("alice")("POST", f"{ARCADE}/check-runs", body).status_code == 403
    assert rest("bot")("POST", f"{ARCADE}/check-runs", body).status_code == 201
