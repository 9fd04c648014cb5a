"""A build on GitHub: once, however often and wherever it is interrupted."""

import dataclasses
from typing import Any

import pytest

from bot.core.errors import Transient
from bot.core.models import Artifact, Published, RunId
from bot.github.publish import CoAuthor, Publication, message_of, publish, run_of, start_of
from bot.github.values import Annotation, Base, CheckAction, CheckConclusion, CheckReport, Commit
from tests.github.hub import ONE_TRY, Hub, remark

FILES = (
    Artifact("Procfile", b"web: node server.js\n"),
    Artifact("SPEC.md", "# Snake — the contract\n".encode()),
    Artifact("public/logo.png", b"\x89PNG\0\xff"),
    Artifact("start.sh", b"#!/bin/sh\n", 0o100755),
)


def build(hub: Hub, issue: int, run: str = "0123456789ab", **changes: Any) -> Publication:
    publication = Publication(
        run=RunId(run),
        issue=issue,
        branch=f"swarm/issue-{issue}",
        base=hub.repository().base(),
        files=FILES,
        title="Multiplayer snake",
        body=f"Closes #{issue}",
        commit_message="Build multiplayer snake",
        remark=remark,
        evidence_url="http://127.0.0.1:9000/",
    )
    return dataclasses.replace(publication, **changes)


def what_stands(hub: Hub, branch: str, base: str) -> dict[str, Any]:
    """Commits on the branch, open pull requests, and deployments of its head."""
    compared = hub.get(f"compare/{base}...{branch}")
    return {
        "commits": [commit["sha"] for commit in compared["commits"]],
        "pulls": [pull["number"] for pull in hub.get(f"pulls?state=open&head={hub.owner}:{branch}")],
        "deployments": [found["id"] for found in hub.get(f"deployments?ref={branch}") or []]
        + [found["id"] for found in hub.get(f"deployments?sha={compared['commits'][-1]['sha']}")],
    }


def test_a_build_stands_on_github(hub: Hub) -> None:
    """Commit, pull request and deployment are there, as a person sees them."""
    issue = hub.open_issue()
    done = publish(hub.repository(), build(hub, issue, co_author=CoAuthor("alice", 5)))
    commit = hub.get(f"commits/{done.commit_sha}")
    assert commit["commit"]["message"] == (
        "Build multiplayer snake\n\n[skip ci]\n\n"
        "Swarm-Build-Run: 0123456789ab\nCo-authored-by: alice <5+alice@users.noreply.github.com>"
    )
    assert commit["commit"]["verification"]["verified"] is True
    assert {entry["path"]: entry["mode"] for entry in hub.tree(done.commit_sha)}.items() >= {
        ("Procfile", "100644"),
        ("SPEC.md", "100644"),
        ("public/logo.png", "100644"),
        ("start.sh", "100755"),
    }
    assert {file.path: hub.content(done.commit_sha, file.path) for file in FILES} == {
        file.path: file.content for file in FILES
    }
    pull = hub.get(f"pulls/{done.pull_request}")
    assert (pull["title"], pull["body"], pull["draft"]) == ("Multiplayer snake", f"Closes #{issue}", False)
    assert (pull["head"]["sha"], pull["html_url"]) == (done.commit_sha, done.pull_request_url)
    (status,) = hub.get(f"deployments/{done.deployment_id}/statuses")
    assert (status["state"], status["environment_url"]) == ("success", "http://127.0.0.1:9000/")


def test_a_build_without_preview_has_no_deployment(hub: Hub) -> None:
    """A draft without a working preview is opened as a draft, and nothing is said to be deployed."""
    issue = hub.open_issue()
    done = publish(hub.repository(), build(hub, issue, draft=True, evidence_url=None))
    assert done.deployment_id is None
    assert done.draft
    assert hub.get(f"pulls/{done.pull_request}")["draft"] is True
    assert hub.get(f"deployments?sha={done.commit_sha}") == []


def test_publishing_twice_changes_nothing(hub: Hub) -> None:
    """The same run again gives the same answer."""
    publication = build(hub, hub.open_issue())
    assert publish(hub.repository(), publication) == publish(hub.repository(), publication)


def calls_of_a_build(hub: Hub) -> int:
    repository = hub.repository()
    publish(repository, build(hub, hub.open_issue()))
    return repository.requests


@pytest.mark.parametrize("kind", ["before", "after"])
def test_killed_at_every_call(hub: Hub, kind: str) -> None:
    """Whichever call is the last that reaches GitHub, with or without effect, the next worker ends with one of each."""
    for position in range(calls_of_a_build(hub)):
        publication = build(hub, hub.open_issue(), run=f"{position:012x}")
        hub.fault(path_regex="^/repos/", kind=kind, status=502, skip=position)
        hub.fault(path_regex="^/repos/", kind="before", status=502, skip=position, times=1000)
        with pytest.raises(Transient):
            publish(hub.repository(ONE_TRY), publication)
        hub.calm()
        assert_once(hub, publication, publish(hub.repository(), publication))


@pytest.mark.parametrize("kind", ["before", "after"])
@pytest.mark.parametrize("method", ["GET", "POST", "PATCH"])
def test_a_passing_trouble_is_not_noticed(hub: Hub, kind: str, method: str) -> None:
    """One 502 at every kind of call is mended without the engine, and nothing is made twice."""
    publication = build(hub, hub.open_issue())
    for path in ("/git/", "/pulls", "/deployments$", "/statuses$"):
        hub.fault(method=method, path_regex=path, kind=kind, status=502)
    done = publish(hub.repository(), publication)
    hub.calm()
    assert_once(hub, publication, done)


def assert_once(hub: Hub, publication: Publication, done: Published) -> None:
    stands = what_stands(hub, publication.branch, publication.base.branch)
    assert stands["commits"] == [done.commit_sha]
    assert stands["pulls"] == [done.pull_request]
    assert set(stands["deployments"]) == {done.deployment_id}
    statuses = hub.get(f"deployments/{done.deployment_id}/statuses")
    assert {status["state"] for status in statuses} == {"success"}


def rebuild(hub: Hub, issue: int, **changes: Any) -> Publication:
    """A second build, started from what is on the branch."""
    again = build(hub, issue, run="ba9876543210")
    start = start_of(hub.repository(), again.branch, again.base)
    return dataclasses.replace(again, start=start, **changes)


def test_an_issue_is_built_again(hub: Hub) -> None:
    """A second build adds a commit to the first, with its own changes and deletions; the pull request is renewed."""
    issue = hub.open_issue()
    first = publish(hub.repository(), build(hub, issue))
    again = rebuild(
        hub,
        issue,
        files=(Artifact("SPEC.md", b"# Shorter"), *FILES[:1]),
        deleted=["start.sh"],
        title="Snake, again",
        evidence_url="http://127.0.0.1:9001/",
    )
    second = publish(hub.repository(), again)
    assert second.pull_request == first.pull_request
    assert hub.get(f"pulls/{second.pull_request}")["title"] == "Snake, again"
    assert [parent["sha"] for parent in hub.get(f"commits/{second.commit_sha}")["parents"]] == [
        first.commit_sha
    ]
    paths = {entry["path"] for entry in hub.tree(second.commit_sha)}
    assert {"README.md", "SPEC.md", "public/logo.png"} <= paths
    assert "start.sh" not in paths
    assert hub.content(second.commit_sha, "SPEC.md") == b"# Shorter"
    assert second.deployment_id != first.deployment_id


def test_a_persons_commit_stays_below_ours(hub: Hub) -> None:
    """What somebody pushed to the branch before the rebuild is its start; their file and their commit survive."""
    issue = hub.open_issue()
    first = publish(hub.repository(), build(hub, issue))
    person = hub.push_as("alice", f"swarm/issue-{issue}", {"tail.js": "mended"})
    again = rebuild(hub, issue, files=[Artifact("SPEC.md", b"# Again")])
    assert again.start
    assert again.start.sha == person
    second = publish(hub.repository(), again)
    stands = what_stands(hub, again.branch, again.base.branch)
    assert stands["commits"] == [first.commit_sha, person, second.commit_sha]
    assert hub.content(second.commit_sha, "tail.js") == b"mended"


def test_a_push_while_the_swarm_works(hub: Hub) -> None:
    """A person's push to other paths is kept below the commit; one to the same path leads to a draft beside it."""
    issue = hub.open_issue()
    publish(hub.repository(), build(hub, issue))
    again = rebuild(hub, issue, files=[Artifact("SPEC.md", b"# Again")])
    person = hub.push_as("alice", again.branch, {"tail.js": "mended"})
    second = publish(hub.repository(), again)
    assert [parent["sha"] for parent in hub.get(f"commits/{second.commit_sha}")["parents"]] == [person]
    assert publish(hub.repository(), again) == second

    third = dataclasses.replace(
        again, run=RunId("c" * 12), start=start_of(hub.repository(), again.branch, again.base)
    )
    person = hub.push_as("alice", again.branch, {"SPEC.md": "# Mine"})
    beside = publish(hub.repository(), third)
    assert publish(hub.repository(), third) == beside
    assert hub.repository().branch_head(again.branch) == person
    pull = hub.get(f"pulls/{beside.pull_request}")
    assert (pull["head"]["ref"], pull["base"]["ref"]) == (f"{again.branch}-{third.run}", again.branch)
    assert pull["draft"]
    assert f"moved on to {person[:9]}, which changed what this build changes, too: `SPEC.md`." in pull["body"]
    assert hub.content(beside.commit_sha, "SPEC.md") == b"# Again"


def test_the_base_moves_while_the_swarm_works(hub: Hub) -> None:
    """The commit goes on top of the new base; a path that changed there, too, makes it a draft that names it."""
    first, second = build(hub, hub.open_issue()), build(hub, hub.open_issue())
    moved = hub.push_as("alice", first.base.branch, {"LICENSE": "MIT"})
    done = publish(hub.repository(), first)
    assert [parent["sha"] for parent in hub.get(f"commits/{done.commit_sha}")["parents"]] == [moved]
    assert {entry["path"] for entry in hub.tree(done.commit_sha)} > {"LICENSE", "README.md", "SPEC.md"}
    pull = hub.get(f"pulls/{done.pull_request}")
    assert pull["changed_files"] == len(FILES)
    assert f"on top of {moved[:9]}, and the evidence is of {first.base.sha[:9]}" in pull["body"]
    hub.push_as("alice", first.base.branch, {"start.sh": "echo"})
    kept = publish(hub.repository(), second)
    assert publish(hub.repository(), second) == kept
    assert kept.draft
    assert [each["sha"] for each in hub.get(f"commits/{kept.commit_sha}")["parents"]] == [second.base.sha]
    pull = hub.get(f"pulls/{kept.pull_request}")
    assert (pull["head"]["ref"], pull["base"]["ref"]) == (second.branch, "main")
    assert "`main` moved on to" in pull["body"]
    assert "changes, too: `start.sh`." in pull["body"]


def test_a_person_pushes_before_we_noted_our_commit(hub: Hub) -> None:
    """Killed after the branch moved, and a person was quicker than the next worker: still one commit of ours."""
    publication = build(hub, hub.open_issue())
    first = publish(hub.repository(), publication)
    hub.push_as("alice", publication.branch, {"tail.js": "mended"})
    assert publish(hub.repository(), publication).commit_sha == first.commit_sha


def test_an_amended_commit_is_a_persons(hub: Hub) -> None:
    """A commit of ours that somebody amended keeps our trailer and is theirs nevertheless: a rebuild goes on top."""
    issue = hub.open_issue()
    first = publish(hub.repository(), build(hub, issue))
    message = hub.get(f"commits/{first.commit_sha}")["commit"]["message"]
    person = hub.commit_as("alice", parent=first.commit_sha, message=message)
    hub.move_as("alice", f"swarm/issue-{issue}", person)
    again = rebuild(hub, issue, run=RunId("0123456789ab"))
    assert publish(hub.repository(), again).commit_sha not in (person, first.commit_sha)


def test_a_check_run_says_how_it_went(hub: Hub) -> None:
    """On our commit, once, completed, with remarks and the button; a second try does not add the remarks again."""
    report = CheckReport(
        title="It works",
        summary="The preview answered.",
        conclusion=CheckConclusion.NEUTRAL,
        actions=[CheckAction("Rebuild", "Build this issue anew", "rebuild")],
        annotations=[Annotation(f"file-{number}", "left out: a link") for number in range(60)],
    )
    publication = build(hub, hub.open_issue(), check=report, details_url="http://127.0.0.1:1/builds/1")
    done = publish(hub.repository(), publication)
    assert publish(hub.repository(), publication) == done
    (check,) = hub.get(f"commits/{done.commit_sha}/check-runs")["check_runs"]
    assert (check["id"], check["status"], check["conclusion"]) == (done.check_id, "completed", "neutral")
    assert check["output"]["annotations_count"] == 50


def test_a_rebuild_is_a_draft_as_long_as_its_evidence_is_incomplete(hub: Hub) -> None:
    """The pull request becomes ready for review, and a draft again; where GitHub refuses that, it stays and nothing ends."""
    first = build(hub, hub.open_issue(), draft=True)
    number = publish(hub.repository(), first).pull_request

    def again(run: str, *, draft: bool) -> bool:
        files = [Artifact("SPEC.md", run.encode())]
        done = publish(
            hub.repository(), rebuild(hub, first.issue, run=RunId(run * 12), files=files, draft=draft)
        )
        assert done.pull_request == number
        assert hub.get(f"pulls/{number}")["draft"] is done.draft
        return done.draft

    assert again("a", draft=False) is False
    assert again("b", draft=True) is True
    hub.fault(
        method="POST", path_regex="/graphql$", status=403, message="Resource not accessible by integration"
    )
    assert again("c", draft=False) is True


def test_no_drafts_on_this_plan(hub: Hub) -> None:
    """Where GitHub refuses drafts, an ordinary pull request is opened and reported as such."""
    issue = hub.open_issue()
    refusal = "Draft pull requests are not supported in this repository."
    hub.fault(method="POST", path_regex="/pulls$", status=422, message=refusal)
    done = publish(hub.repository(), build(hub, issue, draft=True))
    assert not done.draft
    assert hub.get(f"pulls/{done.pull_request}")["draft"] is False


@pytest.mark.parametrize(
    ("author", "committer", "message", "run"),
    [
        ("swarm[bot]", "GitHub", "Build\n\n[skip ci]\n\nSwarm-Build-Run: ab\nCo-authored-by: a <b>", "ab"),
        ("swarm[bot]", "swarm[bot]", "Build\n\nSwarm-Build-Run: ab\n", "ab"),
        ("swarm[bot]", "Alice", "Build\n\nSwarm-Build-Run: ab", None),
        ("Alice", "GitHub", "Build\n\nSwarm-Build-Run: ab", None),
        ("swarm[bot]", "GitHub", "Revert\n\nSwarm-Build-Run: ab\n\nThis reverts commit 1.", None),
        ("swarm[bot]", "GitHub", "Build", None),
    ],
)
def test_whose_commit_it_is(author: str, committer: str, message: str, run: str | None) -> None:
    """A commit is ours if the App wrote it, GitHub or the App committed it, and its last paragraph names the run."""
    commit = Commit("a" * 40, message, author, committer, "b" * 40, ())
    assert run_of(commit, "swarm[bot]") == run


def test_the_message_is_read_back() -> None:
    """What `message_of` writes is what `run_of` finds."""
    base = Base("main", "a" * 40, "b" * 40, private=False)
    publication = Publication(RunId("ab"), 1, "x", base, (), "t", "b", "Build\n\nmore\n", remark)
    commit = Commit("c" * 40, message_of(publication), "swarm[bot]", "GitHub", "b" * 40, ())
    assert run_of(commit, "swarm[bot]") == "ab"


def test_a_large_result_stays_within_githubs_limits(hub: Hub) -> None:
    """2,000 generated text files and 50 binaries: all there, in few calls, never more than 80 creating ones a minute."""
    texts = [
        Artifact(f"src/{number // 50}/{number}.txt", f"{number}\n".encode() * 100) for number in range(2000)
    ]
    binaries = [
        Artifact(f"img/{number}.png", b"\x89PNG\0" + number.to_bytes(2, "big")) for number in range(50)
    ]
    repository = hub.repository()
    pauses: list[float] = []
    repository._pause = pauses.append
    publication = build(hub, hub.open_issue(), files=[*texts, *binaries])
    done = publish(repository, publication)
    assert len([each for each in hub.tree(done.commit_sha) if each["type"] == "blob"]) == 2051
    assert hub.content(done.commit_sha, "img/49.png") == binaries[49].content
    creating = 50 + 21 + 5  # blobs; trees; commit, ref, check or pull request, deployment and its status
    assert repository.requests <= creating + 15
    assert (len(pauses), sum(pauses)) == (10, pytest.approx(8.0)), "blobs beyond the first 40 are slowed down"
