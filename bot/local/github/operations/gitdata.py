"""Blobs, trees, commits and refs."""

import base64
import binascii
import re
from typing import Any

from bot.local.github import branches
from bot.local.github.api import Answer, Call, handles
from bot.local.github.clock import git_date
from bot.local.github.gitstore import Change, Person, TreeEntry
from bot.local.github.permissions import allows
from bot.local.github.refusals import empty_repository, forbidden_to_app, not_found, unprocessable
from bot.local.github.shapes import code
from bot.local.github.shapes.common import node_id

# What GitHub really takes in one tree before it runs into its own timeout, as users report it.
MOST_INLINE_ENTRIES = 250
MOST_INLINE_BYTES = 2_500_000
MOST_ENTRIES = 1000
LARGEST_BLOB_BYTES = 40 * 2**20
MOST_LISTED = 100_000
TOO_LARGE = (
    "Sorry, your request timed out. It's likely that your input was too large to process. Consider building "
    "the tree incrementally, or building the commits you need in a local clone of the repository and then "
    "pushing them to GitHub."
)
_WORKFLOWS = re.compile(r"\.github/workflows(/|$)", re.IGNORECASE)
_FILE_MODES = ("100644", "100755", "120000")


def must_have_commits(call: Call) -> None:
    """Refuse on a repository without commits.

    Raises:
        Refusal: 409.
    """
    if call.git.is_empty():
        raise empty_repository()


def must_allow_paths(call: Call, paths: list[str]) -> None:
    """Refuse workflow files from an App without the workflows permission.

    Raises:
        Refusal: 403.
    """
    token = call.caller.token
    if not (call.caller.installation and token) or allows(token.permissions, "workflows:write"):
        return
    if any(_WORKFLOWS.match(path) for path in paths):
        raise forbidden_to_app()


def bytes_of(content: str, encoding: str) -> bytes:
    """The bytes of a "utf-8" or "base64" text.

    Raises:
        Refusal: 422 if it is not base64.
    """
    if encoding != "base64":
        return content.encode()
    try:
        return base64.b64decode(re.sub(r"\s", "", content), validate=True)
    except binascii.Error as error:
        raise unprocessable("content is not valid Base64") from error


@handles("git/create-blob")
def create_blob(call: Call) -> Answer:
    must_have_commits(call)
    content = bytes_of(call.fields["content"], call.fields.get("encoding", "utf-8"))
    if len(content) > LARGEST_BLOB_BYTES:
        raise unprocessable(TOO_LARGE)
    (sha,) = call.git.write_blobs([content])
    return Answer(
        201, {"sha": sha, "url": f"{call.world.api_url}/repos/{call.repo.full_name}/git/blobs/{sha}"}
    )


@handles("git/get-blob")
def get_blob(call: Call) -> Answer:
    must_have_commits(call)
    sha = call.params["file_sha"]
    if call.git.types([sha]).get(sha, ("", 0))[0] != "blob":
        raise not_found()
    content = call.git.read_blob(sha)
    text = base64.encodebytes(content).decode()
    url = f"{call.world.api_url}/repos/{call.repo.full_name}/git/blobs/{sha}"
    body = {"sha": sha, "size": len(content), "encoding": "base64", "content": text, "url": url}
    return Answer(200, body | {"node_id": node_id("Blob", f"{call.repo.id}:{sha}")})


@handles("git/create-tree")
def create_tree(call: Call) -> Answer:
    must_have_commits(call)
    entries: list[dict[str, Any]] = call.fields["tree"]
    if not entries and not call.fields.get("base_tree"):
        raise unprocessable("Invalid tree info")
    inline = [entry for entry in entries if "content" in entry]
    size = sum(len(entry["content"].encode()) for entry in inline)
    if len(entries) > MOST_ENTRIES or len(inline) > MOST_INLINE_ENTRIES or size > MOST_INLINE_BYTES:
        raise unprocessable(TOO_LARGE)
    must_allow_paths(call, [str(entry.get("path", "")) for entry in entries])
    base = base_of(call)
    for entry in entries:
        check_entry(entry)
    check_objects(call, entries, base)
    shas = call.git.write_blobs([entry["content"].encode() for entry in inline])
    made = dict(zip((id(entry) for entry in inline), shas, strict=True))
    changes = [
        Change(entry["path"], entry["mode"], made[id(entry)] if id(entry) in made else entry["sha"])
        for entry in entries
    ]
    return Answer(201, tree_shape(call, call.git.write_tree(base, changes), recursive=False))


def base_of(call: Call) -> str | None:
    """The tree to start from; a commit stands for its tree.

    Raises:
        Refusal: 422 if there is no such object.
    """
    base = call.fields.get("base_tree")
    if base is None:
        return None
    if call.git.types([base]).get(base, ("", 0))[0] not in ("tree", "commit"):
        raise unprocessable("base_tree is not a valid tree oid")
    return str(base)


def check_entry(entry: dict[str, Any]) -> None:
    """Refuse an entry that is not whole or whose path leaves the tree.

    Raises:
        Refusal: 422.
    """
    path = entry.get("path") or ""
    if not path or "mode" not in entry:
        raise unprocessable("Must supply tree.path and tree.mode")
    parts = path.split("/")
    if any(part in ("", ".", "..") or part.lower() == ".git" for part in parts):
        raise unprocessable("tree.path contains a malformed path component")
    if "content" in entry and entry.get("sha") is not None:
        raise unprocessable("Must supply either tree.sha or tree.content, not both")
    if "content" not in entry and "sha" not in entry:
        raise unprocessable("Must supply either tree.sha or tree.content")
    if "content" in entry and entry["mode"] not in _FILE_MODES:
        raise unprocessable("tree.content is for blobs only")


def check_objects(call: Call, entries: list[dict[str, Any]], base: str | None) -> None:
    """Refuse objects that do not exist or are of another type, and removals of what is not there.

    Raises:
        Refusal: 422.
    """
    named = [entry for entry in entries if entry.get("sha") and entry["mode"] != "160000"]
    types = call.git.types([entry["sha"] for entry in named]) if named else {}
    for entry in named:
        kind = "tree" if entry["mode"] == "040000" else "blob"
        if types.get(entry["sha"], ("", 0))[0] != kind:
            raise unprocessable(f"tree.sha {entry['sha']} is not a valid {kind}")
    removed = [entry["path"] for entry in entries if entry.get("sha", "") is None]
    there = {e.path for e in call.git.read_tree(base, recursive=True)} if removed and base else set()
    if set(removed) - there:
        raise unprocessable("GitRPC::BadObjectState")


def tree_shape(call: Call, sha: str, *, recursive: bool) -> dict[str, Any]:
    """A tree as JSON."""
    entries: list[TreeEntry] = call.git.read_tree(sha, recursive=recursive)
    return {
        "sha": sha,
        "url": f"{call.world.api_url}/repos/{call.repo.full_name}/git/trees/{sha}",
        "tree": [code.tree_entry(call.world, call.repo, entry) for entry in entries[:MOST_LISTED]],
        "truncated": len(entries) > MOST_LISTED,
    }


@handles("git/get-tree")
def get_tree(call: Call) -> Answer:
    must_have_commits(call)
    name = call.params["tree_sha"]
    sha = call.git.resolve(name) or name
    kind = call.git.types([sha]).get(sha, ("", 0))[0]
    if kind == "commit":
        sha = call.git.read_commit(sha).tree
    elif kind != "tree":
        raise not_found()
    return Answer(200, tree_shape(call, sha, recursive="recursive" in call.query))


@handles("git/create-commit")
def create_commit(call: Call) -> Answer:
    must_have_commits(call)
    fields, git = call.fields, call.git
    parents = fields.get("parents") or []
    types = git.types([fields["tree"], *parents])
    if types.get(fields["tree"], ("", 0))[0] != "tree":
        raise unprocessable("Tree SHA does not exist")
    if any(types.get(parent, ("", 0))[0] != "commit" for parent in parents):
        raise unprocessable("Parent SHA does not exist or is not a commit object")
    if not fields["message"].strip():
        raise unprocessable("Commit message can't be empty")
    if not any(fields.get(name) for name in ("author", "committer", "signature")):
        app = call.caller.app if call.caller.installation else None
        sha = branches.commit(
            call.world, call.repo, fields["tree"], parents, fields["message"], call.caller.login, app
        )
    else:
        author = person(call, fields.get("author"))
        committer = person(call, fields["committer"]) if fields.get("committer") else author
        sha = git.write_commit(fields["tree"], parents, fields["message"], author, committer, signed=False)
    return Answer(201, code.git_commit(call.world, call.repo, git.read_commit(sha)))


def person(call: Call, given: dict[str, Any] | None) -> Person:
    """A given author or committer, else the caller.

    Raises:
        Refusal: 422 for a date that is none.
    """
    if not given:
        return branches.identity_of(call.world, call.caller.login)
    try:
        return Person(given["name"], given["email"], git_date(given.get("date") or call.world.now()))
    except ValueError as error:
        raise unprocessable("date is not a valid ISO 8601 timestamp") from error


@handles("git/get-commit")
def get_commit(call: Call) -> Answer:
    must_have_commits(call)
    sha = call.params["commit_sha"]
    if call.git.types([sha]).get(sha, ("", 0))[0] != "commit":
        raise not_found()
    return Answer(200, code.git_commit(call.world, call.repo, call.git.read_commit(sha)))


def ref_answer(call: Call, status: int, name: str) -> Answer:
    """A ref as JSON, with its present object."""
    sha = call.git.refs()[name]
    kind = call.git.types([sha])[sha][0]
    return Answer(status, code.ref(call.world, call.repo, name, sha, kind))


@handles("git/get-ref")
def get_ref(call: Call) -> Answer:
    must_have_commits(call)
    name = f"refs/{call.params['ref']}"
    if name not in call.git.refs():
        raise not_found()
    return ref_answer(call, 200, name)


@handles("git/list-matching-refs")
def list_refs(call: Call) -> Answer:
    must_have_commits(call)
    found = call.git.refs(f"refs/{call.params['ref']}")
    kinds = call.git.types(list(found.values())) if found else {}
    shaped = [code.ref(call.world, call.repo, name, sha, kinds[sha][0]) for name, sha in found.items()]
    return Answer(200, shaped)


@handles("git/create-ref")
def create_ref(call: Call) -> Answer:
    must_have_commits(call)
    name = call.fields["ref"]
    branches.create(call.world, call.repo, name, call.fields["sha"], call.caller.login)
    return ref_answer(call, 201, name)


@handles("git/update-ref")
def update_ref(call: Call) -> Answer:
    must_have_commits(call)
    name = f"refs/{call.params['ref']}"
    force = bool(call.fields.get("force"))
    branches.update(call.world, call.repo, name, call.fields["sha"], call.caller.login, force=force)
    return ref_answer(call, 200, name)


@handles("git/delete-ref")
def delete_ref(call: Call) -> Answer:
    branches.delete(call.world, call.repo, f"refs/{call.params['ref']}", call.caller.login)
    return Answer(204)
