"""Webhook bodies become typed events, or a reason."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.core.codec import dump
from bot.core.errors import UserError
from bot.core.events import (
    CommentCreated,
    Ignored,
    IssueClosed,
    IssueLabeled,
    IssueUnlabeled,
    PullRequestClosed,
    PullRequestPushed,
    RebuildRequested,
    ReviewCommentCreated,
    Sender,
    load_event,
    parse,
    partition,
)
from bot.core.installations import InstallationGone, RepositoriesAdded, RepositoriesGone, RepositoryRenamed
from bot.core.models import Repo

REPO = Repo("octo/games", 42, 7)
ADA = Sender("ada", "User")


def payload(action: str, **parts: Any) -> dict[str, Any]:
    """What all repository events carry."""
    return {
        "action": action,
        "repository": {"id": 42, "full_name": "octo/games"},
        "installation": {"id": 7},
        "sender": {"login": "ada", "type": "User"},
        "issue": {"number": 7, "title": "Snake", "body": "Build it"},
    } | parts


def read(event: str, body: Any, **kwargs: Any) -> Any:
    return parse(event, json.dumps(body).encode(), **kwargs)


PULL = {"number": 8, "merged": True, "head": {"ref": "swarm/issue-7"}}
COMMENT = {"id": 5, "body": "/swarm build", "user": {"login": "ada", "type": "User"}}
OURS = [
    (
        "issues",
        payload("labeled", label={"name": "go"}),
        IssueLabeled(REPO, 7, "Snake", "Build it", "go", ADA),
    ),
    ("issues", payload("unlabeled", label={"name": "go"}), IssueUnlabeled(REPO, 7, "go", ADA)),
    ("issues", payload("closed"), IssueClosed(REPO, 7, ADA)),
    (
        "issue_comment",
        payload("created", comment=COMMENT),
        CommentCreated(REPO, 7, "Snake", "Build it", False, 5, "/swarm build", ADA),
    ),
    (
        "pull_request_review_comment",
        payload("created", pull_request=PULL, comment=COMMENT | {"path": "a.js", "line": 3}),
        ReviewCommentCreated(REPO, 8, "a.js", 3, "/swarm build", ADA),
    ),
    (
        "pull_request_review_comment",
        payload(
            "created", pull_request=PULL, comment=COMMENT | {"path": "a.js", "line": None, "original_line": 2}
        ),
        ReviewCommentCreated(REPO, 8, "a.js", 2, "/swarm build", ADA),
    ),
    (
        "check_run",
        payload(
            "requested_action",
            check_run={"check_suite": {"head_branch": "swarm/issue-7"}},
            requested_action={"identifier": "rebuild"},
        ),
        RebuildRequested(REPO, "swarm/issue-7", ADA),
    ),
    (
        "pull_request",
        payload("closed", pull_request=PULL),
        PullRequestClosed(REPO, 8, True, "swarm/issue-7", ADA),
    ),
    (
        "pull_request",
        payload(
            "synchronize",
            pull_request={"number": 8, "head": {"ref": "swarm/issue-7", "sha": "abc"}},
            sender={"login": "ada", "type": "User", "id": 5},
        ),
        PullRequestPushed(REPO, 8, "swarm/issue-7", "abc", Sender("ada", "User", 5)),
    ),
]


@pytest.mark.parametrize(("event", "body", "expected"), OURS)
def test_ours(event: str, body: Any, expected: Any) -> None:
    """Each of our events becomes its value, and survives the journal."""
    assert read(event, body) == expected
    assert load_event(json.loads(json.dumps(dump(expected)))) == expected


def test_empty_texts() -> None:
    """GitHub sends null for an empty body."""
    issue = {"number": 7, "title": "Snake", "body": None}
    assert read("issues", payload("labeled", issue=issue, label={"name": "go"})).body == ""


def test_comment_on_a_pull_request() -> None:
    """A pull request's comments come as issue comments with a `pull_request` in the issue."""
    issue = {"number": 8, "title": "Snake", "body": "", "pull_request": {"url": "x"}}
    assert read("issue_comment", payload("created", issue=issue, comment=COMMENT)).is_pull_request


HUB = {"id": 42, "full_name": "octo/games", "private": False}
FROM = {"installation": {"id": 7, "account": {"login": "octo"}}, "sender": {"login": "ada", "type": "User"}}
ROOMS = [
    ("installation", "created", {"repositories": [HUB]}, RepositoriesAdded(7, (REPO,))),
    ("installation", "deleted", {"repositories": [HUB]}, InstallationGone(7, "the App was uninstalled")),
    ("installation", "suspend", {}, InstallationGone(7, "the App was suspended")),
    (
        "repository",
        "renamed",
        {"repository": HUB},
        RepositoryRenamed(7, Repo(HUB["full_name"], HUB["id"], 7)),
    ),
    ("installation_repositories", "added", {"repositories_added": [HUB]}, RepositoriesAdded(7, (REPO,))),
    (
        "installation_repositories",
        "removed",
        {"repositories_removed": [HUB], "repositories_added": []},
        RepositoriesGone(7, (REPO,), "the App may no longer work in this repository"),
    ),
    (
        "repository",
        "deleted",
        {"repository": HUB},
        RepositoriesGone(7, (REPO,), "the repository was deleted"),
    ),
    (
        "repository",
        "transferred",
        {"repository": HUB, "changes": {"owner": {"from": {}}}},
        RepositoriesGone(7, (REPO,), "the repository was transferred"),
    ),
]


@pytest.mark.parametrize(("event", "action", "parts", "expected"), ROOMS)
def test_where_we_may_work(event: str, action: str, parts: dict[str, Any], expected: Any) -> None:
    """Installations and repositories come and go, whoever does it; the journal gives back what it was given."""
    seen = read(event, {"action": action, **FROM, **parts})
    assert seen == expected
    assert load_event(dump(seen)) == expected
    assert partition(seen) == "installation-7"


BOT = {"login": "swarm[bot]", "type": "Bot"}


@pytest.mark.parametrize(
    ("event", "body", "word"),
    [
        ("ping", {"zen": "Keep it logically awesome.", "hook_id": 1}, "ping is not ours"),
        ("issues", payload("opened"), "issues.opened is not ours"),
        ("issue_comment", payload("edited", comment=COMMENT), "issue_comment.edited is not ours"),
        ("issue_comment", payload("deleted", comment=COMMENT), "issue_comment.deleted is not ours"),
        ("pull_request", payload("labeled", label={"name": "go"}), "pull_request.labeled is not ours"),
        ("push", {"ref": "refs/heads/main"}, "push is not ours"),
        ("installation", {"action": "deleted"}, "installation.deleted names nothing of ours"),
        ("issues", {"action": {"odd": 1}}, "issues is not ours"),
        ("issues", payload("labeled", label={"name": "go"}, sender=BOT), "a bot"),
        ("issues", payload("closed", installation=None), "installation"),
        ("issues", payload("labeled"), "no label"),
        ("issues", payload("unlabeled", label=None), "no label"),
    ],
)
def test_not_ours(event: str, body: Any, word: str) -> None:
    """Everything else is ignored, and says why."""
    ignored = read(event, body)
    assert isinstance(ignored, Ignored)
    assert word in ignored.reason


def test_comment_through_this_app() -> None:
    """A comment that was written through our App is ours, whoever's name it carries; another App's is not."""
    body = payload("created", comment=COMMENT | {"performed_via_github_app": {"id": 99}})
    assert isinstance(read("issue_comment", body, app_id="99"), Ignored)
    assert isinstance(read("issue_comment", body, app_id="98"), CommentCreated)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"[]",
        b'"text"',
        b"payload=%7B%7D",
        b"[" * 100_000,
        json.dumps({"action": "closed"}).encode(),
        json.dumps(payload("closed", issue={"number": "7", "title": "Snake"})).encode(),
        json.dumps(payload("closed", repository={"id": 42})).encode(),
        json.dumps(payload("closed", sender=None)).encode(),
    ],
)
def test_not_githubs(body: bytes) -> None:
    """A body that GitHub would not send is the sender's error, with a sentence."""
    with pytest.raises(UserError, match="body"):
        parse("issues", body)


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.sampled_from(OURS),
    st.sampled_from(["repository", "installation", "sender", "issue", "label", "comment", "pull_request"]),
    _json,
)
def test_nothing_else_escapes(known: Any, field: str, value: Any) -> None:
    """Whatever stands in a field, the outcome is an event, a reason or a UserError."""
    event, body, _ = known
    try:
        read(event, body | {field: value})
    except UserError:
        return


@pytest.mark.parametrize(
    ("event", "body", "kind"),
    [
        ("issues", payload("closed"), IssueClosed),
        ("issues", payload("unlabeled", label={"name": "go"}), IssueUnlabeled),
        ("pull_request", payload("closed", pull_request=PULL), PullRequestClosed),
    ],
)
def test_what_a_bot_ends_has_ended(event: str, body: Any, kind: type) -> None:
    """Merge queues and stale bots ask for nothing, but what they close is closed."""
    assert isinstance(read(event, {**body, "sender": BOT}), kind)
