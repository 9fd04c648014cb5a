"""Commands in comments, read as GitHub shows them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.core.commands import Command, Invocation, Unknown, parse


@pytest.mark.parametrize(
    ("comment", "command", "feedback"),
    [
        ("/swarm build", Command.BUILD, ""),
        ("/swarm rebuild make it blue", Command.REBUILD, "make it blue"),
        ("/swarm stop", Command.STOP, ""),
        ("/swarm cancel", Command.STOP, ""),
        ("/swarm status", Command.STATUS, ""),
        ("/swarm help", Command.HELP, ""),
        ("/swarm", Command.HELP, ""),
        ("/SWARM Build", Command.BUILD, ""),
        ("   /swarm \t build  ", Command.BUILD, ""),
        ("Thanks!\r\n\r\n/swarm rebuild faster\r\nand louder\r\n", Command.REBUILD, "faster\nand louder"),
        ("Thanks!\r/swarm stop", Command.STOP, ""),
        ("/swarm stop\n/swarm build", Command.STOP, "/swarm build"),
        ("/swarm build <!-- hidden\nwords --> shown", Command.BUILD, "shown"),
        ("> /swarm stop\n\n/swarm build", Command.BUILD, ""),
        ("> quoted\n/swarm build", Command.BUILD, ""),
        ("text <!-- \n/swarm stop\n-->\n/swarm build", Command.BUILD, ""),
        ("```\n/swarm stop\n```\n/swarm build", Command.BUILD, ""),
        ("`code`\n/swarm build", Command.BUILD, ""),
        ("one\u2028line\n/swarm build", Command.BUILD, ""),
    ],
)
def test_commands(comment: str, command: Command, feedback: str) -> None:
    """The first command line counts, with what was written after it."""
    assert parse(comment) == Invocation(command, feedback)


@pytest.mark.parametrize(
    "comment",
    [
        "",
        "please /swarm build",
        "/swarmbuild",
        "/swarm-build",
        "```\n/swarm build\n```",
        "~~~~ text\n/swarm build\n~~~\n/swarm stop",
        "```\nnever closed\n/swarm build",
        "    /swarm build",
        "\t/swarm build",
        "> /swarm build",
        "> > /swarm build",
        ">/swarm build",
        "- > /swarm build",
        "- list\n\n      /swarm build",
        "<!-- /swarm build -->",
        "<!--\n/swarm build\n-->",
        "<!-- never closed\n\n/swarm build",
        "hidden: <!--\n/swarm build\n-->",
        "a `span\n/swarm build\n` of code",
        "<pre>\n/swarm build\n</pre>",
        "one\u2028/swarm build",
    ],
)
def test_no_command(comment: str) -> None:
    """Code, quotes and hidden text talk about commands, they give none."""
    assert parse(comment) is None


@pytest.mark.parametrize(
    ("comment", "word", "nearest"),
    [
        ("/swarm biuld", "biuld", "build"),
        ("/swarm abort-everything", "abort-everything", ""),
        ("/swarm cancle", "cancle", "stop"),
        ("/swarm Statu", "Statu", "status"),
    ],
)
def test_unknown(comment: str, word: str, nearest: str) -> None:
    """A wrong word comes back with the right one, if there is one near."""
    assert parse(comment) == Unknown(word, nearest)


@given(st.text(alphabet="/swarm build`>~<!-\n\r\t ", max_size=120))
def test_any_text(comment: str) -> None:
    """Any comment is read without an error."""
    parse(comment)


def test_hostile_size() -> None:
    """A comment of the greatest size that GitHub takes is read in no time."""
    for part in ("`" * 7 + "x", "<!--", "> ", "[", "``\n", "/swarm\n"):
        parse((part * (65_536 // len(part))) + "\n/swarm build")
