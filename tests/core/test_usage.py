"""Prices, the worst price of a call and its price afterwards."""

import pytest

from bot.core.models import Tokens
from bot.core.usage import charge, cost, merge_usage, price, tokens_from_usage, worst_price


@pytest.mark.parametrize(
    ("model", "family"),
    [
        ("claude-sonnet-4-5", "claude-sonnet-4-5"),
        ("claude-sonnet-4-5-20250929", "claude-sonnet-4-5"),
        ("claude-3-5-haiku-latest", "claude-3-5-haiku"),
        ("claude-sonnet-4-20250514", "claude-sonnet-4"),
        ("claude-opus-5-5", "claude-opus-5-5"),
    ],
)
def test_a_dated_name_has_the_price_of_its_family(model: str, family: str) -> None:
    """A date or "latest" after the family's name does not change the price."""
    listed = price(model)
    assert listed is not None
    assert listed.family == family


@pytest.mark.parametrize("model", ["", "gpt-5", "claude-opus-5-7", "claude-sonnet-4-5-fast", "claude-opus"])
def test_a_model_without_a_listed_price_has_none(model: str) -> None:
    """A newer sibling does not inherit a price, because a guess would make the budget a guess."""
    assert price(model) is None


def test_cost_counts_each_kind_of_token_at_its_own_rate() -> None:
    """A million of each: 3 + 15 + 0.30 + 3.75 dollars for Sonnet 4.6."""
    listed = price("claude-sonnet-4-6")
    assert listed is not None
    million = Tokens(input=1_000_000, output=1_000_000, cache_read=1_000_000, cache_write=1_000_000)
    assert cost(listed, million) == 22_050_000
    assert cost(listed, Tokens(input=1)) == 3


def test_a_fraction_of_a_microdollar_is_rounded_up() -> None:
    """One cached token at 0.30 dollars a million is charged as one micro-dollar, never as nothing."""
    listed = price("claude-sonnet-4-6")
    assert listed is not None
    assert cost(listed, Tokens(cache_read=1)) == 1
    assert cost(listed, Tokens()) == 0


def test_a_long_prompt_is_charged_at_the_long_rate_as_a_whole() -> None:
    """Beyond 200,000 prompt tokens Sonnet 4.5 costs 6 and 22.50 dollars; cached tokens count to the length."""
    listed = price("claude-sonnet-4-5")
    assert listed is not None
    assert cost(listed, Tokens(input=200_000, output=100)) == 601_500
    assert cost(listed, Tokens(input=1, cache_read=200_000, output=100)) == 6 + 120_000 + 2_250


def test_hour_long_cache_writes_cost_twice_the_input() -> None:
    """The split that the usage object carries is priced by its parts."""
    listed = price("claude-opus-4-7")
    assert listed is not None
    usage = {
        "input_tokens": 0,
        "output_tokens": 0,
        "cache_creation_input_tokens": 1_000_000,
        "cache_creation": {"ephemeral_5m_input_tokens": 400_000, "ephemeral_1h_input_tokens": 600_000},
    }
    assert charge(listed, usage).cost_microusd == 2_500_000 + 6_000_000


def test_the_worst_price_is_not_below_what_an_ordinary_call_costs() -> None:
    """36 KB of English (9,000 tokens, all written to the cache) with a full answer stay below the reservation."""
    listed = price("claude-sonnet-4-5")
    assert listed is not None
    real = cost(listed, Tokens(cache_write=9_000, output=4_096))
    assert real < worst_price("claude-sonnet-4-5", 36_000, 4_096) < 3 * real


def test_the_worst_price_grows_with_an_hour_cache_and_stops_at_the_largest_context() -> None:
    """Hour-long entries are dearer; more bytes than the largest prompt can hold are not reserved for."""
    assert worst_price("claude-opus-4-7", 10_000, 1, hour_cache=True) > worst_price(
        "claude-opus-4-7", 10_000, 1
    )
    assert worst_price("claude-opus-4-7", 1 << 30, 1) == worst_price("claude-opus-4-7", 2_000_000, 1)
    with pytest.raises(ValueError, match="no price"):
        worst_price("gpt-5", 10, 1)


def test_message_delta_counts_replace_those_of_message_start() -> None:
    """Counts in message_delta are cumulative; what it leaves out or sends as null is kept."""
    start = {"input_tokens": 10, "cache_read_input_tokens": 5, "output_tokens": 1}
    merged = merge_usage(start, {"output_tokens": 77, "cache_read_input_tokens": None})
    assert tokens_from_usage(merged) == Tokens(input=10, output=77, cache_read=5)


def test_counts_that_are_not_numbers_count_as_nothing() -> None:
    """A usage object with nulls, text or negatives never makes a call negative."""
    assert (
        tokens_from_usage({"input_tokens": None, "output_tokens": "9", "cache_read_input_tokens": -4})
        == Tokens()
    )
