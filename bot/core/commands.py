"""What a person asks for in a comment: `/swarm build make it blue`."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from enum import StrEnum

from markdown_it import MarkdownIt


class Command(StrEnum):
    """The commands; the value is the word that a person writes."""

    BUILD = "build"
    REBUILD = "rebuild"
    STOP = "stop"
    STATUS = "status"
    HELP = "help"


WORDS = {str(command): command for command in Command} | {"cancel": Command.STOP}
"""Every word that is understood, with aliases."""


@dataclass(frozen=True, slots=True)
class Invocation:
    """A command, and what was written after it, to the end of the comment, without hidden comments."""

    command: Command
    feedback: str = ""


@dataclass(frozen=True, slots=True)
class Unknown:
    """A word after `/swarm` that is no command; `nearest` is the word that was probably meant, or empty."""

    word: str
    nearest: str


_COMMAND = re.compile(r" {0,3}/swarm(?:[ \t]+(?P<word>\S+)(?P<rest>.*))?[ \t]*", re.IGNORECASE)
_LINE_END = re.compile(r"\r\n|\r|\n")  # not str.splitlines, which also splits at U+2028 and form feeds
_HIDDEN = re.compile(r"<!--.*?(?:-->|\Z)", re.DOTALL)
_CODE_SPAN = re.compile(r"(?<!`)(`+)(?!`).+?(?<!`)\1(?!`)", re.DOTALL)

_INSIDE = "\0"  # markdown-it replaces NUL, so that no comment can carry one

_markdown = MarkdownIt("commonmark").disable("inline")  # blocks are enough, and linear in the comment's size


def parse(comment: str) -> Invocation | Unknown | None:
    """The first command line of a comment; None when there is none.

    Read as GitHub shows it: a line in a fenced or indented code block, in a quote, in a code span or in an HTML
    comment is somebody talking about commands.
    """
    if "/swarm" not in comment.lower():
        return None
    lines = _LINE_END.split(comment)
    for number in _spoken_lines(lines):
        if found := _COMMAND.fullmatch(lines[number]):
            rest = "\n".join((found["rest"] or "", *lines[number + 1 :]))
            return _invocation(found["word"] or str(Command.HELP), _HIDDEN.sub("", rest).strip())
    return None


def _spoken_lines(lines: list[str]) -> Iterator[int]:
    """Numbers of the lines that are a person's own running text."""
    for token in _markdown.parse("\n".join(lines)):
        if token.type == "inline" and token.map:
            first, end = token.map
            shown = _mark(_HIDDEN, _mark(_CODE_SPAN, "\n".join(lines[first:end])))
            for offset, line in enumerate(shown.split("\n")):
                if not line.startswith(_INSIDE):
                    yield first + offset


def _mark(what: re.Pattern[str], text: str) -> str:
    """`text` with every line that begins inside of a match marked so, keeping the number of lines."""
    return what.sub(lambda found: found[0].replace("\n", "\n" + _INSIDE), text)


def _invocation(word: str, feedback: str) -> Invocation | Unknown:
    command = WORDS.get(word.lower())
    if command is not None:
        return Invocation(command, feedback)
    near = get_close_matches(word.lower(), WORDS, n=1, cutoff=0.5)
    return Unknown(word, str(WORDS[near[0]]) if near else "")
