"""What a person asks for in a comment: `/swarm build make it blue`."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from enum import StrEnum

from markdown_it import MarkdownIt

from bot.core.models import Options


class Command(StrEnum):
    """The commands; the value is the word that a person writes."""

    BUILD = "build"
    REBUILD = "rebuild"
    STOP = "stop"
    FINISH = "finish"
    STATUS = "status"
    APPROVE = "approve"
    REVISE = "revise"
    EXTEND = "extend"
    PREVIEW = "preview"
    CI = "ci"
    ANSWER = "answer"
    HELP = "help"


WORDS = {str(command): command for command in Command} | {"cancel": Command.STOP, "fix": Command.REBUILD}
"""Every word that is understood, with aliases."""

_WITH_OPTIONS = frozenset({Command.BUILD, Command.REBUILD})
_WITH_TEXT: Mapping[Command, str] = {
    Command.REVISE: "what is to be different in the specification",
    Command.ANSWER: "the answer",
}
"""Commands that mean nothing without words, and which words."""

LONGEST_EXTENSION_S = 30 * 86_400.0


@dataclass(frozen=True, slots=True)
class Invocation:
    """A command, and what was written after it, to the end of the comment, without hidden comments and options."""

    command: Command
    feedback: str = ""
    options: Options = field(default_factory=Options)
    seconds: float = 0.0
    """Of `extend`: for how long."""


@dataclass(frozen=True, slots=True)
class Unknown:
    """A word after `/swarm` that is no command; `nearest` is the word that was probably meant, or empty."""

    word: str
    nearest: str


@dataclass(frozen=True, slots=True)
class Misused:
    """A command that cannot be followed as written; `why` is one sentence, with the nearest right thing."""

    command: Command
    why: str


_COMMAND = re.compile(r" {0,3}/swarm(?:[ \t]+(?P<word>\S+)(?P<rest>.*))?[ \t]*", re.IGNORECASE)
_LINE_END = re.compile(r"\r\n|\r|\n")  # not str.splitlines, which also splits at U+2028 and form feeds
_HIDDEN = re.compile(r"<!--.*?(?:-->|\Z)", re.DOTALL)
_CODE_SPAN = re.compile(r"(?<!`)(`+)(?!`).+?(?<!`)\1(?!`)", re.DOTALL)

_INSIDE = "\0"  # markdown-it replaces NUL, so that no comment can carry one

_markdown = MarkdownIt("commonmark").disable("inline")  # blocks are enough, and linear in the comment's size


def parse(comment: str) -> Invocation | Unknown | Misused | None:
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


def _invocation(word: str, rest: str) -> Invocation | Unknown | Misused:
    command = WORDS.get(word.lower())
    if command is None:
        near = get_close_matches(word.lower(), WORDS, n=1, cutoff=0.5)
        return Unknown(word, str(WORDS[near[0]]) if near else "")
    try:
        return _read(command, rest)
    except ValueError as error:
        return Misused(command, str(error))


def _read(command: Command, rest: str) -> Invocation:
    """
    Raises:
        ValueError: what stands after the command does not suit it; the message is a sentence.
    """
    if command in _WITH_OPTIONS:
        options, feedback = _options(rest)
        return Invocation(command, feedback, options)
    if command is Command.EXTEND:
        return Invocation(command, seconds=duration_s(rest))
    if command in _WITH_TEXT and not rest:
        raise ValueError(f"/swarm {command} needs words after it: {_WITH_TEXT[command]}")
    return Invocation(command, rest)


# Options ----------------------------------------------------------------------------------------------

_OPTION = re.compile(r"(?P<name>[A-Za-z][\w-]*)=(?P<value>\S*)(?:\s+|\Z)")
_START = re.compile(r"spec|integrate|worker:[a-z0-9][a-z0-9-]{0,31}")
_MODEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_DURATION = re.compile(r"(?P<number>\d{1,5})\s*(?P<unit>m|h|d)(?:in(?:ute)?s?|ours?|ays?)?", re.IGNORECASE)
_UNIT_S = {"m": 60.0, "h": 3600.0, "d": 86_400.0}


def _options(rest: str) -> tuple[Options, str]:
    """The `name=value` words at the start, and what follows them."""
    given: dict[str, str] = {}
    while found := _OPTION.match(rest):
        name = found["name"].lower()
        if name not in _CHECKS:
            near = get_close_matches(name, _CHECKS, n=1, cutoff=0.4)
            hint = f"did you mean {near[0]}=?" if near else "there are workers=, model= and from="
            raise ValueError(f"{found['name'][:30]}= is no option of a build; {hint}")
        if name in given:
            raise ValueError(f"{name}= was given twice")
        given[name] = _CHECKS[name](found["value"])
        rest = rest[found.end() :]
    return Options(int(given.get("workers", 0)), given.get("model", ""), given.get("from", "")), rest.strip()


def _workers(value: str) -> str:
    if not re.fullmatch(r"[1-9]\d?", value):
        raise ValueError("workers= takes a whole number from 1, such as workers=3")
    return value


def _model(value: str) -> str:
    if not _MODEL.fullmatch(value):
        raise ValueError("model= takes the name of a model, such as model=claude-sonnet-4-5")
    return value


def _start(value: str) -> str:
    if not _START.fullmatch(value):
        near = get_close_matches(value, ("spec", "integrate", "worker:"), n=1, cutoff=0.5)
        meant = f"; did you mean from={near[0]}?" if near else ""
        raise ValueError(f"from= takes spec, integrate or worker:NAME{meant}")
    return value


_CHECKS: Mapping[str, Callable[[str], str]] = {"workers": _workers, "model": _model, "from": _start}


def duration_s(text: str) -> float:
    """Seconds of "24h", "3d" or "90m".

    Raises:
        ValueError: it is none of these, or longer than a preview may live.
    """
    found = _DURATION.fullmatch(text.strip())
    seconds = int(found["number"]) * _UNIT_S[found["unit"].lower()] if found else 0.0
    if not 0 < seconds <= LONGEST_EXTENSION_S:
        raise ValueError("/swarm extend takes a time up to 30 days, such as 24h, 3d or 90m")
    return seconds
