"""Commands in comments, read as GitHub shows them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.core.commands import Command, Invocation, Misused, Unknown, duration_s, parse
from bot.core.models import Options


@pytest.mark.parametrize(
    ("comment", "command", "feedback"),
    [
        ("/swarm build", Command.BUILD, ""),
        ("/swarm rebuild make it blue", Command.REBUILD, "make it blue"),
        ("/swarm stop", Command.STOP, ""),
        ("/swarm cancel", Command.STOP, ""),
        ("/swarm fix the colours", Command.REBUILD, "the colours"),
        ("/swarm finish", Command.FINISH, ""),
        ("/swarm approve", Command.APPROVE, ""),
        ("/swarm approve it looks good", Command.APPROVE, "it looks good"),
        ("/swarm revise use a list\nand no table", Command.REVISE, "use a list\nand no table"),
        ("/swarm preview", Command.PREVIEW, ""),
        ("/swarm ci", Command.CI, ""),
        ("/swarm ci c0ffee1", Command.CI, "c0ffee1"),
        ("/swarm answer workers=2 is what I mean", Command.ANSWER, "workers=2 is what I mean"),
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


@pytest.mark.parametrize("command", ["build", "rebuild", "fix"])
@pytest.mark.parametrize(
    ("words", "options", "feedback"),
    [
        ("workers=3", Options(workers=3), ""),
        ("workers=3 in blue", Options(workers=3), "in blue"),
        ("model=claude-opus-5 FROM=spec", Options(model="claude-opus-5", start="spec"), ""),
        ("from=integrate\nand test it", Options(start="integrate"), "and test it"),
        ("from=worker:server-2 make it faster", Options(start="worker:server-2"), "make it faster"),
        ("make x=5 blue", Options(), "make x=5 blue"),
    ],
)
def test_options(command: str, words: str, options: Options, feedback: str) -> None:
    """Options stand before the words; what looks like one later on is a word."""
    found = parse(f"/swarm {command} {words}")
    assert isinstance(found, Invocation)
    assert (found.options, found.feedback) == (options, feedback)


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        ("wokers=3", "did you mean workers=?"),
        ("colour=blue", "there are workers=, model= and from="),
        ("workers=0", "a whole number from 1"),
        ("workers=three", "a whole number from 1"),
        ("workers=", "a whole number from 1"),
        ("workers=3 workers=4", "given twice"),
        ("model=", "the name of a model"),
        ("model=<b>x</b>", "the name of a model"),
        ("from=specs", "did you mean from=spec?"),
        ("from=worker:", "worker:NAME"),
        ("from=worker:../x", "worker:NAME"),
        ("workers=2 from=main", "spec, integrate or worker:NAME"),
    ],
)
def test_wrong_options(words: str, hint: str) -> None:
    """One sentence says what is wrong, and what was probably meant."""
    found = parse(f"/swarm build {words}")
    assert isinstance(found, Misused)
    assert hint in found.why


@pytest.mark.parametrize("command", ["revise", "answer"])
def test_commands_that_need_words(command: str) -> None:
    """Without them there is nothing to do."""
    assert isinstance(parse(f"/swarm {command} <!-- hidden -->"), Misused)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("24h", 86_400), ("3d", 259_200), ("90m", 5_400), ("2 hours", 7_200), ("1 Day", 86_400), ("5min", 300)],
)
def test_durations(text: str, seconds: float) -> None:
    """Minutes, hours and days."""
    assert duration_s(text) == seconds
    assert parse(f"/swarm extend {text}") == Invocation(Command.EXTEND, seconds=seconds)


@pytest.mark.parametrize(
    "text", ["", "soon", "24", "h", "0h", "31d", "3 months", "-1h", "1.5h", "24h please", "99999d"]
)
def test_no_durations(text: str) -> None:
    """Anything else is answered with examples."""
    found = parse(f"/swarm extend {text}")
    assert isinstance(found, Misused)
    assert "24h, 3d or 90m" in found.why


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
