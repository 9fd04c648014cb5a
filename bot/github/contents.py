"""What is in a repository at a commit: what led to it, the listing of its tree, and the files themselves by one download."""

import base64
import io
import tarfile
from collections.abc import Iterator
from typing import Any

from github.Repository import Repository as GhRepository

from bot.core.errors import Transient, TranslationTable, UserError, translate
from bot.core.models import Artifact
from bot.core.tree import Blob, Listing, blob_sha
from bot.github.door import Door, json_call
from bot.github.errors import Access
from bot.github.values import Commit, commit_in

MAX_ARCHIVE_BYTES = 256 << 20
"""Of a compressed archive; a larger repository is not worked on."""
MAX_SINGLE_FILES = 100
"""Files that the archive holds otherwise than git does (`.gitattributes`) are fetched one by one, so many at most."""

_BROKEN: TranslationTable = {tarfile.TarError: Transient, EOFError: Transient, OSError: Transient}


class Contents:
    """Reads one repository."""

    def __init__(self, door: Door, path: str) -> None:
        self._door = door
        self._path = path

    def listing(self, tree_sha: str) -> Listing:
        """All files below a tree, links and submodules included.

        Raises:
            UserError: GitHub cannot list them all in one answer (more than 100,000).
        """
        path = f"{self._path}/git/trees/{tree_sha}?recursive=1"
        answer = self._door.again(
            "listing the repository's files", Access.CONTENTS, lambda repo: json_call(repo, "GET", path)
        )
        if answer["truncated"]:
            raise UserError(
                "The repository has more files than GitHub lists at once, so no diff can be made."
            )
        return {
            each["path"]: Blob(each["sha"], int(each["mode"], 8), each.get("size") or 0)
            for each in answer["tree"]
            if each["type"] != "tree"
        }

    def commits_between(self, base: str, head: str) -> tuple[Commit, ...]:
        """Commits that `head` reaches and `base` does not, oldest first; the first 100."""
        path = f"{self._path}/compare/{base}...{head}?per_page=100"
        answer = self._door.again(
            "comparing two commits", Access.CONTENTS, lambda repo: json_call(repo, "GET", path)
        )
        return tuple(commit_in(each) for each in answer["commits"])

    def files(self, sha: str, wanted: Listing) -> list[Artifact]:
        """The files of a commit that `wanted` names, with exactly the content that git has, sorted by path.

        Raises:
            UserError: the repository's archive is larger than `MAX_ARCHIVE_BYTES`.
        """
        if not wanted:
            return []
        archive = self._door.download(
            "downloading the repository's files",
            Access.CONTENTS,
            f"{self._path}/tarball/{sha}",
            MAX_ARCHIVE_BYTES,
        )
        with translate(_BROKEN, "reading the repository's archive"):
            found = {
                path: content
                for path, content in _members(archive, wanted)
                if blob_sha(content) == wanted[path].sha
            }
        other = [path for path in sorted(wanted) if path not in found][:MAX_SINGLE_FILES]
        found |= {path: self._blob(path, wanted[path].sha) for path in other}
        return [Artifact(path, content, wanted[path].mode) for path, content in sorted(found.items())]

    def _blob(self, path: str, sha: str) -> bytes:
        def read(repo: GhRepository) -> Any:
            return json_call(repo, "GET", f"{self._path}/git/blobs/{sha}")

        return base64.b64decode(self._door.again(f"reading {path}", Access.CONTENTS, read)["content"])


def _members(archive: bytes, wanted: Listing) -> Iterator[tuple[str, bytes]]:
    """Regular files of an archive by their path below its one folder; read in memory, never extracted."""
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r|gz", encoding="utf-8") as tar:
        for member in tar:
            path = member.name.partition("/")[2]
            if member.isreg() and path in wanted and member.size <= wanted[path].size_bytes:
                source = tar.extractfile(member)
                yield path, source.read() if source else b""
