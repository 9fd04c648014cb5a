"""Texts as GitHub takes them: cut to its limits, and with the hidden marker by which a comment is found again."""

import re

MAX_BODY_CHARS = 60_000
"""GitHub refuses bodies beyond 65,536 characters; the rest is room for the marker and the note."""
CUT_NOTE = "\n\n*… (cut here: the text is longer than GitHub takes)*"

_MARKER = re.compile(r"[A-Za-z0-9][A-Za-z0-9=:._-]*")


def cut(body: str) -> str:
    """A body that GitHub takes."""
    return body if len(body) <= MAX_BODY_CHARS else body[:MAX_BODY_CHARS] + CUT_NOTE


def marked(body: str, marker: str) -> str:
    """A comment's text with the hidden marker at its end.

    Raises:
        ValueError: the marker could end the HTML comment that hides it.
    """
    return f"{cut(body)}\n\n{tag(marker)}"


def tag(marker: str) -> str:
    """The HTML comment that carries a marker; raises ValueError like `marked`."""
    if not _MARKER.fullmatch(marker) or "--" in marker:
        raise ValueError(f"not a marker: {marker!r}")
    return f"<!-- swarm:{marker} -->"
