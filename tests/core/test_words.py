"""Numbers as people read them."""

import pytest

from bot.core import words
from bot.core.models import AgentState, Phase, RunState


@pytest.mark.parametrize(
    ("microusd", "text"),
    [
        (0, "$0.00"),
        (1, "<$0.01"),
        (4_999, "<$0.01"),
        (5_000, "$0.01"),
        (420_000, "$0.42"),
        (1_234_560_000, "$1,234.56"),
    ],
)
def test_dollars(microusd: int, text: str) -> None:
    """What is spent is never shown as nothing."""
    assert words.dollars(microusd) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0"), (999, "999"), (1_000, "1.0k"), (12_345, "12.3k"), (999_949, "999.9k"), (999_950, "1.00M")],
)
def test_tokens(count: int, text: str) -> None:
    """Three figures are enough, and no step shows 1000.0k."""
    assert words.tokens(count) == text


@pytest.mark.parametrize(
    ("seconds", "text", "clock"),
    [
        (-3, "0 s", "0:00"),
        (59.4, "59 s", "0:59"),
        (59.6, "1 min 00 s", "1:00"),
        (185, "3 min 05 s", "3:05"),
        (7_800, "2 h 10 min", "2:10:00"),
        (3_605, "1 h 00 min", "1:00:05"),
    ],
)
def test_spans(seconds: float, text: str, clock: str) -> None:
    """Seconds round before they are split."""
    assert words.duration(seconds) == text
    assert words.clock(seconds) == clock


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (1024**2 - 1, "1.0 MiB"), (1_572_864, "1.5 MiB")],
)
def test_size(count: int, text: str) -> None:
    """Sizes are in powers of 1024 and say so."""
    assert words.size(count) == text


def test_cutting() -> None:
    """What is cut says so, and never grows."""
    assert words.clip("abc", 3) == "abc"
    assert words.clip("abcd", 3) == "ab…"
    assert words.one_line("a\n  b\tc", 10) == "a b c"
    assert words.last_lines("1\n2\n3\n", 2) == "2\n3"
    assert words.last_lines("x" * 20, 5, limit=4) == "xxxx"


def test_moment() -> None:
    """Times are in UTC and say so."""
    assert words.moment(1_795_430_000.0) == "2026-11-23 10:33:20 UTC"


def test_complete() -> None:
    """Every state and phase has its words."""
    assert set(words.PHASES) == set(Phase)
    assert set(words.HEADLINES) == set(words.RUN_MARKS) == set(RunState)
    assert set(words.AGENT_MARKS) == set(AgentState)
