"""Which names a file in a pull request may have: rules over paths alone, shared by whoever moves agents' files."""

import re
import unicodedata
from dataclasses import dataclass

EXCLUDED = frozenset(
    {
        "node_modules", "bower_components", ".npm", ".pnpm-store", ".parcel-cache", ".next", ".nuxt",
        ".svelte-kit", ".turbo", ".vite", ".venv", "venv", "site-packages", "dist-packages", "__pycache__",
        ".pytest_cache", ".mypy_cache", ".ruff_cache", ".tox", ".nox", ".eggs", ".cache", ".gradle", ".nyc_output",
    }
)  # fmt: skip
"""Folders of dependencies and caches: made again wherever the app is installed."""

AGENT_FOLDERS = frozenset(
    {".pi", ".claude", ".cursor", ".codex", ".gemini", ".windsurf", ".agents", ".opencode", ".roo", ".kiro"}
)
AGENT_FILES = frozenset(
    {"agents.md", "agents.override.md", "claude.md", "claude.local.md", "gemini.md", ".cursorrules", ".windsurfrules",
     ".clinerules", ".mcp.json"}
)  # fmt: skip
"""What would steer the next agent that works on the repository, and its reader would never see."""

_CI = "would change what continuous integration runs"
ACTING = {
    ".devcontainer": "would run commands when the repository is opened in a container",
    ".devcontainer.json": "would run commands when the repository is opened in a container",
    ".vscode/tasks.json": "would run commands when the folder is opened in an editor",
    ".vscode/settings.json": "would choose programs that an editor runs when the folder is opened",
    ".envrc": "would run in the shell of whoever enters the folder",
    ".husky": "would run with git's commands on its reader's computer",
    ".npmrc": "would change where npm fetches packages from, and may hold a token",
    ".circleci": _CI,
    ".gitlab-ci.yml": _CI,
    "jenkinsfile": _CI,
}
"""What acts before anybody has read it, and why it stays out: folders and files, at any depth."""

_DEVICE = re.compile(r"(con|prn|aux|nul|com[1-9¹²³]|lpt[1-9¹²³])(\.|$)", re.IGNORECASE)
_SHORT_NAME = re.compile(r"(git|github)~\d+", re.IGNORECASE)
_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})
_ENV_SAMPLES = (".example", ".sample", ".template", ".dist")


@dataclass(frozen=True, slots=True)
class Verdict:
    """Why something stays out. `path` is the file, or with a slash at its end the folder that it lies in."""

    path: str
    reason: str


def judge(path: str) -> Verdict | None:
    """The verdict on a path as a tar has it, "./" at its start removed; None if nothing speaks against it."""
    parts = path.split("/")
    if path.startswith("/"):
        return Verdict(path, "an absolute path")
    if ".." in parts:
        return Verdict(path, "leads out of the workspace")
    for depth, name in enumerate(parts):
        is_folder = depth < len(parts) - 1
        reason = (
            _odd(name)
            or _of_git(name, depth)
            or _of_agents(name)
            or _of_opening(parts[: depth + 1])
            or _of_contents(name, is_folder=is_folder)
        )
        if reason:
            return Verdict("/".join(parts[: depth + 1]) + "/" * is_folder, reason)
    return None


def shown(path: str) -> str:
    """A path that is safe to show and to store: undecodable bytes, control and invisible characters escaped."""
    return "".join(
        character.encode("unicode_escape").decode()
        if unicodedata.category(character) in _INVISIBLE
        else character
        for character in path
    )


def _odd(name: str) -> str:
    """Names that some file system reads as another name. git on Windows and macOS was led astray by each of them."""
    if name in ("", "."):
        return "an empty or “.” component in its path"
    if any(unicodedata.category(character) in _INVISIBLE for character in name):
        return "a name with undecodable, control or invisible characters"
    if name.endswith((".", " ")) or "\\" in name or ":" in name or _DEVICE.match(name):
        return "a name that Windows cannot keep or reads as another"
    return ""


def _of_git(name: str, depth: int) -> str:
    folded = name.casefold()
    if folded in (".git", ".gitmodules") or _SHORT_NAME.fullmatch(name):
        return "git's own"
    if folded == ".github" and depth == 0:
        return "would change how GitHub runs this repository"
    return ""


def _of_agents(name: str) -> str:
    folded = name.casefold()
    if folded in AGENT_FOLDERS or folded in AGENT_FILES or folded.startswith(".aider"):
        return "would instruct agents that work on this repository"
    return ""


def _of_opening(parts: list[str]) -> str:
    name, with_folder = parts[-1].casefold(), "/".join(parts[-2:]).casefold()
    return ACTING.get(name) or ACTING.get(with_folder) or ""


def _of_contents(name: str, *, is_folder: bool) -> str:
    folded = name.casefold()
    if is_folder:
        if folded in (".ssh", ".aws", ".gnupg"):
            return "a folder of credentials"
        return "dependencies or a cache, made again on installation" if folded in EXCLUDED else ""
    if folded in (".netrc", ".pypirc", ".git-credentials"):
        return "a file of credentials"
    if (folded == ".env" or folded.startswith(".env.")) and not folded.endswith(_ENV_SAMPLES):
        return "an environment file, which may hold secrets"
    return ""
