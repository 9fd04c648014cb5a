"""The pages: what people see and press."""

from collections.abc import Callable, Iterator
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from bot.local.github.markdown import Markdown
from bot.local.github.server import Running
from tests.local.github.conftest import Receiver, Rest
from tests.local.github.test_pulls import ARCADE, branch, deployment, pull

BODY = """Closes #1, @alice

| a | b |
|---|--:|
| 1 | 2 |

- [x] done

<details><summary>More</summary>

```js
const a = "<b>";
```

</details>

<script>alert(1)</script><a href="javascript:alert(1)">x</a>
"""


@pytest.fixture
def browser(hub: Running) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=hub.web_url, follow_redirects=True, trust_env=False) as client:
        yield client


def test_an_issue_shows_its_conversation(browser: httpx.Client, rest: Callable[[str], Rest]) -> None:
    """Rendered Markdown, sanitised; labels, reactions and who is a bot."""
    rest("alice")("POST", f"{ARCADE}/issues", {"title": "Snake <3", "body": BODY, "labels": ["swarm-build"]})
    rest("bot")("POST", f"{ARCADE}/issues/1/comments", {"body": "**Building**"})
    rest("bot")("POST", f"{ARCADE}/issues/1/reactions", {"content": "eyes"})
    page = browser.get("/acme/arcade/issues/1").text
    for part in (
        "Snake &lt;3",
        "<td>1</td>",
        'type="checkbox"',
        "<details><summary>More</summary>",
        "&lt;b&gt;",
        "<strong>Building</strong>",
        '<span class="tag">bot</span>',
        "👀 1",
        ">swarm-build</span>",
        "local GitHub",
    ):
        assert part in page, part
    assert "alert(1)</script>" not in page
    assert "javascript:" not in page


def test_a_person_can_be_chosen_and_acts_as_such(
    browser: httpx.Client, receiver: Receiver, rest: Callable[[str], Rest]
) -> None:
    """`?as=` sticks; forms go through the same permission checks as the API, and send the same events."""
    rest("alice")("POST", f"{ARCADE}/issues", {"title": "x"})
    assert "Add a comment" in browser.get("/acme/arcade/issues/1", params={"as": "wendy"}).text
    browser.post("/acme/arcade/issues/1/comments", data={"body": "/swarm rebuild", "state": ""})
    browser.post("/acme/arcade/issues/1/labels", data={"label": "swarm-build"})
    assert receiver.wait_for("issue_comment.created")[0].json()["sender"]["login"] == "wendy"
    assert receiver.wait_for("issues.labeled")[0].json()["sender"]["login"] == "wendy"
    browser.post("/acme/arcade/issues/1/labels", data={"label": "swarm-build", "remove": "yes"})
    receiver.wait_for("issues.unlabeled")
    browser.post("/acme/arcade/issues/1/comments", data={"body": "", "state": "closed"})
    receiver.wait_for("issues.closed")
    browser.post("/_local/as", data={"login": "rita", "here": "/acme/arcade"})
    refused = browser.post("/acme/arcade/issues/1/labels", data={"label": "bug"})
    assert refused.status_code == 403
    assert "Must have push access" in refused.text


def test_an_issue_is_opened_from_the_form(browser: httpx.Client) -> None:
    """And is found in the list."""
    assert "Submit new issue" in browser.get("/acme/arcade/issues/new").text
    page = browser.post("/acme/arcade/issues", data={"title": "From the form", "body": "b"})
    assert page.url.path == "/acme/arcade/issues/1"
    assert "From the form" in browser.get("/acme/arcade/issues").text
    assert "From the form" not in browser.get("/acme/arcade/issues?state=closed").text


def test_a_pull_request_shows_files_checks_and_its_deployment(
    browser: httpx.Client, rest: Callable[[str], Rest]
) -> None:
    """The button leads to the address of the active deployment, and goes when it ends."""
    bot = rest("bot")
    sha = branch(bot, files={"src/server.js": "const x = 1;\n", "README.md": "# New\n"})
    pull(bot, body="Built by **agents**")
    number = deployment(bot, sha).json()["id"]
    path = f"{ARCADE}/deployments/{number}/statuses"
    bot("POST", path, {"state": "success", "environment_url": "http://127.0.0.1:9/app"})
    bot("POST", f"{ARCADE}/check-runs", {"name": "Swarm Build", "head_sha": sha})
    page = browser.get("/acme/arcade/pull/1").text
    for part in (
        "<strong>agents</strong>",
        "src/server.js",
        'class="new"',
        'href="http://127.0.0.1:9/app"',
        "View deployment",
        "Swarm Build",
        "Merge pull request",
    ):
        assert part in page, part
    bot("POST", path, {"state": "inactive"})
    page = browser.get("/acme/arcade/pull/1").text
    assert "View deployment" not in page
    assert "destroyed" in page
    assert browser.get("/acme/arcade/issues/1").url.path == "/acme/arcade/pull/1"


def test_a_draft_is_made_ready_and_merged(
    browser: httpx.Client, receiver: Receiver, rest: Callable[[str], Rest]
) -> None:
    """Two buttons, two events."""
    bot = rest("bot")
    branch(bot)
    pull(bot, draft=True)
    assert "still a draft" in browser.get("/acme/arcade/pull/1").text
    browser.post("/acme/arcade/pull/1/ready")
    receiver.wait_for("pull_request.ready_for_review")
    page = browser.post("/acme/arcade/pull/1/merge").text
    assert "Merged" in page
    assert receiver.wait_for("pull_request.closed")[0].json()["pull_request"]["merged"] is True


def test_the_check_page_has_its_buttons(
    browser: httpx.Client, receiver: Receiver, rest: Callable[[str], Rest]
) -> None:
    """Pressed by a person, heard by the App."""
    bot = rest("bot")
    sha = branch(bot)
    actions = [{"label": "Rebuild", "description": "d", "identifier": "rebuild"}]
    run = {"name": "x", "head_sha": sha, "conclusion": "success", "actions": actions}
    number = bot("POST", f"{ARCADE}/check-runs", run).json()["id"]
    assert ">Rebuild</button>" in browser.get(f"/acme/arcade/runs/{number}").text
    browser.post(f"/acme/arcade/runs/{number}", data={"action": "rebuild"})
    receiver.wait_for("check_run.requested_action")


def test_files_and_commits_can_be_read(browser: httpx.Client, rest: Callable[[str], Rest]) -> None:
    """Branches with slashes, folders, files, raw bytes, the Verified badge."""
    sha = branch(rest("bot"), files={"src/a.js": "let a = '<i>';\n"})
    assert "Arcade</h1>" in browser.get("/acme/arcade").text
    assert "a.js" in browser.get("/acme/arcade/tree/swarm/issue-1/src").text
    assert "&lt;i&gt;" in browser.get("/acme/arcade/blob/swarm/issue-1/src/a.js").text
    raw = browser.get("/acme/arcade/raw/swarm/issue-1/src/a.js")
    assert (raw.text, raw.headers["content-type"].split(";")[0]) == ("let a = '<i>';\n", "text/plain")
    assert "Verified" in browser.get(f"/acme/arcade/commit/{sha}").text
    assert browser.get("/acme/arcade/blob/main/nowhere").status_code == 404
    assert browser.get("/_local/avatars/alice.svg").headers["content-type"].startswith("image/svg+xml")
    assert ".markdown" in browser.get("/_local/style.css").text


def test_private_repositories_are_hidden(hub: Running, browser: httpx.Client) -> None:
    """From those without a role, with the page of what does not exist."""
    hub.create_repository("acme/secret", {"README.md": b"# Secret\n"}, private=True)
    assert "acme/secret" in browser.get("/?as=alice").text
    assert "acme/secret" not in browser.get("/?as=stranger").text
    assert browser.get("/acme/secret?as=stranger").status_code == 404


def test_an_app_is_made_from_its_manifest(hub: Running, browser: httpx.Client) -> None:
    """The form, the code, the exchange without credentials, once; then the installation."""
    manifest = (
        '{"name": "Second App", "url": "http://127.0.0.1", "redirect_url": "http://127.0.0.1:1/setup/done",'
        ' "default_permissions": {"issues": "write"}, "default_events": ["issues"]}'
    )
    page = browser.post("/settings/apps/new?state=S", data={"manifest": manifest}).text
    assert "Create GitHub App" in page
    form = {"manifest": manifest, "state": "S", "account": "acme"}
    back = browser.post("/_local/manifests", data=form, follow_redirects=False).headers["location"]
    query = parse_qs(urlsplit(back).query)
    assert query["state"] == ["S"]
    convert = f"{hub.base_url}/app-manifests/{query['code'][0]}/conversions"
    made = httpx.post(convert)
    assert (made.status_code, made.json()["slug"]) == (201, "second-app")
    assert made.json()["pem"].startswith("-----BEGIN RSA PRIVATE KEY-----")
    assert httpx.post(convert).status_code == 404
    installed = browser.post("/apps/second-app/installations", data={"account": "acme"})
    assert installed.url.path == "/acme/arcade"
    bad = manifest.replace('["issues"]', '["installation"]')
    refused = browser.post("/settings/apps/new", data={"manifest": bad})
    assert "Default events unsupported: installation" in refused.text


def test_alerts_are_boxes() -> None:
    """`> [!NOTE]` is a box with a heading, as GitHub shows it; another quotation stays one."""
    shown = Markdown(lambda _kind, _value: None).comment(
        "> [!NOTE]\n> The preview is public.\n\n> [!WHAT]\n> no"
    )
    assert '<blockquote class="alert note">' in shown
    assert "<strong>Note</strong>" in shown
    assert "[!WHAT]" in shown
