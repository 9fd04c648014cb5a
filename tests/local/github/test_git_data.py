"""Blobs, trees, commits and refs: the same objects that git itself makes."""

import base64
import io
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from bot.local.github.server import Running
from tests.local.github.conftest import Rest

GIT = "/repos/acme/arcade/git"


def git(folder: Path, *arguments: str) -> str:
    """Git's own word."""
    done = subprocess.run(
        ["git", "-c", "user.name=t", "-c", "user.email=t@example.com", *arguments],
        cwd=folder,
        capture_output=True,
        check=True,
        text=True,
    )
    return done.stdout.strip()


def head(bot: Rest) -> str:
    return str(bot("GET", f"{GIT}/ref/heads/main").json()["object"]["sha"])


def test_trees_are_those_that_git_would_make(tmp_path: Path, rest: Callable[[str], Rest]) -> None:
    """Inline texts, a binary blob, an executable, a folder: one tree id, equal to `git write-tree`."""
    binary = bytes(range(256))
    files = {"a.txt": "one\n", "src/b.js": "ünï\n", "run.sh": "#!/bin/sh\n"}
    work = tmp_path / "work"
    work.mkdir()
    git(work, "init", "-q")
    for path, text in files.items():
        (work / path).parent.mkdir(exist_ok=True)
        (work / path).write_text(text)
    (work / "src/c.bin").write_bytes(binary)
    (work / "run.sh").chmod(0o755)
    git(work, "add", "-A")
    bot = rest("bot")
    blob = bot("POST", f"{GIT}/blobs", {"content": base64.b64encode(binary).decode(), "encoding": "base64"})
    entries = [
        {"path": path, "mode": "100755" if path == "run.sh" else "100644", "type": "blob", "content": text}
        for path, text in files.items()
    ]
    entries.append({"path": "src/c.bin", "mode": "100644", "type": "blob", "sha": blob.json()["sha"]})
    made = bot("POST", f"{GIT}/trees", {"tree": entries})
    assert made.status_code == 201
    assert made.json()["sha"] == git(work, "write-tree")
    found = bot("GET", f"{GIT}/trees/{made.json()['sha']}", recursive="1").json()["tree"]
    assert {entry["path"]: entry["mode"] for entry in found} == {
        "a.txt": "100644",
        "run.sh": "100755",
        "src": "040000",
        "src/b.js": "100644",
        "src/c.bin": "100644",
    }
    text = bot("GET", f"{GIT}/blobs/{blob.json()['sha']}").json()["content"]
    assert base64.b64decode(text) == binary


def test_a_tree_builds_on_another(rest: Callable[[str], Rest]) -> None:
    """`base_tree` is kept but for what is named; `sha: null` removes; a file may take a folder's place."""
    bot = rest("bot")
    first = tree(bot, {"a": "1", "b/c": "2", "b/d": "3"})
    second = tree(bot, {"a": None, "b/c": "new", "e": "4"}, base=first)
    assert paths(bot, second) == {"b", "b/c", "b/d", "e"}
    third = tree(bot, {"b": "a file now"}, base=second)
    assert paths(bot, third) == {"b", "e"}
    grafted = bot(
        "POST",
        f"{GIT}/trees",
        {"base_tree": third, "tree": [{"path": "b", "mode": "040000", "type": "tree", "sha": first}]},
    )
    assert paths(bot, grafted.json()["sha"]) == {"b", "b/a", "b/b", "b/b/c", "b/b/d", "e"}


def tree(bot: Rest, files: dict[str, str | None], base: str | None = None) -> str:
    entries: list[dict[str, Any]] = [
        {"path": path, "mode": "100644", "type": "blob"}
        | ({"sha": None} if text is None else {"content": text})
        for path, text in files.items()
    ]
    body: dict[str, Any] = {"tree": entries} | ({"base_tree": base} if base else {})
    answer = bot("POST", f"{GIT}/trees", body)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["sha"])


def paths(bot: Rest, sha: str) -> set[str]:
    return {entry["path"] for entry in bot("GET", f"{GIT}/trees/{sha}", recursive="1").json()["tree"]}


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"path": "../x", "mode": "100644", "content": "x"}, "malformed path"),
        ({"path": ".git/config", "mode": "100644", "content": "x"}, "malformed path"),
        ({"path": "x", "mode": "100644", "sha": "1" * 40}, "not a valid blob"),
        ({"path": "gone", "mode": "100644", "sha": None}, "BadObjectState"),
        ({"path": "x", "mode": "100644"}, "Must supply"),
    ],
)
def test_impossible_entries_are_refused(
    rest: Callable[[str], Rest], entry: dict[str, Any], words: str
) -> None:
    """422, each with its own reason."""
    bot = rest("bot")
    answer = bot("POST", f"{GIT}/trees", {"base_tree": head(bot), "tree": [entry]})
    assert answer.status_code == 422
    assert words in answer.json()["message"]


def test_too_much_in_one_tree_times_out(rest: Callable[[str], Rest]) -> None:
    """A few hundred inline files or megabytes are more than GitHub takes; a hundred files are not."""
    bot = rest("bot")
    many = [{"path": f"{n}.txt", "mode": "100644", "content": str(n)} for n in range(300)]
    for entries in (many, [{"path": "big", "mode": "100644", "content": "x" * 3_000_000}]):
        answer = bot("POST", f"{GIT}/trees", {"tree": entries})
        assert answer.status_code == 422
        assert "Consider building the tree incrementally" in answer.json()["message"]
    assert bot("POST", f"{GIT}/trees", {"tree": many[:100]}).status_code == 201


def test_commits_of_the_app_are_verified_unless_an_author_is_given(rest: Callable[[str], Rest]) -> None:
    """GitHub signs for the App; a given author, or a person's token, is not signed."""
    bot, alice = rest("bot"), rest("alice")
    body = {"message": "m", "tree": tree(bot, {"a": "1"}), "parents": [head(bot)]}
    named = body | {"author": {"name": "N", "email": "n@example.com", "date": "2026-01-02T03:04:05Z"}}
    ours = bot("POST", f"{GIT}/commits", body).json()
    assert (ours["verification"]["verified"], ours["verification"]["reason"]) == (True, "valid")
    assert ours["author"]["name"] == "swarm-build[bot]"
    assert ours["committer"]["name"] == "GitHub"
    theirs = bot("POST", f"{GIT}/commits", named).json()
    assert (theirs["verification"]["verified"], theirs["verification"]["reason"]) == (False, "unsigned")
    assert theirs["author"] == {"name": "N", "email": "n@example.com", "date": "2026-01-02T03:04:05Z"}
    assert alice("POST", f"{GIT}/commits", body).json()["verification"]["verified"] is False


def test_a_commit_is_the_object_that_git_has(hub: Running, rest: Callable[[str], Rest]) -> None:
    """Message, parents and modes as `git cat-file` shows them."""
    bot = rest("bot")
    before = head(bot)
    body = {"message": "Title\n\nBody ünï", "tree": tree(bot, {"a": "1"}), "parents": [before]}
    sha = bot("POST", f"{GIT}/commits", body).json()["sha"]
    repo = hub.world.repository("acme", "arcade")
    assert repo is not None
    raw = git(hub.world.git(repo).path, "cat-file", "commit", sha)
    assert raw.startswith(f"tree {body['tree']}\nparent {before}\nauthor swarm-build[bot] <")
    assert raw.endswith("\n\nTitle\n\nBody ünï")
    git(hub.world.git(repo).path, "fsck", "--strict")


def test_refs_move_as_on_github(rest: Callable[[str], Rest]) -> None:
    """Create once, forwards only without force, gone is gone."""
    bot = rest("bot")
    base = head(bot)
    commits = [
        bot("POST", f"{GIT}/commits", {"message": name, "tree": tree(bot, {"a": name}), "parents": [base]})
        for name in ("one", "two")
    ]
    one, two = (answer.json()["sha"] for answer in commits)
    ref = {"ref": "refs/heads/swarm/issue-1", "sha": one}
    assert bot("POST", f"{GIT}/refs", ref).status_code == 201
    again = bot("POST", f"{GIT}/refs", ref)
    assert (again.status_code, again.json()["message"]) == (422, "Reference already exists")
    path = f"{GIT}/refs/heads/swarm/issue-1"
    sideways = bot("PATCH", path, {"sha": two})
    assert (sideways.status_code, sideways.json()["message"]) == (422, "Update is not a fast forward")
    assert bot("PATCH", path, {"sha": two, "force": True}).json()["object"]["sha"] == two
    names = [found["ref"] for found in bot("GET", f"{GIT}/matching-refs/heads/swarm/").json()]
    assert names == ["refs/heads/swarm/issue-1"]
    assert bot("DELETE", path).status_code == 204
    assert bot("DELETE", path).status_code == 422
    assert bot("GET", f"{GIT}/ref/heads/swarm/issue-1").status_code == 404


def test_unknown_objects_make_no_ref(rest: Callable[[str], Rest]) -> None:
    """Nor does a name outside refs/."""
    bot = rest("bot")
    missing = bot("POST", f"{GIT}/refs", {"ref": "refs/heads/x", "sha": "1" * 40})
    assert (missing.status_code, missing.json()["message"]) == (422, "Object does not exist")
    assert bot("POST", f"{GIT}/refs", {"ref": "heads/x", "sha": head(bot)}).status_code == 422


def test_an_empty_repository_takes_contents_only(hub: Running, rest: Callable[[str], Rest]) -> None:
    """409 for git data until a file was put through the contents API."""
    hub.create_repository("acme/blank")
    bot, blank = rest("bot"), "/repos/acme/blank"
    for method, path, body in (
        ("POST", "blobs", {"content": "x"}),
        ("POST", "trees", {"tree": [{"path": "a", "mode": "100644", "content": "x"}]}),
        ("GET", "ref/heads/main", None),
    ):
        answer = bot(method, f"{blank}/git/{path}", body)
        assert (answer.status_code, answer.json()["message"]) == (409, "Git Repository is empty.")
    content = base64.b64encode(b"# Blank\n").decode()
    put = bot("PUT", f"{blank}/contents/README.md", {"message": "First", "content": content})
    assert put.status_code == 201
    assert put.json()["commit"]["verification"]["verified"] is True
    assert bot("GET", f"{blank}/git/ref/heads/main").json()["object"]["sha"] == put.json()["commit"]["sha"]
    assert bot("POST", f"{blank}/git/blobs", {"content": "x"}).status_code == 201


def test_contents_are_changed_by_those_who_know_them(rest: Callable[[str], Rest]) -> None:
    """An update needs the present blob id: 422 without, 409 with another."""
    bot, path = rest("bot"), "/repos/acme/arcade/contents/README.md"
    now = bot("GET", path).json()
    assert base64.b64decode(now["content"]).startswith(b"# Arcade")
    body = {"message": "m", "content": base64.b64encode(b"new").decode()}
    assert bot("PUT", path, body).status_code == 422
    assert bot("PUT", path, body | {"sha": "1" * 40}).status_code == 409
    assert bot("PUT", path, body | {"sha": now["sha"]}).status_code == 200
    assert [entry["name"] for entry in bot("GET", "/repos/acme/arcade/contents/").json()] == ["README.md"]


def test_workflow_files_need_a_permission_of_their_own(rest: Callable[[str], Rest]) -> None:
    """The App has none; a person with write access may."""
    entry = {"path": ".github/workflows/ci.yml", "mode": "100644", "content": "x"}
    assert rest("bot")("POST", f"{GIT}/trees", {"tree": [entry]}).status_code == 403
    assert rest("wendy")("POST", f"{GIT}/trees", {"tree": [entry]}).status_code == 201
    body = {"message": "m", "content": "eA=="}
    path = "/repos/acme/arcade/contents/.github/workflows/ci.yml"
    assert rest("bot")("PUT", path, body).status_code == 403


def test_an_archive_is_served_to_whoever_has_its_address(rest: Callable[[str], Rest], hub: Running) -> None:
    """The API points elsewhere; that address needs no token, is good for one commit only, and lies about nothing."""
    bot = rest("bot")
    answer = bot("GET", f"/repos/acme/arcade/tarball/{head(bot)}")
    assert answer.status_code == 302
    where = answer.headers["location"]
    packed = httpx.get(where).raise_for_status().content
    with tarfile.open(fileobj=io.BytesIO(packed), mode="r:gz") as archive:
        assert f"acme-arcade-{head(bot)[:7]}/README.md" in archive.getnames()
    assert httpx.get(where.partition("?")[0]).status_code == 404
    assert httpx.get(where[:-1] + ("0" if where[-1] != "0" else "1")).status_code == 404
    assert httpx.get(where.replace(head(bot), "main")).status_code == 404
