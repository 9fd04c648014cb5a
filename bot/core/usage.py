"""What model calls cost: the dated price table, the worst price of a call before it is sent, its price afterwards.

Prices are Anthropic's published price list ("Model pricing" at platform.claude.com/docs/en/about-claude/pricing) as
it stood on 2026-10-24. A model that is not in the table has no price and is refused by the gateway: a guess would make
the budget of a build a guess.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from bot.core.models import Tokens

_DATED = re.compile(r"-(?:\d{8}|latest)$")
_BYTES_PER_TOKEN = 2
_LARGEST_CONTEXT_TOKENS = 1_000_000
_IMAGE_TOKENS = 5_000  # Anthropic shrinks an image to at most 4,784 tokens, for older models 1,568 ("Vision")
_HIDDEN_INPUT_TOKENS = 1_000  # the system prompt that Anthropic adds for tools, and the frame of each message


@dataclass(frozen=True, slots=True)
class Rates:
    """Micro-dollars per million tokens. A cache write kept for an hour costs twice the input (`cache_write_hour`)."""

    input: int
    output: int
    cache_write: int
    """Kept for 5 minutes."""
    cache_read: int

    @property
    def cache_write_hour(self) -> int:
        return 2 * self.input


@dataclass(frozen=True, slots=True)
class Price:
    """The rates of one model; some models cost more when the whole prompt is longer than `long_after_tokens`."""

    family: str
    rates: Rates
    long_after_tokens: int | None = None
    long_rates: Rates | None = None

    def rates_for(self, prompt_tokens: int) -> Rates:
        """The rates that apply to every token of a call with a prompt of this length, cached parts included."""
        if self.long_rates and self.long_after_tokens is not None and prompt_tokens > self.long_after_tokens:
            return self.long_rates
        return self.rates


def _rates(input_usd: float, output_usd: float, *, write_usd: float, read_usd: float) -> Rates:
    return Rates(*(round(usd * 1_000_000) for usd in (input_usd, output_usd, write_usd, read_usd)))


_FABLE_5 = _rates(10, 50, write_usd=12.50, read_usd=1.00)
_FABLE_5_1 = _rates(10, 50, write_usd=12.50, read_usd=0.25)
_OPUS_5_5 = _rates(4, 20, write_usd=5.00, read_usd=0.20)
_OPUS = _rates(5, 25, write_usd=6.25, read_usd=0.50)
_OPUS_4 = _rates(15, 75, write_usd=18.75, read_usd=1.50)
_SONNET_5_5 = _rates(2, 10, write_usd=2.50, read_usd=0.10)
_SONNET_5 = _rates(2, 10, write_usd=2.50, read_usd=0.20)
_SONNET_4 = _rates(3, 15, write_usd=3.75, read_usd=0.30)
_SONNET_4_LONG = _rates(6, 22.50, write_usd=7.50, read_usd=0.60)
_HAIKU_5_5 = _rates(0.10, 0.50, write_usd=0.125, read_usd=0.01)
_HAIKU_5_5_LONG = _rates(0.50, 2.50, write_usd=0.625, read_usd=0.05)
_HAIKU_4_5 = _rates(1, 5, write_usd=1.25, read_usd=0.10)
_HAIKU_3_5 = _rates(0.80, 4, write_usd=1.00, read_usd=0.08)

_TABLE = {
    price.family: price
    for price in (
        Price("claude-fable-5-1", _FABLE_5_1),
        Price("claude-mythos-5-1", _FABLE_5_1),
        Price("claude-fable-5", _FABLE_5),
        Price("claude-mythos-5", _FABLE_5),
        Price("claude-opus-5-5", _OPUS_5_5),
        Price("claude-opus-5", _OPUS),
        Price("claude-opus-4-8", _OPUS),
        Price("claude-opus-4-7", _OPUS),
        Price("claude-opus-4-6", _OPUS),
        Price("claude-opus-4-5", _OPUS),
        Price("claude-opus-4-1", _OPUS_4),
        Price("claude-opus-4-0", _OPUS_4),
        Price("claude-opus-4", _OPUS_4),
        Price("claude-sonnet-5-5", _SONNET_5_5),
        Price("claude-sonnet-5", _SONNET_5),
        Price("claude-sonnet-4-6", _SONNET_4),
        Price("claude-sonnet-4-5", _SONNET_4, 200_000, _SONNET_4_LONG),
        Price("claude-sonnet-4-0", _SONNET_4, 200_000, _SONNET_4_LONG),
        Price("claude-sonnet-4", _SONNET_4, 200_000, _SONNET_4_LONG),
        Price("claude-haiku-5-5", _HAIKU_5_5, 100_000, _HAIKU_5_5_LONG),
        Price("claude-haiku-4-5", _HAIKU_4_5),
        Price("claude-3-5-haiku", _HAIKU_3_5),
    )
}


def price(model: str) -> Price | None:
    """The price of a model by its name or dated alias ("claude-sonnet-4-5-20250929", "…-latest"); None if not listed.

    A date is the only thing that may follow a family's name: "claude-opus-5-7" is a model of its own, not an opus-5.
    """
    return _TABLE.get(_DATED.sub("", model))


def estimate_input_tokens(request_body_bytes: int) -> int:
    """No fewer tokens than a request of this many bytes can reasonably have.

    English and code take 3 to 4 bytes a token, JSON escapes and scripts beyond Latin 2 to 3; an image takes far fewer
    tokens than its base64 text has bytes. So one token per 2 bytes errs to the dear side for everything that agents
    send, without reserving so much that a budget is refused while most of it is still there.
    """
    return min(request_body_bytes // _BYTES_PER_TOKEN, _LARGEST_CONTEXT_TOKENS) + _HIDDEN_INPUT_TOKENS


def worst_price(
    model: str, request_body_bytes: int, max_tokens: int, *, hour_cache: bool = False, images: int = 0
) -> int:
    """The most that a call may cost, in micro-dollars: all input is a cache write, and the answer has `max_tokens`.

    Args:
        model: a priced model.
        request_body_bytes: length of the request's JSON.
        max_tokens: the ceiling that is sent; thinking counts as output and is below it.
        hour_cache: the request asks for cache entries that live an hour, which cost more.
        images: how many there are that `request_body_bytes` leaves out.

    Raises:
        ValueError: the model has no price.
    """
    listed = price(model)
    if listed is None:
        raise ValueError(f"no price for {model}")
    input_tokens = estimate_input_tokens(request_body_bytes) + images * _IMAGE_TOKENS
    rates = listed.rates_for(input_tokens)
    write = rates.cache_write_hour if hour_cache else rates.cache_write
    return _per_million(input_tokens * write + max_tokens * rates.output)


def cost(price: Price, tokens: Tokens, *, hour_cache_write: int = 0) -> int:
    """Micro-dollars for what a call used, rounded up. `hour_cache_write` of `tokens.cache_write` live an hour."""
    rates = price.rates_for(tokens.input + tokens.cache_read + tokens.cache_write)
    return _per_million(
        tokens.input * rates.input
        + tokens.output * rates.output
        + tokens.cache_read * rates.cache_read
        + (tokens.cache_write - hour_cache_write) * rates.cache_write
        + hour_cache_write * rates.cache_write_hour
    )


def tokens_from_usage(usage: Mapping[str, Any]) -> Tokens:
    """The counts of a Messages API `usage` object, without a price. Absent and null fields are 0."""
    return Tokens(
        input=_count(usage, "input_tokens"),
        output=_count(usage, "output_tokens"),
        cache_read=_count(usage, "cache_read_input_tokens"),
        cache_write=_count(usage, "cache_creation_input_tokens"),
    )


def charge(price: Price, usage: Mapping[str, Any]) -> Tokens:
    """The counts of a `usage` object together with what they cost, hour-long cache writes at their own rate."""
    tokens = tokens_from_usage(usage)
    split = usage.get("cache_creation")
    hour = _count(split, "ephemeral_1h_input_tokens") if isinstance(split, Mapping) else 0
    return replace(tokens, cost_microusd=cost(price, tokens, hour_cache_write=min(hour, tokens.cache_write)))


def merge_usage(first: Mapping[str, Any], later: Mapping[str, Any]) -> dict[str, Any]:
    """The `usage` of message_start brought up to date by one of message_delta, whose counts are cumulative.

    Source: Messages streaming reference, "The token counts shown in the usage field of the message_delta event are
    cumulative". Fields that the later one leaves out or sends as null keep their value.
    """
    return {**first, **{name: value for name, value in later.items() if value is not None}}


def _count(usage: Mapping[str, Any], name: str) -> int:
    value = usage.get(name)
    return max(value, 0) if isinstance(value, int) else 0


def _per_million(microusd_millions: int) -> int:
    return -(-microusd_millions // 1_000_000)
