"""Pull requests, merging, deployments, check runs and commit statuses."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from bot.local.github.server import Running
from tests.local.github.conftest import Receiver, Rest, client, installation_token

ARCADE = "/repos/acme/arcade"
BRANCH = "swarm/issue-1"


def branch(bot: Rest, name: str = BRANCH, files: dict[str, str] | None = None, parent: str = "") -> str:
    """A branch with one commit of the App on top of main; gives the commit."""
    parent = parent or str(bot("GET", f"{ARCADE}/git/ref/heads/main").json()["object"]["sha"])
    entries = [
        {"path": path, "mode": "100644", "type": "blob", "content": text}
        for path, text in (files or {"server.js": "one\n"}).items()
    ]
    tree = bot("POST", f"{ARCADE}/git/trees", {"base_tree": parent, "tree": entries}).json()["sha"]
    body = {"message": "Work", "tree": tree, "parents": [parent]}
    sha = str(bot("POST", f"{ARCADE}/git/commits", body).json()["sha"])
    answer = bot("POST", f"{ARCADE}/git/refs", {"ref": f"refs/heads/{name}", "sha": sha})
    if answer.status_code == 422:
        bot("PATCH", f"{ARCADE}/git/refs/heads/{name}", {"sha": sha, "force": True})
    return sha


def pull(bot: Rest, **more: Any) -> httpx.Response:
    return bot("POST", f"{ARCADE}/pulls", {"title": "PR", "head": BRANCH, "base": "main", **more})


def test_a_draft_is_opened_once(hub: Running, receiver: Receiver, rest: Callable[[str], Rest]) -> None:
    """The second for the same branch is refused, as is one without commits, or from a branch that is not there."""
    bot = rest("bot")
    sha = branch(bot)
    made = pull(bot, draft=True, body="Closes #7")
    assert made.status_code == 201
    shape = made.json()
    assert (shape["draft"], shape["mergeable"], shape["head"]["sha"]) == (True, None, sha)
    assert (shape["changed_files"], shape["additions"], shape["commits"]) == (1, 1, 1)
    assert bot("GET", f"{ARCADE}/pulls/1").json()["mergeable"] is True
    again = pull(bot)
    assert again.status_code == 422
    assert again.json()["errors"][0]["message"] == f"A pull request already exists for acme:{BRANCH}."
    main = bot("GET", f"{ARCADE}/git/ref/heads/main").json()["object"]["sha"]
    bot("POST", f"{ARCADE}/git/refs", {"ref": "refs/heads/same", "sha": main})
    same = pull(bot, head="same")
    assert same.json()["errors"][0]["message"] == "No commits between main and same"
    assert pull(bot, head="nowhere").json()["errors"][0]["field"] == "head"
    (opened,) = receiver.wait_for("pull_request.opened")
    assert opened.json()["sender"]["login"] == "swarm-build[bot]"
    found = bot("GET", f"{ARCADE}/pulls", head=f"acme:{BRANCH}", state="all").json()
    assert [each["number"] for each in found] == [1]


def test_a_pull_request_is_an_issue_too(receiver: Receiver, rest: Callable[[str], Rest]) -> None:
    """Comments and labels go through the issues API; labels are told as pull_request events."""
    bot = rest("bot")
    branch(bot)
    pull(bot)
    assert bot("GET", f"{ARCADE}/issues/1").json()["pull_request"]["url"].endswith("/pulls/1")
    rest("alice")("POST", f"{ARCADE}/issues/1/labels", {"labels": ["bug"]})
    rest("alice")("POST", f"{ARCADE}/issues/1/comments", {"body": "/swarm rebuild"})
    (labeled,) = receiver.wait_for("pull_request.labeled")
    assert labeled.json()["label"]["name"] == "bug"
    (comment,) = receiver.wait_for("issue_comment.created")
    assert "pull_request" in comment.json()["issue"]


def test_a_push_to_the_branch_moves_the_pull_request(receiver: Receiver, rest: Callable[[str], Rest]) -> None:
    """Synchronize says from where to where; a check suite is asked for at every push."""
    bot = rest("bot")
    first = branch(bot)
    pull(bot)
    second = branch(bot, files={"server.js": "two\n"})
    (moved,) = receiver.wait_for("pull_request.synchronize")
    assert (moved.json()["before"], moved.json()["after"]) == (first, second)
    assert bot("GET", f"{ARCADE}/pulls/1").json()["head"]["sha"] == second
    assert len(receiver.wait_for("check_suite.requested", 2)) == 2
    names = [file["filename"] for file in bot("GET", f"{ARCADE}/pulls/1/files").json()]
    assert names == ["server.js"]


def test_deleting_the_branch_closes_the_pull_request(receiver: Receiver, rest: Callable[[str], Rest]) -> None:
    """And without its branch it cannot be opened again."""
    bot = rest("bot")
    branch(bot)
    pull(bot)
    bot("DELETE", f"{ARCADE}/git/refs/heads/{BRANCH}")
    receiver.wait_for("pull_request.closed")
    assert rest("alice")("PATCH", f"{ARCADE}/pulls/1", {"state": "open"}).status_code == 422


def test_closing_and_reopening(receiver: Receiver, rest: Callable[[str], Rest]) -> None:
    """By a person, with `merged` false."""
    bot, alice = rest("bot"), rest("alice")
    branch(bot)
    pull(bot)
    assert alice("PATCH", f"{ARCADE}/pulls/1", {"state": "closed"}).json()["state"] == "closed"
    assert receiver.wait_for("pull_request.closed")[0].json()["pull_request"]["merged"] is False
    assert alice("PATCH", f"{ARCADE}/pulls/1", {"state": "open"}).json()["state"] == "open"
    receiver.wait_for("pull_request.reopened")


def test_merging_closes_what_it_says(receiver: Receiver, rest: Callable[[str], Rest]) -> None:
    """A merge commit on main, and the named issue is closed."""
    bot, alice = rest("bot"), rest("alice")
    alice("POST", f"{ARCADE}/issues", {"title": "Snake"})
    sha = branch(bot)
    pull(bot, body="Closes #1")
    merged = alice("PUT", f"{ARCADE}/pulls/2/merge", {}).json()
    commit = bot("GET", f"{ARCADE}/git/commits/{merged['sha']}").json()
    assert commit["parents"][1]["sha"] == sha
    assert bot("GET", f"{ARCADE}/pulls/2").json()["merged"] is True
    assert bot("GET", f"{ARCADE}/pulls/2/merge").status_code == 204
    assert bot("GET", f"{ARCADE}/issues/1").json()["state"] == "closed"
    assert receiver.wait_for("pull_request.closed")[0].json()["pull_request"]["merged"] is True


def test_conflicts_and_drafts_are_not_merged(rest: Callable[[str], Rest]) -> None:
    """405, and `mergeable` says why."""
    bot, alice = rest("bot"), rest("alice")
    base = branch(bot, "main", {"a.txt": "base\n"})
    branch(bot, files={"a.txt": "ours\n"}, parent=base)
    pull(bot)
    branch(bot, "main", {"a.txt": "theirs\n"}, parent=base)
    bot("PATCH", f"{ARCADE}/pulls/1", {"base": "main"})
    assert alice("PUT", f"{ARCADE}/pulls/1/merge", {}).status_code == 405
    branch(bot, "other", {"b.txt": "x"})
    pull(bot, head="other", draft=True)
    assert alice("PUT", f"{ARCADE}/pulls/2/merge", {}).status_code == 405


def test_a_review_comment_reaches_an_app_that_listens(rest: Callable[[str], Rest]) -> None:
    """It names file and line; one on a file outside the diff is refused."""
    bot = rest("bot")
    sha = branch(bot)
    pull(bot)
    path = f"{ARCADE}/pulls/1/comments"
    body = {"body": "why?", "commit_id": sha, "path": "server.js", "line": 1}
    assert rest("rita")("POST", path, body).status_code == 201
    assert rest("rita")("POST", path, body | {"path": "gone.js"}).status_code == 422
    assert [found["line"] for found in bot("GET", path).json()] == [1]


def deployment(bot: Rest, ref: str, **more: Any) -> httpx.Response:
    body = {
        "ref": ref,
        "environment": "swarm-preview",
        "required_contexts": [],
        "auto_merge": False,
        "transient_environment": True,
        "production_environment": False,
    }
    return bot("POST", f"{ARCADE}/deployments", body | more)


def test_deployments_tell_where_the_preview_is(rest: Callable[[str], Rest]) -> None:
    """Statuses newest first; a transient one is only ended by its own `inactive`."""
    bot = rest("bot")
    sha = branch(bot)
    first, second = deployment(bot, sha).json()["id"], deployment(bot, sha).json()["id"]
    for number in (first, second):
        status = {"state": "success", "environment_url": f"http://127.0.0.1:1/{number}"}
        assert bot("POST", f"{ARCADE}/deployments/{number}/statuses", status).status_code == 201
    states = bot("GET", f"{ARCADE}/deployments/{first}/statuses").json()
    assert [state["state"] for state in states] == ["success"]
    assert bot("DELETE", f"{ARCADE}/deployments/{first}").status_code == 422
    bot("POST", f"{ARCADE}/deployments/{first}/statuses", {"state": "inactive"})
    assert bot("DELETE", f"{ARCADE}/deployments/{first}").status_code == 204
    assert len(bot("GET", f"{ARCADE}/deployments", environment="swarm-preview").json()) == 1
    assert bot("DELETE", f"{ARCADE}/environments/swarm-preview").status_code == 403


def test_lasting_deployments_retire_earlier_ones(rest: Callable[[str], Rest]) -> None:
    """`auto_inactive`, which transient deployments escape."""
    bot = rest("bot")
    sha = branch(bot)
    made = [deployment(bot, sha, transient_environment=False).json()["id"] for _ in range(2)]
    for number in made:
        bot("POST", f"{ARCADE}/deployments/{number}/statuses", {"state": "success"})
    states = bot("GET", f"{ARCADE}/deployments/{made[0]}/statuses").json()
    assert [state["state"] for state in states] == ["inactive", "success"]


def test_a_running_check_blocks_a_deployment_unless_told_otherwise(rest: Callable[[str], Rest]) -> None:
    """GitHub's default is that all contexts count, our own check run too."""
    bot = rest("bot")
    sha = branch(bot)
    bot("POST", f"{ARCADE}/check-runs", {"name": "swarm", "head_sha": sha, "status": "in_progress"})
    body = {"ref": sha, "auto_merge": False}
    assert bot("POST", f"{ARCADE}/deployments", body).status_code == 409
    assert bot("POST", f"{ARCADE}/deployments", body | {"required_contexts": []}).status_code == 201


def test_auto_merge_changes_the_branch(rest: Callable[[str], Rest]) -> None:
    """The default merges main into a deployed branch that lacks it, and deploys nothing."""
    bot = rest("bot")
    sha = branch(bot)
    branch(bot, "main", {"other.txt": "x"})
    answer = deployment(bot, BRANCH, auto_merge=True)
    assert (answer.status_code, "id" in answer.json()) == (202, False)
    assert bot("GET", f"{ARCADE}/git/ref/heads/{BRANCH}").json()["object"]["sha"] != sha


def test_buttons_of_a_check_run_work_when_it_has_ended(
    hub: Running, receiver: Receiver, rest: Callable[[str], Rest]
) -> None:
    """The click arrives as requested_action, at the App that made the run."""
    bot = rest("bot")
    sha = branch(bot)
    actions = [{"label": "Rebuild", "description": "Build it again", "identifier": "rebuild"}]
    run = {"name": "swarm", "head_sha": sha, "status": "in_progress", "actions": actions}
    number = bot("POST", f"{ARCADE}/check-runs", run).json()["id"]
    click = f"{hub.web_url}/_local/check-runs/{number}/rebuild"
    as_alice = {"Authorization": f"Bearer {hub.users['alice']}"}
    assert httpx.post(click, headers=as_alice).status_code == 404
    done = {"conclusion": "success", "output": {"title": "Done", "summary": "s"}}
    updated = bot("PATCH", f"{ARCADE}/check-runs/{number}", done).json()
    assert (updated["status"], updated["output"]["title"]) == ("completed", "Done")
    assert httpx.post(click, headers=as_alice).status_code == 204
    (pressed,) = receiver.wait_for("check_run.requested_action")
    assert pressed.json()["requested_action"] == {"identifier": "rebuild"}
    assert pressed.json()["check_run"]["check_suite"]["head_branch"] == BRANCH
    listed = bot("GET", f"{ARCADE}/commits/{sha}/check-runs").json()
    assert (listed["total_count"], listed["check_runs"][0]["conclusion"]) == (1, "success")


@pytest.mark.parametrize(
    "body",
    [
        {"status": "completed"},
        {"conclusion": "success", "output": {"title": "t", "summary": "x" * 65_536}},
        {"actions": [{"label": "x" * 21, "description": "d", "identifier": "i"}]},
    ],
)
def test_check_runs_beyond_the_limits_are_refused(
    hub: Running, rest: Callable[[str], Rest], body: dict[str, Any]
) -> None:
    """Without a conclusion, with a long summary, with a long label: 422, and the request counts as a violation."""
    bot = rest("bot")
    answer = bot("POST", f"{ARCADE}/check-runs", {"name": "x", "head_sha": branch(bot), **body})
    assert answer.status_code == 422
    assert all(found["where"] == "request" for found in hub.violations())
    hub.api.violations.clear()


def test_statuses_add_up(rest: Callable[[str], Rest]) -> None:
    """The newest of each context counts."""
    alice = rest("alice")
    sha = branch(alice)
    for state, context in (("pending", "ci"), ("success", "ci"), ("success", "lint")):
        body = {"state": state, "context": context}
        assert alice("POST", f"{ARCADE}/statuses/{sha}", body).status_code == 201
    found = alice("GET", f"{ARCADE}/commits/{sha}/status").json()
    assert (found["state"], found["total_count"]) == ("success", 2)


def test_comparisons_count_both_ways(hub: Running, rest: Callable[[str], Rest]) -> None:
    """ahead, behind and the files, as PyGithub reads them."""
    bot = rest("bot")
    branch(bot)
    branch(bot, "main", {"other.txt": "x"})
    repo = client(hub, installation_token(hub)).get_repo("acme/arcade")
    found = repo.compare("main", BRANCH)
    assert (found.status, found.ahead_by, found.behind_by) == ("diverged", 1, 1)
    assert [file.filename for file in found.files] == ["server.js"]
    assert repo.get_branch(BRANCH).commit.commit.verification.verified is True  # type: ignore[attr-defined]
