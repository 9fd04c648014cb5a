"""Patches and files as rows with line numbers, highlighted."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from markupsafe import Markup
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexer import Lexer
from pygments.lexers import TextLexer, guess_lexer_for_filename
from pygments.util import ClassNotFound

from bot.local.github.gitstore import FileDiff

# GitHub does not show more of a pull request either.
MOST_FILES = 300
MOST_ROWS = 20_000
FOLDED_ROWS = 400
_HUNK = re.compile(r"@@ -(\d+)(?:,\d+)? \+(\d+)(?:,\d+)? @@")


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a diff. `kind` is "hunk", "same", "old" or "new"; numbers are empty where there is none."""

    kind: str
    old: str
    new: str
    html: Markup


@dataclass(frozen=True, slots=True)
class DiffView:
    """One file of a pull request or a commit."""

    path: str
    previous_path: str
    status: str
    additions: int
    deletions: int
    rows: tuple[Row, ...]
    folded: bool
    note: str


def lines_of(path: str, text: str) -> list[Markup]:
    """The lines of a file, highlighted."""
    return _lines(_lexer(path, text), text.split("\n"))


def view(files: Sequence[FileDiff]) -> list[DiffView]:
    """The files of a diff, up to GitHub's own limits."""
    out = []
    left = MOST_ROWS
    for file in files[:MOST_FILES]:
        rows = tuple(_rows(file)) if file.patch is not None else ()
        shown = rows if len(rows) <= left else ()
        left -= len(shown)
        note = "" if shown else "Too large to be shown." if rows else _note(file)
        out.append(
            DiffView(
                path=file.path,
                previous_path=file.previous_path or "",
                status=file.status,
                additions=file.additions,
                deletions=file.deletions,
                rows=shown,
                folded=len(shown) > FOLDED_ROWS or file.status == "removed",
                note=note,
            )
        )
    return out


def _note(file: FileDiff) -> str:
    return "File renamed without changes." if file.previous_path else "Binary or empty file."


def _rows(file: FileDiff) -> Iterator[Row]:
    patch = (file.patch or "").split("\n")
    lexer = _lexer(file.path, file.patch or "")
    starts = [number for number, line in enumerate(patch) if _HUNK.match(line)]
    for start, end in zip(starts, [*starts[1:], len(patch)], strict=True):
        yield Row("hunk", "", "", Markup.escape(patch[start]))
        yield from _hunk(patch[start], patch[start + 1 : end], lexer)


def _hunk(head: str, body: Sequence[str], lexer: Lexer) -> Iterator[Row]:
    match = _HUNK.match(head)
    old, new = (int(match[1]), int(match[2])) if match else (1, 1)
    kept = [line for line in body if not line.startswith("\\")]
    shown = _lines(lexer, [line[1:] for line in kept])
    for line, html in zip(kept, shown, strict=True):
        if line.startswith("-"):
            yield Row("old", str(old), "", html)
            old += 1
        elif line.startswith("+"):
            yield Row("new", "", str(new), html)
            new += 1
        else:
            yield Row("same", str(old), str(new), html)
            old, new = old + 1, new + 1


def _lexer(path: str, text: str) -> Lexer:
    try:
        found: Lexer = guess_lexer_for_filename(path, text[:1000], stripnl=False, ensurenl=False)
    except ClassNotFound:
        found = TextLexer(stripnl=False, ensurenl=False)
    return found


def _lines(lexer: Lexer, lines: Sequence[str]) -> list[Markup]:
    """Highlight lines together, so that strings and comments may span them; as they are if that changes their number."""
    html = highlight("\n".join(lines), lexer, HtmlFormatter(nowrap=True)).removesuffix("\n").split("\n")
    if len(html) != len(lines):
        return [Markup.escape(line) for line in lines]
    return [Markup(line) for line in html]  # noqa: S704  # pygments escapes what it does not mark
