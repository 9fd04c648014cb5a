"""Issues, labels, comments and reactions, and what the App hears of them."""

from collections.abc import Callable

from bot.local.github.description import load_description
from bot.local.github.server import Running
from bot.local.github.world import World
from tests.local.github.conftest import Receiver, Rest, client, installation_token

ISSUES = "/repos/acme/arcade/issues"


def test_an_issue_opened_with_labels_sends_opened_and_labeled(
    hub: Running, receiver: Receiver, rest: Callable[[str], Rest]
) -> None:
    """Both events, signed over the exact bytes, with the headers of a real delivery."""
    made = rest("alice")("POST", ISSUES, {"title": "Snake 🐍", "body": "b", "labels": ["swarm-build"]})
    (opened,), (labeled,) = receiver.wait_for("issues.opened"), receiver.wait_for("issues.labeled")
    for hook in (opened, labeled):
        assert hook.signed_by(hub.webhook_secret)
        assert hook.headers["x-github-hook-installation-target-id"] == str(hub.app_id)
        assert hook.headers["x-github-hook-installation-target-type"] == "integration"
        assert hook.headers["user-agent"].startswith("GitHub-Hookshot/")
        assert len(hook.headers["x-github-delivery"]) == 36
    payload = labeled.json()
    assert payload["label"]["name"] == "swarm-build"
    assert payload["issue"]["number"] == made.json()["number"]
    assert payload["repository"]["full_name"] == "acme/arcade"
    assert payload["organization"]["login"] == "acme"
    assert payload["sender"]["login"] == "alice"
    installations = list(hub.world.store.installations)
    assert payload["installation"]["id"] == installations[0].id


def test_a_label_that_is_there_already_sends_nothing(
    hub: Running, receiver: Receiver, rest: Callable[[str], Rest]
) -> None:
    """Removing and adding it again does."""
    alice = rest("alice")
    alice("POST", ISSUES, {"title": "x"})
    labels = f"{ISSUES}/1/labels"
    alice("POST", labels, {"labels": ["bug"]})
    alice("POST", labels, {"labels": ["bug"]})
    assert alice("DELETE", f"{labels}/bug").json() == []
    assert alice("DELETE", f"{labels}/bug").status_code == 404
    alice("POST", labels, {"labels": ["BUG"]})
    assert hub.wait_for_webhooks()
    assert len(receiver.of("issues.labeled")) == 2
    assert len(receiver.of("issues.unlabeled")) == 1
    assert receiver.of("issues.unlabeled")[0].json()["label"]["name"] == "bug"


def test_labels_with_slashes_and_older_forms(hub: Running, rest: Callable[[str], Rest]) -> None:
    """An escaped slash is part of the name; PyGithub's bare list of labels is still taken."""
    issue = client(hub, hub.users["alice"]).get_repo("acme/arcade").create_issue("x")
    issue.add_to_labels("area/web", "two words")
    assert {label.name for label in issue.get_labels()} == {"area/web", "two words"}
    left = rest("alice")("DELETE", f"{ISSUES}/1/labels/area%2Fweb").json()
    assert [label["name"] for label in left] == ["two words"]
    issue.remove_from_labels("two words")
    assert list(issue.get_labels()) == []


def test_comments_are_written_edited_and_deleted(
    hub: Running, receiver: Receiver, rest: Callable[[str], Rest]
) -> None:
    """With one event each; the edit tells what was there before."""
    rest("alice")("POST", ISSUES, {"title": "x"})
    bot = rest("bot")
    made = bot("POST", f"{ISSUES}/1/comments", {"body": "one"}).json()
    path = f"{ISSUES}/comments/{made['id']}"
    assert bot("PATCH", path, {"body": "two"}).json()["body"] == "two"
    assert bot("GET", path).json()["performed_via_github_app"]["id"] == hub.app_id
    assert rest("rita")("PATCH", path, {"body": "mine"}).status_code == 403
    assert bot("DELETE", path).status_code == 204
    assert bot("GET", path).status_code == 404
    (edited,) = receiver.wait_for("issue_comment.edited")
    assert edited.json()["changes"]["body"]["from"] == "one"
    assert edited.json()["sender"]["type"] == "Bot"
    assert len(receiver.wait_for("issue_comment.created")) == 1
    receiver.wait_for("issue_comment.deleted")


def test_texts_have_a_longest_length(rest: Callable[[str], Rest]) -> None:
    """65,536 characters pass, one more does not; empty comments do not either."""
    alice = rest("alice")
    alice("POST", ISSUES, {"title": "x"})
    path = f"{ISSUES}/1/comments"
    assert alice("POST", path, {"body": "x" * 65_536}).status_code == 201
    refused = alice("POST", path, {"body": "x" * 65_537})
    assert refused.status_code == 422
    assert "maximum is 65536 characters" in refused.json()["errors"][0]["message"]
    assert alice("POST", path, {"body": "  "}).status_code == 422


def test_issues_are_closed_reopened_and_edited(receiver: Receiver, rest: Callable[[str], Rest]) -> None:
    """State, reason and title, with their events."""
    alice = rest("alice")
    alice("POST", ISSUES, {"title": "x"})
    closed = alice("PATCH", f"{ISSUES}/1", {"state": "closed", "state_reason": "not_planned"}).json()
    assert (closed["state"], closed["state_reason"], closed["closed_by"]["login"]) == (
        "closed",
        "not_planned",
        "alice",
    )
    assert alice("PATCH", f"{ISSUES}/1", {"state": "open"}).json()["state_reason"] == "reopened"
    alice("PATCH", f"{ISSUES}/1", {"title": "y", "labels": ["bug"]})
    for event in ("issues.closed", "issues.reopened", "issues.edited", "issues.labeled"):
        receiver.wait_for(event)
    assert receiver.of("issues.edited")[0].json()["changes"] == {"title": {"from": "x"}}


def test_a_reaction_counts_once(rest: Callable[[str], Rest]) -> None:
    """201 the first time, 200 with the same reaction after that."""
    rest("alice")("POST", ISSUES, {"title": "x"})
    bot, path = rest("bot"), f"{ISSUES}/1/reactions"
    first = bot("POST", path, {"content": "eyes"})
    again = bot("POST", path, {"content": "eyes"})
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json()["id"] == again.json()["id"]
    assert bot("GET", f"{ISSUES}/1").json()["reactions"]["eyes"] == 1
    assert bot("DELETE", f"{path}/{first.json()['id']}").status_code == 204
    assert bot("GET", path).json() == []


def test_lists_come_in_pages(hub: Running) -> None:
    """PyGithub follows the Link headers to the end."""
    repo = client(hub, installation_token(hub)).get_repo("acme/arcade")
    issue = repo.create_issue("x")
    for number in range(7):
        issue.create_comment(str(number))
    repo.create_issue("y", labels=["bug"])
    pages = client(hub, hub.users["alice"])
    pages.per_page = 3
    again = pages.get_repo("acme/arcade")
    assert [comment.body for comment in again.get_issue(1).get_comments()] == [str(n) for n in range(7)]
    assert [found.title for found in again.get_issues(labels=["bug"])] == ["y"]


def test_the_state_is_found_again_on_disk(hub: Running, rest: Callable[[str], Rest]) -> None:
    """What is on disk is what was there: records come back from the state folder."""
    rest("alice")("POST", ISSUES, {"title": "Kept", "labels": ["bug"]})
    again = World(hub.world.store.folder, load_description(), hub.world.clock)
    repo = again.repository("acme", "arcade")
    assert repo is not None
    issue = again.issue(repo, 1)
    assert issue is not None
    assert (issue.title, issue.author) == ("Kept", "alice")
    again.store.close()
