"""Files to a git commit through the Git Data API: trees in chunks, blobs only for what is not text.

The App gives neither author nor committer: GitHub then signs the commit in the App's name and shows it as verified.
Text goes inline into the trees, because a blob is a write of its own and 80 writes a minute is all that GitHub takes.
"""

import base64
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from bot.core.errors import Conflict, Transient
from bot.core.models import Artifact
from bot.github.door import Call, Door, json_call
from bot.github.errors import Access, RateLimited

MAX_ENTRIES = 100
MAX_INLINE_BYTES = 1_500_000
"""GitHub gives up on larger trees (seen at 200 entries or 2.5 MB: 502, or 422 "your request timed out")."""

BLOBS_AT_ONCE = 40
BLOB_PAUSE_S = 0.8
"""Beyond the first blobs we slow down to what the secondary limit of 80 creating calls a minute lets through."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a tree: text inline, or the sha of a blob; without either the path is deleted."""

    path: str
    mode: str
    text: str | None = None
    blob: str | None = None

    @property
    def inline_bytes(self) -> int:
        return len(self.text.encode()) if self.text is not None else 0

    def line(self) -> dict[str, str | None]:
        """As the API wants it."""
        content = {"content": self.text} if self.text is not None else {"sha": self.blob}
        return {"path": self.path, "mode": self.mode, "type": "blob", **content}


def text_of(content: bytes) -> str | None:
    """The content as text if it survives the journey inside JSON: UTF-8 without NUL."""
    if b"\0" in content:
        return None
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return None


def chunks(
    entries: Iterable[Entry], *, max_entries: int = MAX_ENTRIES, max_bytes: int = MAX_INLINE_BYTES
) -> Iterator[list[Entry]]:
    """Entries in their order, cut so that no chunk exceeds either limit (a larger entry gets a chunk of its own)."""
    chunk: list[Entry] = []
    size = 0
    for entry in entries:
        if chunk and (len(chunk) == max_entries or size + entry.inline_bytes > max_bytes):
            yield chunk
            chunk, size = [], 0
        chunk.append(entry)
        size += entry.inline_bytes
    if chunk:
        yield chunk


class CommitWriter:
    """Writes one commit. Everything before the commit itself is named by its content, so doing it twice is harmless;
    a commit that no branch points to is swept away by GitHub.
    """

    def __init__(self, door: Door, path: str, pause: Callable[[float], object]) -> None:
        self._door = door
        self._path = path
        self._pause = pause

    def write(
        self,
        files: Sequence[Artifact],
        *,
        deleted: Sequence[str] = (),
        parent_sha: str,
        base_tree: str,
        message: str,
    ) -> str:
        """The sha of a commit on `parent_sha` whose tree is `base_tree` with `files` laid over it, without `deleted`.

        Both empty make a commit that nothing lies below.

        Raises:
            Conflict: GitHub refuses a file; the message names it.
            BotError: see `bot.github.errors`.
        """
        tree = base_tree
        gone = [Entry(path, "100644") for path in deleted]
        for chunk in chunks([*gone, *self._entries(files)]):
            tree = self._tree(chunk, tree)
        commit = {"message": message, "tree": tree, "parents": [parent_sha] if parent_sha else []}
        return self._door.again("creating the commit", Access.CONTENTS, self._creation("commits", commit))

    def _entries(self, files: Sequence[Artifact]) -> list[Entry]:
        blobs: dict[bytes, str] = {}
        return [self._entry(file, blobs) for file in files]

    def _entry(self, file: Artifact, blobs: dict[bytes, str]) -> Entry:
        mode = f"{file.mode:06o}"
        text = text_of(file.content)
        if text is not None:
            return Entry(file.path, mode, text=text)
        if file.content not in blobs:
            if len(blobs) >= BLOBS_AT_ONCE:
                self._pause(BLOB_PAUSE_S)
            blobs[file.content] = self._blob(file)
        return Entry(file.path, mode, blob=blobs[file.content])

    def _blob(self, file: Artifact) -> str:
        blob = {"content": base64.b64encode(file.content).decode("ascii"), "encoding": "base64"}
        return self._door.again(f"storing {file.path}", Access.CONTENTS, self._creation("blobs", blob))

    def _tree(self, entries: Sequence[Entry], base_tree: str) -> str:
        """Lay entries over a tree; halves what GitHub chokes on."""
        doing = f"storing {entries[0].path}" if len(entries) == 1 else f"storing {len(entries)} files"

        below = {"base_tree": base_tree} if base_tree else {}
        send = self._creation("trees", {**below, "tree": [entry.line() for entry in entries]})
        if len(entries) == 1:
            return self._door.again(doing, Access.CONTENTS, send)
        try:
            return self._door.post(doing, Access.CONTENTS, send)
        except RateLimited:
            raise
        except (Conflict, Transient):  # 422 and 5xx: too much at once, or one bad file, which halving finds
            half = len(entries) // 2
            return self._tree(entries[half:], self._tree(entries[:half], base_tree))

    def _creation(self, kind: str, body: Any) -> Call[str]:
        """The call that makes a git object and answers its sha."""
        return lambda repo: str(json_call(repo, "POST", f"{self._path}/git/{kind}", body)["sha"])
