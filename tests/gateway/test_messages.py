"""Requests that may be sent, and what is read out of a stream."""

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.core.errors import UserError
from bot.core.usage import worst_price
from bot.gateway.messages import UsageReader, error_event, read_call, usage_of
from tests.gateway.upstream import message

MODEL = "claude-sonnet-4-5"


def body(**fields: Any) -> bytes:
    return json.dumps({"model": MODEL, "max_tokens": 1000, "messages": [], **fields}).encode()


def test_a_request_is_sent_as_it_was_read() -> None:
    """Texts of any kind survive, and a doubled field cannot mean one thing here and another there."""
    text = "ä\u2028😀\ud800\x00"
    call = read_call(body(messages=[{"role": "user", "content": text}], stream=True), 32_000)
    assert json.loads(call.body)["messages"][0]["content"] == text
    assert call.stream
    doubled = b'{"model": "gpt-5", "max_tokens": 9, "model": "claude-sonnet-4-5"}'
    assert json.loads(read_call(doubled, 100).body)["model"] == MODEL
    assert read_call(doubled, 100).body.count(b"model") == 1


def test_max_tokens_is_clamped_and_thinking_stays_below_it() -> None:
    """The ceiling is ours; a budget for thinking that no longer fits is halved or dropped."""
    thinking = {"type": "enabled", "budget_tokens": 50_000}
    sent = json.loads(read_call(body(max_tokens=64_000, thinking=thinking), 32_000).body)
    assert sent["max_tokens"] == 32_000
    assert sent["thinking"] == {"type": "enabled", "budget_tokens": 16_000}
    assert "thinking" not in json.loads(read_call(body(max_tokens=64_000, thinking=thinking), 1500).body)
    small = {"type": "enabled", "budget_tokens": 1024}
    assert json.loads(read_call(body(max_tokens=2000, thinking=small), 32_000).body)["thinking"] == small


def test_the_reservation_is_for_what_is_sent() -> None:
    """The clamped ceiling counts, and an hour-long cache makes it dearer."""
    call = read_call(body(max_tokens=10**9), 500)
    assert call.worst_microusd == worst_price(MODEL, len(call.body), 500)
    hour = [{"type": "text", "text": "x", "cache_control": {"type": "ephemeral", "ttl": "1h"}}]
    call = read_call(body(system=hour), 500)
    assert call.worst_microusd == worst_price(MODEL, len(call.body), 500, hour_cache=True)


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b'{"max_tokens": NaN}', "not JSON"),
        (b"[]", "JSON object"),
        (body(model="gpt-5"), "price table"),
        (body(model=None), "price table"),
        (body(model=["claude-sonnet-4-5"]), "price table"),
        (body(max_tokens=0), "max_tokens"),
        (body(max_tokens=True), "max_tokens"),
        (body(max_tokens="9"), "max_tokens"),
        (body(mcp_servers=[{"url": "https://example.org"}]), "mcp_servers"),
        (body(container="c"), "container"),
        (body(speed="fast"), "speed"),
        (body(tools=[{"type": "web_fetch_20250910", "name": "web_fetch"}]), "model's side"),
        (body(tools=[{"type": "code_execution_20250825", "name": "x"}]), "model's side"),
    ],
)
def test_what_may_not_be_sent_is_refused_with_the_reason(raw: bytes, reason: str) -> None:
    """Broken requests, unpriced models, and ways to reach beyond the model."""
    with pytest.raises(UserError, match=reason):
        read_call(raw, 32_000)


def test_sources_that_the_other_side_would_fetch_are_refused_wherever_they_stand() -> None:
    """An address in a picture's source is a way out of the machine; the same words as a tool's input are not."""
    image = {"type": "image", "source": {"type": "url", "url": "https://example.org/?secret"}}
    result = {"type": "tool_result", "tool_use_id": "t", "content": [image]}
    for content in ([image], [result]):
        with pytest.raises(UserError, match="source"):
            read_call(body(messages=[{"role": "user", "content": content}]), 32_000)
    call = {"type": "tool_use", "id": "t", "name": "write", "input": {"source": {"type": "url"}}}
    data = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA=="}}
    read_call(
        body(messages=[{"role": "assistant", "content": [call]}, {"role": "user", "content": [data]}]), 9
    )


def test_tools_of_the_agent_are_fine() -> None:
    """Its own tools, and those that Anthropic defines but the client runs."""
    tools = [{"name": "read", "input_schema": {}}, {"type": "custom", "name": "x"}, {"type": "bash_20250124"}]
    read_call(body(tools=tools), 32_000)


def _stream(newline: bytes) -> bytes:
    return b"".join(
        b"event: %s%sdata: %s%s%s" % (event["type"].encode(), newline, json.dumps(event).encode(), newline, newline)
        for event in [*message("hällo\u2028", output=42), {"type": "ping"}]
    )  # fmt: skip


@given(st.lists(st.integers(0, 1500), max_size=8), st.sampled_from([b"\n", b"\r\n"]))
def test_usage_is_read_however_the_stream_is_cut(cuts: list[int], newline: bytes) -> None:
    """The network may cut the stream anywhere."""
    stream = _stream(newline)
    edges = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    reader = UsageReader()
    for start, end in pairwise(edges):
        reader.feed(stream[start:end])
    assert reader.complete
    assert not reader.failed
    assert reader.between_events
    assert (reader.usage["input_tokens"], reader.usage["output_tokens"]) == (10, 42)


def test_an_answer_is_complete_only_with_its_last_event() -> None:
    """Without message_stop it is cut; an error event is a failure; nonsense is neither."""
    reader = UsageReader()
    for event in message(stop=False):
        reader.feed(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode())
    reader.feed(b"data: {broken\n\ndata: 3\n\n")
    assert (reader.complete, reader.failed) == (False, False)
    reader.feed(b'event: error\ndata: {"type": "error", "error": {}}\n\n')
    assert reader.failed


def test_a_refusal_becomes_an_event_with_its_own_type() -> None:
    """The provider's words are kept; a body that is none of its own gets the type of its status."""
    event = error_event(b'{"error": {"type": "rate_limit_error", "message": "slow"}}', 429)
    assert b'"rate_limit_error", "message": "slow"' in event
    assert b"overloaded_error" in error_event(b"<html>", 529)
    assert usage_of(b"<html>") is None
