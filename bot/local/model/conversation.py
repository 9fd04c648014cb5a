"""What a Messages request says: bytes become a `Conversation` once, or are refused as Anthropic refuses them."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from bot.local.model.images import BadImage, image_sources, image_tokens

ARCHITECT_MARK = "You are the ARCHITECT"
WORKER_MARK = "You are worker "
"""First words of the product's prompts (`templates/prompts`). Where one stands, an agent's task begins."""
ALONE_MARK = "You build this ALONE"
GUIDE_MARK = "INCLUDE THE FULL SPEC in each task"
"""Words of the prompts of what the product is measured against."""
CHARACTERS_PER_TOKEN = 4


class Refused(Exception):
    """A request that Anthropic would answer with an error."""

    def __init__(self, status: int, kind: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.kind = kind


@dataclass(frozen=True, slots=True)
class Exchange:
    """A tool call of the model, and what came of it."""

    tool: str
    input: Mapping[str, Any]
    output: str
    failed: bool


@dataclass(frozen=True, slots=True)
class Conversation:
    """One request.

    Attributes:
        model: the model's name.
        max_tokens: ceiling of the answer.
        stream: whether the answer is wanted as events.
        prompt: the text that the answer is about: an agent's task, or the first thing the user said.
        said: what the user said since then, between two turns.
        exchanges: the tool calls since then, in order, each with its result.
        tools: names of the tools that may be called.
        forced_tool: the tool that must be called, or "".
        input_tokens: one per 4 characters of the request's JSON without images, and what those cost.
        fingerprint: the same for the same request; ids in the answer are made from it.
    """

    model: str
    max_tokens: int
    stream: bool
    prompt: str
    said: tuple[str, ...]
    exchanges: tuple[Exchange, ...]
    tools: frozenset[str]
    forced_tool: str
    input_tokens: int
    fingerprint: str


@dataclass(slots=True)
class _Reading:
    """The state of one pass over the messages."""

    prompt: str = ""
    said: list[str] = field(default_factory=list)
    exchanges: list[Exchange] = field(default_factory=list)
    open_calls: dict[str, Mapping[str, Any]] = field(default_factory=dict)


def read_request(body: bytes) -> Conversation:
    """Parse a request.

    Raises:
        Refused: 400 `invalid_request_error`, with a message like Anthropic's.
    """
    data = _object(body)
    for name, kind in (("model", str), ("max_tokens", int), ("messages", list)):
        if name not in data:
            raise _invalid(f"{name}: Field required")
        if not isinstance(data[name], kind):
            raise _invalid(f"{name}: Input should be a valid {kind.__name__}")
    if not data["messages"]:
        raise _invalid("messages: at least one message is required")
    if data["max_tokens"] < 1:
        raise _invalid("max_tokens: must be greater than or equal to 1")
    reading = _read_messages(data["messages"])
    choice = data.get("tool_choice") or {}
    spoken = json.dumps([data.get("system"), data.get("tools"), data["messages"]], sort_keys=True)
    return Conversation(
        model=data["model"],
        max_tokens=data["max_tokens"],
        stream=bool(data.get("stream")),
        prompt=reading.prompt,
        said=tuple(reading.said),
        exchanges=tuple(reading.exchanges),
        tools=frozenset(tool.get("name", "") for tool in data.get("tools") or ()),
        forced_tool=choice.get("name", "") if choice.get("type") == "tool" else "",
        input_tokens=_input_tokens(spoken, data["messages"]),
        fingerprint=hashlib.sha256(spoken.encode()).hexdigest(),
    )


def count_tokens(text: str) -> int:
    """One token per 4 characters, rounded up: a fixed rule instead of a tokenizer, so that sums can be checked."""
    return -(-len(text) // CHARACTERS_PER_TOKEN)


def _input_tokens(spoken: str, messages: list[Any]) -> int:
    tokens, characters = 0, len(spoken)
    for at, message in enumerate(messages):
        for source in image_sources(message["content"]):
            try:
                tokens += image_tokens(source)
            except BadImage as error:
                raise _invalid(f"messages.{at}.content.{error}") from error
            characters -= len(str(source.get("data", "")))
    return tokens + -(-characters // CHARACTERS_PER_TOKEN)


def _object(body: bytes) -> dict[str, Any]:
    try:
        data = json.loads(body)
    except ValueError as error:
        raise _invalid("The request body is not valid JSON") from error
    if not isinstance(data, dict):
        raise _invalid("The request body is not a JSON object")
    return data


def _read_messages(messages: list[Any]) -> _Reading:
    reading = _Reading()
    for at, message in enumerate(messages):
        if not isinstance(message, dict) or message.get("role") not in ("user", "assistant", "system"):
            raise _invalid(f"messages.{at}.role: Input should be 'user' or 'assistant'")
        blocks = list(_blocks(message.get("content"), at))
        if message["role"] == "assistant":
            reading.open_calls = {b["id"]: b for b in blocks if b.get("type") == "tool_use"}
        elif message["role"] == "user":
            _read_user(reading, blocks, at)
    return reading


def _read_user(reading: _Reading, blocks: list[dict[str, Any]], at: int) -> None:
    results = {str(b.get("tool_use_id")): b for b in blocks if b.get("type") == "tool_result"}
    if unexpected := results.keys() - reading.open_calls.keys():
        raise _invalid(
            f"messages.{at}: unexpected `tool_use_id` found in `tool_result` blocks: {min(unexpected)}. "
            "Each `tool_result` block must have a corresponding `tool_use` block in the previous message."
        )
    if missing := reading.open_calls.keys() - results.keys():
        raise _invalid(
            f"messages.{at}: `tool_use` ids were found without `tool_result` blocks immediately after: {min(missing)}"
        )
    for call_id, call in reading.open_calls.items():
        output = "\n".join(b.get("text", "") for b in _blocks(results[call_id].get("content"), at))
        failed = bool(results[call_id].get("is_error"))
        reading.exchanges.append(Exchange(call["name"], call["input"], output, failed))
    reading.open_calls = {}
    for text in (b["text"] for b in blocks if b.get("type") == "text"):
        # What is said between two turns of a task (pi calls it steering) does not begin a new one.
        if not reading.prompt or ARCHITECT_MARK in text or WORKER_MARK in text:
            reading.prompt = text
            reading.said, reading.exchanges = [], []
        else:
            reading.said.append(text)


def _blocks(content: Any, at: int) -> Iterator[dict[str, Any]]:
    if isinstance(content, str):
        content = [{"type": "text", "text": content}]
    if content is None:
        return
    if not isinstance(content, list) or not all(isinstance(block, dict) for block in content):
        raise _invalid(f"messages.{at}.content: Input should be a valid list")
    yield from content


def _invalid(message: str) -> Refused:
    return Refused(400, "invalid_request_error", message)
