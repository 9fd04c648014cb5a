"""Files through the contents endpoints: the only way into an empty repository."""

import base64
from typing import Any
from urllib.parse import quote

from bot.local.github import branches
from bot.local.github.api import Answer, Call, handles
from bot.local.github.gitstore import Change, TreeEntry
from bot.local.github.operations.gitdata import bytes_of, check_entry, must_allow_paths, person
from bot.local.github.refusals import Refusal, not_found, unprocessable
from bot.local.github.shapes import code

LARGEST_INLINE_BYTES = 2**20


def links(call: Call, path: str, sha: str, ref: str, *, folder: bool = False) -> dict[str, Any]:
    """The addresses that every content entry has."""
    where = quote(path)
    page = f"{call.world.web_url}/{call.repo.full_name}"
    url = f"{call.world.api_url}/repos/{call.repo.full_name}/contents/{where}?ref={quote(ref, safe='')}"
    kind = "trees" if folder else "blobs"
    git_url = f"{call.world.api_url}/repos/{call.repo.full_name}/git/{kind}/{sha}"
    html_url = f"{page}/{'tree' if folder else 'blob'}/{quote(ref)}/{where}"
    return {
        "url": url,
        "git_url": git_url,
        "html_url": html_url,
        "download_url": None if folder else f"{page}/raw/{quote(ref)}/{where}",
        "_links": {"self": url, "git": git_url, "html": html_url},
    }


def shape(call: Call, entry: TreeEntry, path: str, ref: str, *, with_content: bool) -> dict[str, Any]:
    """A file or a folder as a content entry."""
    folder = entry.type == "tree"
    size = entry.size_bytes or 0
    body = {
        "type": "dir" if folder else "file",
        "name": path.rpartition("/")[2],
        "path": path,
        "sha": entry.sha,
        "size": size,
        **links(call, path, entry.sha, ref, folder=folder),
    }
    if with_content and size > LARGEST_INLINE_BYTES:
        body |= {"encoding": "none", "content": ""}
    elif with_content:
        text = base64.encodebytes(call.git.read_blob(entry.sha)).decode()
        body |= {"encoding": "base64", "content": text}
    return body


@handles("repos/get-content")
def get_content(call: Call) -> Answer:
    return content(call, call.params["path"].strip("/"))


@handles("repos/get-readme")
def get_readme(call: Call) -> Answer:
    return content(call, "README.md")


def content(call: Call, path: str) -> Answer:
    """The file or the listing of the folder under a path."""
    if call.git.is_empty():
        raise Refusal(404, "This repository is empty.")
    ref = call.query.get("ref") or call.repo.default_branch
    sha = call.git.resolve(ref)
    if sha is None:
        raise Refusal(404, f"No commit found for the ref {ref}")
    entry = call.git.entry(sha, path) if path else TreeEntry("", "040000", "tree", sha)
    if entry is None:
        raise not_found()
    if entry.type != "tree":
        return Answer(200, shape(call, entry, path, ref, with_content=True))
    inside = call.git.read_tree(entry.sha, recursive=False)
    below = [shape(call, each, f"{path}/{each.path}".lstrip("/"), ref, with_content=False) for each in inside]
    return Answer(200, below)


@handles("repos/create-or-update-file-contents")
def put_content(call: Call) -> Answer:
    path, fields, git, repo = call.params["path"], call.fields, call.git, call.repo
    check_entry({"path": path, "mode": "100644", "content": ""})
    must_allow_paths(call, [path])
    branch = (fields.get("branch") or repo.default_branch).removeprefix("refs/heads/")
    head = git.resolve(f"refs/heads/{branch}")
    if head is None and not git.is_empty():
        raise Refusal(404, f"Branch {branch} not found")
    old = git.entry(head, path) if head else None
    if old and fields.get("sha") is None:
        raise unprocessable('Invalid request.\n\n"sha" wasn\'t supplied.')
    if fields.get("sha") is not None and (old is None or old.sha != fields["sha"]):
        raise Refusal(409, f"{path} does not match {fields['sha']}")
    (blob,) = git.write_blobs([bytes_of(fields["content"], "base64")])
    mode = old.mode if old else "100644"
    tree = git.write_tree(head, [Change(path, mode, blob)])
    sha = write(call, tree, [head] if head else [])
    git.set_ref(f"refs/heads/{branch}", sha, head)
    branches.moved(call.world, repo, f"refs/heads/{branch}", head, sha, call.caller.login)
    entry = git.entry(sha, path)
    if entry is None:
        raise LookupError(path)
    body = {
        "content": shape(call, entry, path, branch, with_content=False),
        "commit": code.git_commit(call.world, repo, git.read_commit(sha)),
    }
    return Answer(200 if old else 201, body)


def write(call: Call, tree: str, parents: list[str]) -> str:
    """The commit of a content change, signed if an App makes it and names nobody."""
    fields = call.fields
    if fields.get("author") or fields.get("committer"):
        author = person(call, fields.get("author") or fields.get("committer"))
        committer = person(call, fields.get("committer") or fields.get("author"))
        return call.git.write_commit(tree, parents, fields["message"], author, committer, signed=False)
    app = call.caller.app if call.caller.installation else None
    return branches.commit(call.world, call.repo, tree, parents, fields["message"], call.caller.login, app)
