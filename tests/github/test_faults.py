"""Each route that a finished build uses, with each way in which GitHub may fail it: one of everything in the end."""

from collections.abc import Callable
from typing import Any

import pytest

from bot.core.errors import BotError
from bot.core.models import Artifact, Published, RunId
from bot.github.client import Repository
from bot.github.publish import CHECK_NAME, Publication, publish, start_of
from bot.github.values import CheckConclusion, CheckReport
from tests.github.hub import QUICK, Hub, remark

ALWAYS = (
    ("POST", r"/issues/\d+/reactions$"),
    ("GET", r"/issues/\d+/comments"),
    ("POST", r"/issues/\d+/comments$"),
    ("PATCH", r"/issues/comments/"),
    ("GET", r"/git/ref/heads/swarm/"),
    ("POST", r"/git/blobs$"),
    ("POST", r"/git/trees$"),
    ("POST", r"/git/commits$"),
    ("GET", r"/commits/\w+/check-runs"),
    ("POST", r"/check-runs$"),
    ("GET", r"/check-runs/\d+"),
    ("PATCH", r"/check-runs/"),
    ("GET", r"/pulls"),
    ("GET", r"/deployments"),
    ("POST", r"/deployments$"),
    ("POST", r"/statuses$"),
)
FIRST = (*ALWAYS, ("GET", r"/branches/"), ("POST", r"/git/refs$"), ("POST", r"/pulls$"))
AGAIN = (
    *ALWAYS,
    ("GET", r"/compare/"),
    ("GET", r"/git/trees/"),
    ("PATCH", r"/git/refs/"),
    ("PATCH", r"/pulls/"),
)
FAULTS: dict[str, dict[str, Any]] = {
    "500": {"status": 500},
    "502 before": {"status": 502},
    "502 after": {"status": 502, "kind": "after"},
    "422": {"status": 422, "message": "Validation Failed"},
    "409": {"status": 409, "message": "Conflict"},
    "403 wait": {"status": 403, "headers": {"Retry-After": "0"}},
    "401": {"status": 401, "message": "Bad credentials"},
    "timeout before": {"status": 502, "delay_s": 1.2},
    "timeout after": {"status": 0, "delay_s": 1.2, "kind": "after"},
}
IMPATIENT_S = 1.0
"""A fault of this kind costs as much, so that only calls that create something suffer it."""


def all_of_a_build(repository: Repository, publication: Publication) -> Published:
    """What a build says on GitHub, in its order: reaction, comment, commit, check, pull request, deployment, comment."""
    repository.react(publication.issue, "eyes")
    comment = repository.say(publication.issue, "Building", f"build={publication.run}")
    done = publish(repository, publication)
    repository.edit_comment(comment, "Built", f"build={publication.run}")
    return done


def engine(make: Callable[[], Repository], act: Callable[[Repository], Published], times: int) -> Published:
    """As the engine does it: a step that failed is tried again, by whoever is there."""
    for _ in range(times - 1):
        try:
            return act(make())
        except BotError:
            continue
    return act(make())


def publication_of(hub: Hub, issue: int, run: str, repository: Repository) -> Publication:
    base, branch = repository.base(), f"swarm/issue-{issue}"
    return Publication(
        run=RunId(run),
        issue=issue,
        branch=branch,
        base=base,
        start=start_of(repository, branch, base),
        files=[Artifact("SPEC.md", run.encode()), Artifact("logo.png", b"\0" + run.encode())],
        title=f"Snake {run}",
        body="It works",
        commit_message="Build snake",
        remark=remark,
        evidence_url=f"http://127.0.0.1:9000/{run}",
        check=CheckReport("It works", "Really", conclusion=CheckConclusion.SUCCESS),
    )


def assert_one_of_everything(hub: Hub, publication: Publication, done: Published) -> None:
    compared = hub.get(f"compare/{publication.base.branch}...{publication.branch}")
    ours = [each["sha"] for each in compared["commits"] if publication.run in each["commit"]["message"]]
    assert ours == [done.commit_sha]
    pulls = hub.get(f"pulls?state=all&head={hub.owner}:{publication.branch}")
    assert [each["number"] for each in pulls] == [done.pull_request]
    deployments = hub.get(f"deployments?sha={done.commit_sha}")
    assert [each["id"] for each in deployments] == [done.deployment_id]
    checks = hub.get(f"commits/{done.commit_sha}/check-runs")["check_runs"]
    assert [(each["name"], each["conclusion"]) for each in checks] == [(CHECK_NAME, "success")]
    comments = [each["body"] for each in hub.get(f"issues/{publication.issue}/comments")]
    assert [text.split()[0] for text in comments if publication.run in text] == ["Built"]


@pytest.mark.parametrize(
    ("routes", "fault"),
    [pytest.param(FIRST, fault, id=f"first-{fault}") for fault in FAULTS]
    + [pytest.param(AGAIN, fault, id=f"again-{fault}") for fault in FAULTS if "timeout" not in fault],
)
def test_each_route_fails_once(hub: Hub, routes: tuple[tuple[str, str], ...], fault: str) -> None:
    """Exactly one commit, pull request, check, deployment and progress comment, of a first build and of a rebuild.

    Before the rebuild's last step a person pushes, so that it has to look at the branch more closely.
    """
    issue = hub.open_issue()
    publication = publication_of(hub, issue, "aaaaaaaaaaaa", hub.repository())
    if routes is AGAIN:
        all_of_a_build(hub.repository(), publication)
        publication = publication_of(hub, issue, "bbbbbbbbbbbb", hub.repository())
        hub.push_as("alice", publication.branch, {"tail.js": "mended"})
    for method, path in routes:
        if "timeout" not in fault or method == "POST":
            hub.fault(method=method, path_regex=path, **FAULTS[fault])
    timeout_s = IMPATIENT_S if "timeout" in fault else 60.0
    done = engine(
        lambda: hub.repository(QUICK, timeout_s=timeout_s),
        lambda repository: all_of_a_build(repository, publication),
        times=len(routes) + 1,
    )
    assert hub.faults_left() == []
    assert_one_of_everything(hub, publication, done)
