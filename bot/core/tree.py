"""A repository's files as git lists them: what a build starts from, and its result as a difference to that."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from bot.core.models import Artifact, LeftOut
from bot.core.paths import judge, shown

NOTES_FOLDER = ".swarm"
"""Below the workspace; what agents write there is for us and never committed."""
DELETIONS = f"{NOTES_FOLDER}/deletions"
"""One path per line; a folder ends in a slash. What is merely missing from the workspace is not deleted."""
EVIDENCE = f"{NOTES_FOLDER}/evidence"
"""A line per requirement, "2: what shows it"."""


@dataclass(frozen=True, slots=True)
class Blob:
    """One file of a git tree: the id of its content, and git's mode (0o120000 for a link, 0o160000 for a submodule)."""

    sha: str
    mode: int
    size_bytes: int = 0


Listing = Mapping[str, Blob]
"""A git tree, recursively: path -> file."""


@dataclass(frozen=True, slots=True)
class Start:
    """What agents start from: the files that lie in their workspaces, and all that the repository has."""

    files: Sequence[Artifact] = ()
    listing: Listing = field(default_factory=dict)


NOTHING = Start()
"""An empty workspace."""


def blob_sha(content: bytes) -> str:
    """The id that git gives to a file's content."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def differing(before: Listing, after: Listing) -> set[str]:
    """Paths that two trees do not have in common."""
    return {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)}


def overlaid(
    start: Sequence[Artifact], changed: Sequence[Artifact], deleted: Sequence[str]
) -> list[Artifact]:
    """The files of `start` with a result laid over them, by path."""
    gone = set(deleted)
    files = {file.path: file for file in start if file.path not in gone} | {
        file.path: file for file in changed
    }
    return [file for _, file in sorted(files.items())]


@dataclass(frozen=True, slots=True)
class Bounds:
    """What of a repository a build may change.

    Attributes:
        target: a folder beyond which nothing is changed; "" for none.
        protected: files, folders (with a slash at the end) and patterns with * (any characters), ? and [abc].
    """

    target: str = ""
    protected: Sequence[str] = ()

    def reason(self, path: str) -> str:
        """Why a path stays as it is; "" if it may be changed."""
        if self.target and not path.startswith(f"{self.target}/"):
            return f"outside of {self.target}/, the folder that builds are kept in"
        for each in self.protected:
            if path.startswith(each) if each.endswith("/") else fnmatchcase(path, each):
                return f"protected in .github/swarm.yml ({each})"
        return ""


ANYWHERE = Bounds()
"""No bounds but the rules that hold everywhere."""


@dataclass(frozen=True, slots=True)
class SeedLimits:
    """How much of a repository is placed on a machine."""

    max_files: int = 10_000
    max_file_bytes: int = 1 << 20
    max_total_bytes: int = 32 << 20


def placeable(listing: Listing, limits: SeedLimits = SeedLimits()) -> tuple[set[str], int]:
    """Paths that are placed in a workspace, those near the root first, and how many are not."""
    taken: set[str] = set()
    total = left = 0
    for path, blob in sorted(listing.items(), key=lambda item: (item[0].count("/"), item[0])):
        regular = blob.mode in (0o100644, 0o100755)
        fits = blob.size_bytes <= limits.max_file_bytes and total + blob.size_bytes <= limits.max_total_bytes
        if regular and fits and len(taken) < limits.max_files:
            taken.add(path)
            total += blob.size_bytes
        else:
            left += 1
    return taken, left


def asked_deletions(
    text: str, listing: Listing, kept: Iterable[str], bounds: Bounds = ANYWHERE
) -> tuple[tuple[str, ...], tuple[LeftOut, ...]]:
    """(paths to delete, those that stay and why) from the text of `DELETIONS`.

    Args:
        text: what the agents wrote.
        listing: what the build started from.
        kept: paths that the result has; they are not deleted.
        bounds: what may be touched.
    """
    result, stay = set(kept), dict[str, str]()
    gone: set[str] = set()
    for line in text.splitlines():
        wish = line.strip().removeprefix("./")
        if not wish or wish.startswith("#"):
            continue
        below = [path for path in listing if path == wish or (wish.endswith("/") and path.startswith(wish))]
        if not below:
            stay[shown(wish)] = "its deletion was asked for, but it is not in the repository"
        for path in below:
            verdict = judge(path)
            if path in result:
                stay[path] = "its deletion was asked for, but the result has it"
            elif why := verdict.reason if verdict else bounds.reason(path):
                stay[path] = f"its deletion was asked for, but it stays: {why}"
            else:
                gone.add(path)
    return tuple(sorted(gone)), tuple(LeftOut(path, why) for path, why in sorted(stay.items())[:50])


def claims(text: str) -> dict[int, str]:
    """Requirement number, from 1 -> what shows it, from the text of `EVIDENCE`. Untrusted words."""
    found: dict[int, str] = {}
    for line in text.splitlines():
        number, colon, words = line.strip().lstrip("-*# ").partition(":")
        number = number.strip()
        if colon and number.isdecimal() and len(number) <= 4 and words.strip():
            found.setdefault(int(number), words.strip())
    return found
