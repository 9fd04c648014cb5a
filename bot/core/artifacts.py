"""Which files of a workspace may go into a pull request: read from a tar in memory, judged one by one, never extracted.

What an agent left behind is untrusted: names that escape the workspace or mean something to git, to GitHub, to an
operating system or to the next agent are left out, and so is what looks like a secret. Nothing is left out silently:
each file (or folder of dependencies) has a row with its reason.
"""

import io
import struct
import tarfile
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

from bot.core.errors import Permanent, TranslationTable, UserError, translate
from bot.core.models import AppKind, Artifact, LeftOut
from bot.core.paths import EXCLUDED, Verdict, judge, shown
from bot.core.procfile import procfile
from bot.core.secrets import secret_in
from bot.core.tree import ANYWHERE, NOTES_FOLDER, Bounds, Listing, blob_sha

SPEC_FILE = "SPEC.md"
PROCFILE = "Procfile"
EXECUTABLE, PLAIN = 0o100755, 0o100644
MORE = "…"
"""Stands in place of a path for rows that are not shown."""
MAX_NOTES, MAX_NOTE_BYTES = 10, 64 << 10

LONGEST_HEADER_BYTES = 64 << 10
"""Of one extension header. GNU tar writes long names into them, and paths of Linux have at most 4 KiB."""

_PAX = (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE)

TAR_ERRORS: TranslationTable = {
    tarfile.TarError: Permanent,
    ValueError: Permanent,  # numbers and text in headers, UnicodeError among them
    OverflowError: Permanent,
    EOFError: Permanent,
    struct.error: Permanent,
    RecursionError: Permanent,  # extension headers nested without end
    MemoryError: Permanent,  # an extension header that claims to be larger than anything
}


@dataclass(frozen=True, slots=True)
class Limits:
    """What a pull request may carry, and how many rows are shown of what it does not."""

    max_files: int = 2500
    max_file_bytes: int = 1 << 20
    max_total_bytes: int = 20 << 20
    max_rows: int = 200


@dataclass(frozen=True, slots=True)
class Inspection:
    """The verdict on a workspace, both sorted by path."""

    files: tuple[Artifact, ...]
    left_out: tuple[LeftOut, ...]
    notes: Mapping[str, str] = field(default_factory=dict)
    """Path -> text of what lies in `tree.NOTES_FOLDER`: for us, not for the pull request."""


def exclude_patterns() -> tuple[str, ...]:
    """Patterns for tar's `--exclude` that keep git's folder, dependencies and caches from travelling. They match at any depth."""
    return tuple(sorted({".git", *EXCLUDED}))


def inspect(
    tar: bytes, *, limits: Limits = Limits(), base: Listing | None = None, bounds: Bounds = ANYWHERE
) -> Inspection:
    """Judge every member of an uncompressed tar of a workspace that is not, as it is, in `base`.

    Files near the root come first when a limit is reached; of two names that differ only in case, the first in that
    order stays.

    Args:
        tar: the workspace.
        limits: for what is new or changed.
        base: what the workspace started from.
        bounds: what is changed beyond them is left out. The specification moves into the target folder.

    Raises:
        Permanent: the tar is damaged or cut short.
    """
    with translate(TAR_ERRORS, "the workspace could not be read"):
        judging = _Judging(limits, base or {}, bounds)
        with tarfile.open(
            fileobj=io.BytesIO(tar), mode="r:", encoding="utf-8", tarinfo=_bounded_headers()
        ) as archive:
            members = sorted(_members(archive, tar), key=lambda found: (found[0].count("/"), found[0]))
            for path, member in members:
                judging.consider(path, member, archive)
    return judging.inspection()


def require(files: Sequence[Artifact], kind: AppKind, target: str = "") -> None:
    """Check that what every result must have is there; with a target folder, there or at the root.

    Raises:
        UserError: the specification is missing, or a web app does not say how it is started.
    """
    home = f"{target}/" if target else ""
    found = {file.path: file for file in files}
    found |= {file.path.removeprefix(home): file for file in files if home and file.path.startswith(home)}
    if SPEC_FILE not in found:
        raise UserError(f"The agents left no {SPEC_FILE}, so there is nothing to review their work against.")
    if kind is AppKind.WEB and not _processes(found.get(PROCFILE)):
        raise UserError(
            f"The app has no {PROCFILE} with a line such as “web: node server.js”, so nobody knows how to start it."
        )


def _processes(file: Artifact | None) -> dict[str, str]:
    return procfile(file.content.decode("utf-8", "replace")) if file else {}


def _bounded_headers() -> type[tarfile.TarInfo]:
    """Headers of one archive, each looked at before `tarfile` reads what it announces.

    Reading a forged pax header takes time by the square of its length (CVE-2024-6232), so all of an archive together
    may take what one of the greatest length does: a few seconds. GNU tar, which packs workspaces, writes none.
    """
    spent = 0

    class Header(tarfile.TarInfo):
        @classmethod
        def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
            nonlocal spent
            header = super().frombuf(buf, encoding, errors)
            extends = header.type in (*_PAX, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK)
            if header.type in _PAX:
                spent += header.size**2
            if (extends and header.size > LONGEST_HEADER_BYTES) or spent > LONGEST_HEADER_BYTES**2:
                raise tarfile.ReadError(
                    f"its extension headers are longer than {LONGEST_HEADER_BYTES:,} bytes"
                )
            return header

    return Header


def _members(archive: tarfile.TarFile, tar: bytes) -> Iterator[tuple[str, tarfile.TarInfo]]:
    """Every member with its path; raises when the archive does not go forward to its end mark.

    `tarfile` itself stops in silence at a damaged header, and goes in circles on a negative size.
    """
    while (member := archive.next()) is not None:
        if member.size < 0:
            raise tarfile.ReadError("a header points backwards")
        if not member.isdir():
            yield member.name.removeprefix("./"), member
    if tar[archive.offset : archive.offset + tarfile.BLOCKSIZE] != bytes(tarfile.BLOCKSIZE):
        raise tarfile.ReadError("cut short")


def _content(member: tarfile.TarInfo, archive: tarfile.TarFile) -> bytes:
    source = archive.extractfile(member)
    return source.read() if source else b""


class _Judging:
    """The state of one inspection: what was taken, and what was not."""

    def __init__(self, limits: Limits, base: Listing, bounds: Bounds) -> None:
        self._limits = limits
        self._base = base
        self._bounds = bounds
        self._base_folded = {_folded(path): path for path in base}
        self._notes: dict[str, str] = {}
        self._files: dict[str, Artifact] = {}
        self._rows: dict[str, str] = {}
        self._folded: set[str] = set()
        """What `_folded` makes of the paths taken. A file is always considered before what lies deeper."""
        self._total_bytes = 0

    def consider(self, path: str, member: tarfile.TarInfo, archive: tarfile.TarFile) -> None:
        if self._is_note(path, member, archive) or self._is_unchanged(path, member, archive):
            return
        if self._bounds.target and path == SPEC_FILE:
            path = f"{self._bounds.target}/{path}"
        verdict = judge(path) or self._of_place(path) or self._of_member(path, member)
        if verdict is None:
            content = _content(member, archive)
            verdict = self._of_content(path, content)
            if verdict is None:
                self._take(path, content, executable=bool(member.mode & 0o100))
        if verdict is not None:
            self._rows.setdefault(shown(verdict.path), verdict.reason)

    def inspection(self) -> Inspection:
        rows = [LeftOut(path, reason) for path, reason in sorted(self._rows.items())]
        more = len(rows) - self._limits.max_rows
        if more > 0:
            rows[self._limits.max_rows :] = [LeftOut(MORE, f"{more:,} more")]
        return Inspection(
            tuple(file for _, file in sorted(self._files.items())), tuple(rows), dict(self._notes)
        )

    def _is_note(self, path: str, member: tarfile.TarInfo, archive: tarfile.TarFile) -> bool:
        if not path.startswith(f"{NOTES_FOLDER}/"):
            return False
        if member.isreg() and member.size <= MAX_NOTE_BYTES and len(self._notes) < MAX_NOTES:
            self._notes[path] = _content(member, archive).decode("utf-8", "replace")
        return True

    def _is_unchanged(self, path: str, member: tarfile.TarInfo, archive: tarfile.TarFile) -> bool:
        there = self._base.get(path)
        if there is None or not member.isreg() or member.size != there.size_bytes:
            return False
        same_mode = there.mode == (EXECUTABLE if member.mode & 0o100 else PLAIN)
        return same_mode and blob_sha(_content(member, archive)) == there.sha

    def _of_place(self, path: str) -> Verdict | None:
        reason = self._bounds.reason(path)
        return Verdict(path, reason) if reason else None

    def _of_member(self, path: str, member: tarfile.TarInfo) -> Verdict | None:
        if member.issym() or member.islnk():
            return Verdict(path, "a link")
        if member.type not in (tarfile.REGTYPE, tarfile.AREGTYPE) or member.issparse():
            return Verdict(path, "not a regular file")
        if member.size > self._limits.max_file_bytes:
            return Verdict(path, f"{member.size:,} bytes; at most {self._limits.max_file_bytes:,} are taken")
        if len(self._files) >= self._limits.max_files:
            return Verdict(path, f"more than {self._limits.max_files:,} files")
        if self._total_bytes + member.size > self._limits.max_total_bytes:
            return Verdict(path, f"more than {self._limits.max_total_bytes:,} bytes in all")
        return self._of_neighbours(path)

    def _of_neighbours(self, path: str) -> Verdict | None:
        folded = _folded(path)
        if path in self._files:
            return Verdict(path, "a second file of the same name")
        in_base = path if path in self._base else self._base_folded.get(folded, path)
        if folded in self._folded or _folders(folded) & self._folded or in_base != path:
            return Verdict(
                path, "differs from another name only in upper and lower case, or is a file and a folder"
            )
        return None

    def _of_content(self, path: str, content: bytes) -> Verdict | None:
        kind = secret_in(content)
        return Verdict(path, f"contains what looks like {kind}") if kind else None

    def _take(self, path: str, content: bytes, *, executable: bool) -> None:
        self._files[path] = Artifact(path, content, EXECUTABLE if executable else PLAIN)
        self._total_bytes += len(content)
        self._folded.add(_folded(path))


def _folded(path: str) -> str:
    """A path as macOS and Windows compare it."""
    return unicodedata.normalize("NFC", path).casefold()


def _folders(path: str) -> set[str]:
    """The folders above a path: "a" and "a/b" for "a/b/c"."""
    parts = path.split("/")[:-1]
    return {"/".join(parts[: depth + 1]) for depth in range(len(parts))}
