"""clone, fetch and push over HTTP, through git's own `http-backend`."""

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bot.local.github import branches
from bot.local.github.gitstore import environment
from bot.local.github.identity import Caller, identify
from bot.local.github.permissions import allows, check_repository
from bot.local.github.records import Repository
from bot.local.github.refusals import Refusal, not_found
from bot.local.github.world import World

_BACKEND = "/usr/lib/git-core/git-http-backend"
_NO_WORKFLOWS = "LOCAL_GITHUB_NO_WORKFLOWS"
# git's own check before refs move; GitHub words the refusal like this.
_PRE_RECEIVE = f"""#!/bin/sh
[ -n "${_NO_WORKFLOWS}" ] || exit 0
while read -r old new ref; do
  case "$new" in *[!0]*) ;; *) continue ;; esac
  for commit in $(git rev-list "$new" --not --all); do
    file=$(git diff-tree --root -r --no-commit-id --name-only "$commit" -- .github/workflows | head -n 1)
    [ -z "$file" ] && continue
    echo "refusing to allow a GitHub App to create or update workflow \\`$file\\` without \\`workflows\\` permission" >&2
    exit 1
  done
done
"""


@dataclass(frozen=True, slots=True)
class GitRequest:
    """One HTTP request of a git client. `rest` is what follows the repository: "info/refs", "git-receive-pack"."""

    method: str
    owner: str
    name: str
    rest: str
    query: str
    headers: Mapping[str, str]
    data: bytes


@dataclass(frozen=True, slots=True)
class GitAnswer:
    """What the client gets."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


def serve(world: World, request: GitRequest) -> GitAnswer:
    """Answer a git client; a push moves pull requests and sends events like any other change."""
    pushes = "git-receive-pack" in (request.rest, request.query.removeprefix("service="))
    try:
        with world.store.lock:
            caller = identify(world, request.headers.get("Authorization"))
            repo = world.repository(request.owner, request.name.removesuffix(".git"))
            repo = _check(world, caller, repo, pushes=pushes)
            if request.rest != "git-receive-pack":
                return _backend(world, repo, caller, request)
            # Held over the push, so that what moved can be told from what others moved.
            before = world.git(repo).refs()
            _install_hook(world.git(repo).path)
            answer = _backend(world, repo, caller, request)
            after = world.git(repo).refs()
            for name in sorted({*before, *after}):
                if before.get(name) != after.get(name):
                    branches.moved(world, repo, name, before.get(name), after.get(name), caller.login)
            return answer
    except Refusal as refusal:
        headers = [("Content-Type", "text/plain")]
        if refusal.status == 401:
            headers.append(("WWW-Authenticate", 'Basic realm="GitHub"'))
        return GitAnswer(refusal.status, tuple(headers), refusal.message.encode())


def _check(world: World, caller: Caller, repo: Repository | None, *, pushes: bool) -> Repository:
    anonymous = caller.name == "nobody"
    if anonymous and (pushes or repo is None or repo.private):
        raise Refusal(401, "Repository not found.")  # git then asks for a password
    if repo is None:
        raise not_found()
    operation = "git/create-ref" if pushes else "git/get-ref"
    return check_repository(world, caller, repo, operation, writes=pushes, on_pull=False)


def _install_hook(path: Path) -> None:
    hook = path / "hooks" / "pre-receive"
    if not hook.exists():
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(_PRE_RECEIVE)
        hook.chmod(0o755)


def _backend(world: World, repo: Repository, caller: Caller, request: GitRequest) -> GitAnswer:
    path = world.git(repo).path
    variables = environment(path) | {
        "GIT_PROJECT_ROOT": str(path.parent),
        "GIT_HTTP_EXPORT_ALL": "1",
        "PATH_INFO": f"/{path.name}/{request.rest}",
        "QUERY_STRING": request.query,
        "REQUEST_METHOD": request.method,
        "CONTENT_TYPE": request.headers.get("Content-Type", ""),
        "CONTENT_LENGTH": str(len(request.data)),
        "HTTP_CONTENT_ENCODING": request.headers.get("Content-Encoding", ""),
        "GIT_PROTOCOL": request.headers.get("Git-Protocol", ""),
        "REMOTE_USER": caller.login,
        "PATH": os.defpath,
    }
    del variables["GIT_DIR"]  # the backend finds the repository by PATH_INFO
    if caller.token and caller.installation and not allows(caller.token.permissions, "workflows:write"):
        variables[_NO_WORKFLOWS] = "1"
    done = subprocess.run([_BACKEND], input=request.data, capture_output=True, env=variables, check=True)
    head, _, body = done.stdout.partition(b"\r\n\r\n")
    headers = [tuple(line.split(": ", 1)) for line in head.decode().split("\r\n") if line]
    status = next((int(value.split()[0]) for name, value in headers if name == "Status"), 200)
    kept = tuple((name, value) for name, value in headers if name != "Status")
    return GitAnswer(status, kept, body)
