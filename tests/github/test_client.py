"""The client against the local GitHub, whose answers and whose view of our requests follow the official description."""

import pytest

from bot.core.errors import Conflict, Forbidden, NotFound, UserError
from bot.core.models import Artifact
from bot.core.policy import Permission
from bot.github.client import Repository
from bot.github.values import (
    CheckAction,
    CheckConclusion,
    CheckReport,
    DeploymentState,
    Reaction,
)
from tests.github.hub import Hub


@pytest.fixture
def repository(hub: Hub) -> Repository:
    return hub.repository()


# Issues and people


def test_an_issue_is_read(hub: Hub, repository: Repository) -> None:
    """Title, body, author, state and labels arrive as the person wrote them."""
    number = hub.open_issue("alice", title="Snake — for two", body="Please.\r\n\r\n*Now.*", labels=["bug"])
    issue = repository.issue(number)
    assert (issue.number, issue.title, issue.author) == (number, "Snake — for two", "alice")
    assert (issue.body, issue.state, issue.labels) == ("Please.\r\n\r\n*Now.*", "open", ("bug",))
    assert issue.url.endswith(f"/issues/{number}")
    assert issue.author_id > 0


def test_no_such_issue(repository: Repository) -> None:
    """A number that nobody used is an error of its own."""
    with pytest.raises(NotFound, match="issue 9999"):
        repository.issue(9999)


def test_permissions_are_exact(hub: Hub, repository: Repository) -> None:
    """Every role is told from the next; a stranger may nothing."""
    for login, role in hub.roles.items():
        assert repository.permission(login) == role
    assert repository.permission("nobody-of-that-name") is Permission.NONE


def test_roles_are_ordered() -> None:
    """A role covers the weaker ones only."""
    assert Permission.MAINTAIN.covers(Permission.WRITE)
    assert not Permission.TRIAGE.covers(Permission.WRITE)


def test_reactions_may_be_repeated(hub: Hub, repository: Repository) -> None:
    """The same reaction twice is one reaction, on issues and on comments."""
    issue = hub.open_issue()
    comment = repository.say(issue, "hello", "run=r")
    for _ in range(2):
        repository.react(issue, Reaction.EYES)
        repository.react_to_comment(comment, Reaction.ROCKET)
    assert [found["content"] for found in hub.get(f"issues/{issue}/reactions")] == ["eyes"]
    assert [found["content"] for found in hub.get(f"issues/comments/{comment}/reactions")] == ["rocket"]


def test_a_comment_is_written_once(hub: Hub, repository: Repository) -> None:
    """A marker stands for one comment, however often it is said, by whom of us, and after it was edited."""
    issue = hub.open_issue()
    first = repository.say(issue, "working", "progress=1")
    repository.edit_comment(first, "nearly done", "progress=1")
    assert hub.repository().say(issue, "working", "progress=1") == first
    assert repository.say(issue, "done", "result=1") != first
    bodies = [found["body"] for found in hub.get(f"issues/{issue}/comments")]
    assert bodies == ["nearly done\n\n<!-- swarm:progress=1 -->", "done\n\n<!-- swarm:result=1 -->"]


def test_a_comment_is_found_behind_many(hub: Hub, repository: Repository) -> None:
    """The marker is found on a later page too."""
    issue = hub.open_issue()
    for number in range(101):
        hub.comment(issue, f"chat {number}")
    first = repository.say(issue, "working", "progress=1")
    assert repository.say(issue, "working", "progress=1") == first


@pytest.mark.parametrize("kind", ["before", "after"])
def test_a_lost_answer_writes_no_second_comment(hub: Hub, repository: Repository, kind: str) -> None:
    """A 502 on the creation, with or without effect, ends in one comment."""
    issue = hub.open_issue()
    hub.fault(method="POST", path_regex="/comments$", kind=kind, status=502)
    comment = repository.say(issue, "hello", "run=r")
    assert [found["id"] for found in hub.get(f"issues/{issue}/comments")] == [comment]


def test_a_deleted_comment(hub: Hub, repository: Repository) -> None:
    """Editing what somebody deleted tells so."""
    comment = repository.say(hub.open_issue(), "hello", "run=r")
    hub.delete(f"issues/comments/{comment}")
    with pytest.raises(NotFound):
        repository.edit_comment(comment, "still here?")


def test_a_text_that_is_too_long_is_cut(hub: Hub, repository: Repository) -> None:
    """GitHub takes 65,536 characters; ours end before, with a note, and keep their marker."""
    issue = hub.open_issue()
    comment = repository.say(issue, "x" * 70_000, "run=r")
    assert repository.say(issue, "again", "run=r") == comment
    assert "cut here" in hub.get(f"issues/comments/{comment}")["body"]


@pytest.mark.parametrize("marker", ["", "a b", "a--b", "x -->", "-x"])
def test_a_marker_stays_hidden(repository: Repository, marker: str) -> None:
    """A marker that would end its HTML comment is refused before anything is sent."""
    with pytest.raises(ValueError, match="marker"):
        repository.say(1, "hello", marker)


# Branches and commits


def test_the_base(hub: Hub, repository: Repository) -> None:
    """The default branch with its commit and tree, read anew each time."""
    base = repository.base()
    assert base.branch == "main"
    assert repository.commit_at(base.sha).tree_sha == base.tree_sha
    assert base.private is False
    person = hub.commit_as("alice", parent=base.sha, message="One more")
    hub.move_as("alice", "main", person)
    assert repository.base().sha == person


def test_an_empty_repository(hub: Hub) -> None:
    """Without a first commit the person reads how to make one."""
    with pytest.raises(UserError, match="no commit yet"):
        hub.repository(of=hub.empty_repo()).base()


def test_many_files(hub: Hub, repository: Repository) -> None:
    """250 text files, a binary and an executable: few calls, all content and modes as they were, signed."""
    files = [
        *(Artifact(f"src/{n:03}.txt", f"zeile {n} — ü\r\n".encode()) for n in range(250)),
        Artifact("bin/tool", b"#!/bin/sh\n", 0o100755),
        Artifact("empty", b""),
        Artifact("logo.png", b"\x89PNG\r\n\0" + bytes(range(256))),
        Artifact("same.png", b"\x89PNG\r\n\0" + bytes(range(256))),
    ]
    base = repository.base()
    before = repository.requests
    sha = repository.commit(files, parent_sha=base.sha, base_tree=base.tree_sha, message="Many")
    assert repository.requests - before == 1 + 3 + 1  # one blob, three trees, one commit
    found = {entry["path"]: entry for entry in hub.tree(sha)}
    assert {file.path for file in files} <= set(found)
    assert found["bin/tool"]["mode"] == "100755"
    assert found["src/007.txt"]["mode"] == "100644"
    for path in ("src/249.txt", "logo.png", "same.png", "empty", "bin/tool"):
        assert hub.content(sha, path) == next(file.content for file in files if file.path == path)
    commit = hub.get(f"commits/{sha}")
    assert commit["commit"]["verification"]["verified"] is True
    assert [parent["sha"] for parent in commit["parents"]] == [base.sha]
    assert len(found) == len(files) + len(hub.tree(base.sha)) + 2  # the folders bin and src


@pytest.mark.parametrize("status", [422, 502])
def test_what_is_too_much_is_halved(hub: Hub, repository: Repository, status: int) -> None:
    """A tree that GitHub chokes on is sent in smaller pieces, and nothing is missing."""
    files = [Artifact(f"f{n}", str(n).encode()) for n in range(40)]
    base = repository.base()
    message = "Sorry, your request timed out."
    hub.fault(method="POST", path_regex="/git/trees$", status=status, message=message, times=3)
    sha = repository.commit(files, parent_sha=base.sha, base_tree=base.tree_sha, message="Halves")
    assert {file.path for file in files} <= {entry["path"] for entry in hub.tree(sha)}


def test_a_bad_file_is_named(repository: Repository) -> None:
    """A path that GitHub refuses is found among many and named."""
    files = [Artifact(f"f{n}", b"x") for n in range(9)] + [Artifact("a/../b", b"x")]
    base = repository.base()
    with pytest.raises(Conflict, match=r"storing a/\.\./b"):
        repository.commit(files, parent_sha=base.sha, base_tree=base.tree_sha, message="Bad")


def test_a_branch_is_made_moved_and_deleted(repository: Repository) -> None:
    """Making and deleting may be repeated; moving needs a known place."""
    base = repository.base()
    assert repository.branch_head("swarm/a") is None
    for _ in range(2):
        repository.ensure_branch("swarm/a", base.sha)
    assert repository.branch_head("swarm/a") == base.sha
    assert repository.branch_head("swarm") is None  # not by prefix
    sha = repository.commit([], parent_sha=base.sha, base_tree=base.tree_sha, message="Next")
    with pytest.raises(Conflict, match=base.sha[:9]):
        repository.ensure_branch("swarm/a", sha)
    repository.ensure_branch("swarm/a", sha, only_from=[base.sha])
    assert repository.branch_head("swarm/a") == sha
    for _ in range(2):
        repository.delete_branch("swarm/a")
    assert repository.branch_head("swarm/a") is None


def test_a_branch_is_never_forced(repository: Repository) -> None:
    """A move that would drop a commit is refused by GitHub itself."""
    base = repository.base()
    left, right = (
        repository.commit([], parent_sha=base.sha, base_tree=base.tree_sha, message=name) for name in "ab"
    )
    repository.ensure_branch("swarm/b", left)
    with pytest.raises(Conflict):
        repository.ensure_branch("swarm/b", right, only_from=[left])
    assert repository.branch_head("swarm/b") == left


# Pull requests, deployments, checks


def a_branch(repository: Repository, name: str) -> str:
    base = repository.base()
    files = [Artifact("new.txt", name.encode())]
    sha = repository.commit(files, parent_sha=base.sha, base_tree=base.tree_sha, message=name)
    repository.ensure_branch(name, sha)
    return sha


def test_a_pull_request_is_opened_once_and_renewed(hub: Hub, repository: Repository) -> None:
    """The second call finds the first one's, with the new title and body."""
    sha = a_branch(repository, "swarm/p")
    first = repository.ensure_pull_request(head="swarm/p", base="main", title="A", body="a", draft=True)
    second = repository.ensure_pull_request(head="swarm/p", base="main", title="B", body="b", draft=True)
    assert first == second
    assert (first.head_sha, first.draft) == (sha, True)
    pull = hub.get(f"pulls/{first.number}")
    assert (pull["title"], pull["body"]) == ("B", "b")


def test_a_pull_request_without_difference(repository: Repository) -> None:
    """Nothing between base and head is GitHub's refusal, in its words."""
    repository.ensure_branch("swarm/same", repository.base().sha)
    with pytest.raises(Conflict, match="No commits between"):
        repository.ensure_pull_request(head="swarm/same", base="main", title="A", body="a")


def test_a_deployment_is_made_once_and_taken_away(hub: Hub, repository: Repository) -> None:
    """One deployment per commit and environment; its last status is what people see."""
    sha = a_branch(repository, "swarm/d")
    ids = {
        repository.ensure_deployment(ref_sha=sha, description="x" * 200, payload_run="r") for _ in range(2)
    }
    (deployment,) = ids
    repository.set_deployment(deployment, DeploymentState.SUCCESS, url="http://a/", log_url="http://b/")
    for _ in range(2):
        repository.deactivate_deployment(deployment)
    found = hub.get(f"deployments/{deployment}")
    assert (found["environment"], found["payload"]) == ("swarm-preview", {"run": "r"})
    assert (found["transient_environment"], found["production_environment"]) == (True, False)
    assert len(found["description"]) <= 140
    assert hub.get(f"deployments/{deployment}/statuses")[0]["state"] == "inactive"
    repository.deactivate_deployment(999_999)


def test_a_check_runs_and_ends(hub: Hub, repository: Repository) -> None:
    """A check is made once per name and id, shows its report, and gets buttons when it is completed."""
    sha = a_branch(repository, "swarm/c")
    check = repository.ensure_check(sha, "Swarm Build", "run-1")
    assert repository.ensure_check(sha, "Swarm Build", "run-1") == check
    repository.update_check(check, CheckReport("Building", "3 agents at work"))
    assert hub.get(f"check-runs/{check}")["status"] == "in_progress"
    button = CheckAction("Rebuild", "Build this issue again", "rebuild")
    report = CheckReport("Built", "s" * 70_000, conclusion=CheckConclusion.SUCCESS, actions=[button])
    repository.update_check(check, report)
    assert hub.get(f"check-runs/{check}")["conclusion"] == "success"


# Trouble


@pytest.mark.parametrize(
    ("permission", "path", "call"),
    [
        ("issues: write", "/reactions$", lambda r: r.react(1, "eyes")),
        ("contents: write", "/git/refs$", lambda r: r.ensure_branch("swarm/x", r.base().sha)),
        (
            "pull_requests: write",
            "/pulls$",
            lambda r: r.ensure_pull_request(head="a", base="main", title="t", body="b"),
        ),
        (
            "deployments: write",
            "/deployments$",
            lambda r: r.ensure_deployment(ref_sha=r.base().sha, description="", payload_run="r"),
        ),
        ("checks: write", "/check-runs$", lambda r: r.ensure_check(r.base().sha, "n", "x")),
    ],
)
def test_a_missing_permission_is_named(hub: Hub, permission: str, path: str, call: object) -> None:
    """The operator reads which permission to grant."""
    repository = hub.repository()
    hub.fault(
        method="POST", path_regex=path, status=403, message="Resource not accessible by integration", times=9
    )
    with pytest.raises(Forbidden, match=permission):
        call(repository)  # type: ignore[operator]  # a lambda of the table above


def test_a_token_that_was_withdrawn(hub: Hub, repository: Repository) -> None:
    """A token that GitHub no longer takes is replaced in the middle of the work."""
    repository.base()
    hub.fault(path_regex="^/repos/", status=401, message="Bad credentials")
    assert repository.base().branch == "main"


def test_a_file_is_kept_on_a_branch_of_its_own(hub: Hub) -> None:
    """The branch begins with nothing, grows with each file, and takes nobody's commit away."""
    repository = hub.repository()
    first = repository.keep("swarm/evidence", Artifact("a.png", b"\x89PNG\0"), "One")
    person = hub.push_as("alice", "swarm/evidence", {"note.txt": "mine"})
    second = repository.keep("swarm/evidence", Artifact("b.png", b"\x89PNG\1"), "Two")
    assert [each["path"] for each in hub.tree(second)] == ["a.png", "b.png", "note.txt"]
    assert [each["sha"] for each in hub.get("commits?sha=swarm/evidence")] == [second, person, first]
    assert hub.get(f"commits/{first}")["parents"] == []


def test_a_pull_requests_text_is_changed_as_it_stands(hub: Hub) -> None:
    """What a person wrote into it meanwhile stays; nothing to change is no write."""
    repository = hub.repository()
    base = repository.base()
    sha = repository.commit([Artifact("a", b"b")], parent_sha=base.sha, base_tree=base.tree_sha, message="A")
    repository.ensure_branch("swarm/issue-1", sha)
    made = repository.ensure_pull_request(head="swarm/issue-1", base=base.branch, title="T", body="one two")
    hub.ask("PATCH", f"pulls/{made.number}", {"body": "one two, three"})
    assert repository.change_pull_request(made.number, lambda text: text.replace("two", "2"))
    assert hub.get(f"pulls/{made.number}")["body"] == "one 2, three"
    before = repository.requests
    assert not repository.change_pull_request(made.number, lambda text: text.replace("two", "2"))
    assert repository.requests == before + 1
