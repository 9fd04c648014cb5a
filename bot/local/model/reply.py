"""What the model says, and the exact shapes in which Anthropic's API sends it.

Shapes: "Streaming Messages" and "Messages" in Anthropic's API reference (API version 2023-06-01).
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bot.local.model.conversation import Conversation, count_tokens


@dataclass(frozen=True, slots=True)
class Text:
    """Words."""

    text: str


@dataclass(frozen=True, slots=True)
class Call:
    """A call of one of the client's tools."""

    tool: str
    input: Mapping[str, Any]


Block = Text | Call
Reply = tuple[Block, ...]


def spoken(block: Block) -> str:
    """The characters that stream: the text, or the JSON of a call's input."""
    return block.text if isinstance(block, Text) else json.dumps(block.input, ensure_ascii=False)


def reply_tokens(reply: Reply) -> int:
    """Length of a reply: each block's characters, 4 to a token."""
    return sum(count_tokens(spoken(block)) for block in reply)


def stop_reason(reply: Reply, max_tokens: int) -> str:
    """Why the answer ends."""
    if reply_tokens(reply) > max_tokens:
        return "max_tokens"
    return "tool_use" if any(isinstance(block, Call) for block in reply) else "end_turn"


def usage(asked: Conversation, output_tokens: int) -> dict[str, int]:
    """A `usage` object. Counts of message_delta are cumulative."""
    return {
        "input_tokens": asked.input_tokens,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "output_tokens": output_tokens,
    }


def message(asked: Conversation) -> dict[str, Any]:
    """The message before anything was said, as message_start carries it."""
    return {
        "id": f"msg_{asked.fingerprint[:24]}",
        "type": "message",
        "role": "assistant",
        "model": asked.model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": usage(asked, 1),
    }


def whole(asked: Conversation, reply: Reply) -> dict[str, Any]:
    """The answer to a request without `stream`. A call that `max_tokens` cuts is left out: half of it is not JSON."""
    content: list[dict[str, Any]] = []
    left = asked.max_tokens
    for index, block in enumerate(reply):
        fits = count_tokens(spoken(block)) <= left
        if isinstance(block, Text):
            content.append({"type": "text", "text": block.text[: left * 4]})
        elif fits:
            content.append({**_opened(asked, index, block), "input": dict(block.input)})
        left -= count_tokens(spoken(block))
        if left <= 0:
            break
    output_tokens = min(reply_tokens(reply), asked.max_tokens)
    return {
        **message(asked),
        "content": content,
        "stop_reason": stop_reason(reply, asked.max_tokens),
        "usage": usage(asked, output_tokens),
    }


def block_start(asked: Conversation, index: int, block: Block) -> dict[str, Any]:
    """content_block_start."""
    return {
        "type": "content_block_start",
        "index": index,
        "content_block": _opened(asked, index, block),
    }


def block_delta(index: int, block: Block, piece: str) -> dict[str, Any]:
    """content_block_delta."""
    delta = (
        {"type": "text_delta", "text": piece}
        if isinstance(block, Text)
        else {"type": "input_json_delta", "partial_json": piece}
    )
    return {"type": "content_block_delta", "index": index, "delta": delta}


def _opened(asked: Conversation, index: int, block: Block) -> dict[str, Any]:
    if isinstance(block, Text):
        return {"type": "text", "text": ""}
    call_id = f"toolu_{asked.fingerprint[:20]}{index:02d}"
    return {"type": "tool_use", "id": call_id, "name": block.tool, "input": {}}


def sse(event: Mapping[str, Any]) -> bytes:
    """One server-sent event; its name is the type, as everywhere in this API."""
    return f"event: {event['type']}\ndata: {json.dumps(event, ensure_ascii=False)}\n\n".encode()


def error(kind: str, text: str) -> dict[str, Any]:
    """An error, as a response's body or as an event."""
    return {"type": "error", "error": {"type": kind, "message": text}}
