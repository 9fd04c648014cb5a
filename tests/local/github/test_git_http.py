"""clone and push with real git."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

from bot.local.github.server import Running
from tests.local.github.conftest import Receiver, Rest, installation_token


def git(folder: Path, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    environment = {
        "PATH": os.defpath,
        "HOME": str(folder),
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_CONFIG_NOSYSTEM": "1",
    }
    person = ["-c", "user.name=Wendy", "-c", "user.email=wendy@example.com"]
    return subprocess.run(
        ["git", *person, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=check,
        env=environment,
    )


def clone(hub: Running, folder: Path, token: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    where = hub.web_url.replace("http://", f"http://x-access-token:{token}@" if token else "http://")
    git(folder, "clone", "-q", f"{where}/acme/arcade.git")
    return folder / "arcade"


def commit(work: Path, path: str, text: str) -> str:
    (work / path).parent.mkdir(parents=True, exist_ok=True)
    (work / path).write_text(text)
    git(work, "add", "-A")
    git(work, "commit", "-q", "-m", f"Change {path}")
    return git(work, "rev-parse", "HEAD").stdout.strip()


def test_a_person_pushes_and_the_pull_request_follows(
    hub: Running, receiver: Receiver, rest: Callable[[str], Rest], tmp_path: Path
) -> None:
    """Clone, push a branch, open a pull request, push again."""
    work = clone(hub, tmp_path / "w", hub.users["wendy"])
    assert (work / "README.md").read_text().startswith("# Arcade")
    git(work, "switch", "-q", "-c", "topic")
    first = commit(work, "a.txt", "one")
    git(work, "push", "-q", "origin", "topic")
    body = {"title": "Topic", "head": "topic", "base": "main"}
    made = rest("wendy")("POST", "/repos/acme/arcade/pulls", body)
    assert made.json()["head"]["sha"] == first
    second = commit(work, "a.txt", "two")
    git(work, "push", "-q", "origin", "topic")
    (moved,) = receiver.wait_for("pull_request.synchronize")
    assert (moved.json()["before"], moved.json()["after"]) == (first, second)
    assert moved.json()["sender"]["login"] == "wendy"


def test_pushing_needs_write_access(hub: Running, tmp_path: Path) -> None:
    """Readers and nobody may clone the public repository; neither may push."""
    for token in (hub.users["rita"], ""):
        work = clone(hub, tmp_path / f"w{len(token)}", token)
        commit(work, "a.txt", "one")
        pushed = git(work, "push", "-q", "origin", "main", check=False)
        assert pushed.returncode != 0
    hub.create_repository("acme/secret", {"a": b"b"}, private=True)
    address = f"{hub.web_url.replace('://', '://x:ghs_wrong@')}/acme/secret"
    wrong = git(tmp_path, "clone", address, check=False)
    assert "Authentication failed" in wrong.stderr


def test_the_app_pushes_no_workflows(hub: Running, tmp_path: Path) -> None:
    """Its other commits pass; a workflow file is refused in GitHub's words."""
    work = clone(hub, tmp_path / "w", installation_token(hub))
    commit(work, "a.txt", "one")
    git(work, "push", "-q", "origin", "main")
    commit(work, ".github/workflows/ci.yml", "on: push")
    pushed = git(work, "push", "-q", "origin", "main", check=False)
    assert pushed.returncode != 0
    assert "without `workflows` permission" in pushed.stderr
