"""Every webhook that the stand-in sends keeps to GitHub's schema."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from bot.local.github import seed
from bot.local.github.server import Running, start
from tests.local.github.conftest import HTTP, Receiver, Rest
from tests.local.github.test_pulls import ARCADE, branch, deployment, pull

MANIFEST: Mapping[str, Any] = {
    **seed.MANIFEST,
    "default_events": [
        "check_run",
        "check_suite",
        "deployment",
        "deployment_status",
        "issue_comment",
        "issues",
        "label",
        "pull_request",
        "pull_request_review_comment",
        "push",
    ],
}


@pytest.fixture
def hub(tmp_path: Path, receiver: Receiver) -> Iterator[Running]:
    """A local GitHub whose App listens to everything."""
    running = start(tmp_path / "github", webhook_url=receiver.url, manifest=MANIFEST)
    yield running
    running.stop()


def test_all_events_keep_to_their_schemas(
    hub: Running, receiver: Receiver, rest: Callable[[str], Rest]
) -> None:
    """A day in the life of a repository; nothing that was sent differs from the official description."""
    alice, bot = rest("alice"), rest("bot")
    alice("POST", f"{ARCADE}/labels", {"name": "new", "color": "123abc"})
    alice("PATCH", f"{ARCADE}/labels/new", {"new_name": "newer", "color": "abcdef"})
    alice("POST", f"{ARCADE}/issues", {"title": "Snake", "labels": ["newer"]})
    alice("DELETE", f"{ARCADE}/labels/newer")
    comment = bot("POST", f"{ARCADE}/issues/1/comments", {"body": "a"}).json()["id"]
    bot("PATCH", f"{ARCADE}/issues/comments/{comment}", {"body": "b"})
    bot("DELETE", f"{ARCADE}/issues/comments/{comment}")
    sha = branch(bot)
    pull(bot, draft=True, body="Closes #1")
    HTTP.post(f"{hub.web_url}/acme/arcade/pull/2/ready")
    line = {"body": "?", "commit_id": sha, "path": "server.js", "line": 1}
    alice("POST", f"{ARCADE}/pulls/2/comments", line)
    alice("PATCH", f"{ARCADE}/pulls/2", {"title": "New title", "body": "Fixes #1"})
    alice("POST", f"{ARCADE}/issues/2/labels", {"labels": ["bug"]})
    alice("DELETE", f"{ARCADE}/issues/2/labels/bug")
    alice("PATCH", f"{ARCADE}/pulls/2", {"state": "closed"})
    alice("PATCH", f"{ARCADE}/pulls/2", {"state": "open"})
    number = deployment(bot, sha).json()["id"]
    path = f"{ARCADE}/deployments/{number}/statuses"
    bot("POST", path, {"state": "success", "environment_url": "http://127.0.0.1:1/"})
    bot("POST", path, {"state": "inactive"})
    run = bot("POST", f"{ARCADE}/check-runs", {"name": "x", "head_sha": sha}).json()["id"]
    bot("PATCH", f"{ARCADE}/check-runs/{run}", {"conclusion": "failure"})
    alice("POST", f"{ARCADE}/check-runs/{run}/rerequest")
    branch(bot, files={"server.js": "two\n"})
    alice("PUT", f"{ARCADE}/pulls/2/merge", {})
    bot("DELETE", f"{ARCADE}/git/refs/heads/swarm/issue-1")
    assert hub.wait_for_webhooks()
    assert hub.violations() == []
    assert {received.event for received in receiver.got} == {
        "check_run.completed",
        "check_run.created",
        "check_run.rerequested",
        "check_suite.requested",
        "deployment.created",
        "deployment_status.created",
        "issue_comment.created",
        "issue_comment.deleted",
        "issue_comment.edited",
        "issues.closed",
        "issues.labeled",
        "issues.opened",
        "label.created",
        "label.deleted",
        "label.edited",
        "ping",
        "pull_request.closed",
        "pull_request.edited",
        "pull_request.labeled",
        "pull_request.opened",
        "pull_request.ready_for_review",
        "pull_request.reopened",
        "pull_request.synchronize",
        "pull_request.unlabeled",
        "pull_request_review_comment.created",
        "push",
    }
    pushes = [received.json() for received in receiver.of("push")]
    assert {push["ref"] for push in pushes} == {"refs/heads/main", "refs/heads/swarm/issue-1"}
    assert [push["head_commit"]["added"] for push in pushes if push["created"]] == [["server.js"]]


def test_the_bot_hears_its_own_actions(receiver: Receiver, rest: Callable[[str], Rest]) -> None:
    """With a sender of type Bot, so that it can leave them alone."""
    rest("bot")("POST", f"{ARCADE}/issues", {"title": "x"})
    sender = receiver.wait_for("issues.opened")[0].json()["sender"]
    assert (sender["login"], sender["type"]) == ("swarm-build[bot]", "Bot")
