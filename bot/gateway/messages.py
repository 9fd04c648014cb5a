"""Anthropic's Messages API as bytes and values: a request that may be sent, errors, and the usage in a stream. Pure.

Shapes: the Messages and Messages streaming references of platform.claude.com.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from bot.core.errors import UserError
from bot.core.usage import Price, merge_usage, price, worst_price

PING = b'event: ping\ndata: {"type": "ping"}\n\n'

OVERLOADED = "overloaded_error"
"""The error type that every version of pi tries again after."""

_LEAST_THINKING_TOKENS = 1024  # Anthropic refuses a smaller budget
_LOCAL_TOOLS = ("bash_", "text_editor_", "computer_", "memory_")  # run by the client, whoever defined them
_REFUSED_FIELDS = {
    "mcp_servers": "servers that the model's side would call",
    "container": "a container on the model's side",
    "speed": "a price that is not in the price table",
    "inference_geo": "a price that is not in the price table",
}
_ERROR_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    529: OVERLOADED,
}


@dataclass(frozen=True, slots=True)
class ModelCall:
    """A request that may be sent: checked, clamped, with its worst price."""

    model: str
    price: Price
    stream: bool
    body: bytes = field(repr=False)
    """The JSON that is sent: what was checked, written anew, so that the other side reads nothing else into it."""
    worst_microusd: int = 0


def read_call(raw: bytes, max_tokens: int) -> ModelCall:
    """Bytes from a machine as a call.

    `max_tokens` is the ceiling of one answer. What would reach beyond the model or cost what the price table does not
    know is refused: tools and sources that Anthropic's side would fetch, faster or regional service.

    Raises:
        UserError: with the sentence for the 400.
    """
    try:
        data = json.loads(raw, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise UserError(f"the request body is not JSON: {error}") from error
    if not isinstance(data, dict):
        raise UserError("the request body must be a JSON object")
    model = data.get("model")
    listed = price(model) if isinstance(model, str) else None
    if not isinstance(model, str) or listed is None:
        raise UserError(f"model: {model!r} is not in this gateway's price table, so it cannot be used here")
    _refuse_reach(data)
    wanted = data.get("max_tokens")
    if not isinstance(wanted, int) or isinstance(wanted, bool) or wanted < 1:
        raise UserError("max_tokens: must be a positive whole number")
    _clamp(data, min(wanted, max_tokens))
    body = json.dumps(data, separators=(",", ":")).encode()
    return ModelCall(
        model=model,
        price=listed,
        stream=data.get("stream") is True,
        body=body,
        worst_microusd=worst_price(model, len(body), data["max_tokens"], hour_cache=b'"1h"' in body),
    )


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _clamp(data: dict[str, Any], max_tokens: int) -> None:
    data["max_tokens"] = max_tokens
    thinking = data.get("thinking")
    budget = thinking.get("budget_tokens") if isinstance(thinking, dict) else None
    if not isinstance(budget, int) or budget < max_tokens:
        return
    if max_tokens // 2 >= _LEAST_THINKING_TOKENS:
        data["thinking"] = {**data["thinking"], "budget_tokens": max_tokens // 2}
    else:
        del data["thinking"]


def _refuse_reach(data: Mapping[str, Any]) -> None:
    for name, reason in _REFUSED_FIELDS.items():
        if data.get(name):
            raise UserError(f"{name}: this gateway does not allow it ({reason})")
    tools = data.get("tools")
    for tool in tools if isinstance(tools, list) else []:
        kind = tool.get("type") if isinstance(tool, dict) else None
        if kind not in (None, "custom") and not str(kind).startswith(_LOCAL_TOOLS):
            raise UserError(f"tools: {kind} would run on the model's side, which this gateway does not allow")
    messages = data.get("messages")
    for message in messages if isinstance(messages, list) else []:
        for block in _blocks(message):
            source = block.get("source")
            if isinstance(source, dict) and source.get("type") in ("url", "file"):
                raise UserError(
                    "source: send the bytes; this gateway does not let the model's side fetch them"
                )


def _blocks(value: Any) -> Iterator[dict[str, Any]]:
    """Content blocks at any depth (a tool's result holds blocks, too), but not what a tool was called with."""
    if isinstance(value, list):
        for item in value:
            yield from _blocks(item)
    elif isinstance(value, dict):
        yield value
        yield from _blocks(value.get("content"))
        if isinstance(source := value.get("source"), dict):
            yield from _blocks(source.get("content"))


def error_type(status: int) -> str:
    """The `error.type` that belongs to an HTTP status."""
    return _ERROR_TYPES.get(status, "api_error" if status >= 500 else "invalid_request_error")


def error_body(kind: str, message: str) -> bytes:
    """An error answer's JSON."""
    return json.dumps({"type": "error", "error": {"type": kind, "message": message}}).encode()


def error_event(body: bytes, status: int) -> bytes:
    """An error answer as an event of a stream that has begun already."""
    try:
        data = json.loads(body)
        error = data["error"]
        kind, message = str(error["type"]), str(error["message"])
    except (ValueError, KeyError, TypeError):
        kind, message = error_type(status), body[:300].decode("utf-8", "replace") or f"status {status}"
    return b"event: error\ndata: " + error_body(kind, message) + b"\n\n"


def usage_of(body: bytes) -> Mapping[str, Any] | None:
    """The `usage` of a whole message; None if the body is not one."""
    try:
        data = json.loads(body)
    except ValueError:
        return None
    usage = data.get("usage") if isinstance(data, dict) else None
    return usage if isinstance(usage, dict) else None


class UsageReader:
    """Reads a stream of events as it passes: the usage so far, and how the stream ended."""

    def __init__(self) -> None:
        self.usage: dict[str, Any] = {}
        self.complete = False
        """message_stop has come."""
        self.failed = False
        """An error event has come."""
        self._rest = b""

    @property
    def between_events(self) -> bool:
        """Whether the bytes so far end where an event ends."""
        return not self._rest.strip()

    def feed(self, data: bytes) -> None:
        self._rest += data.replace(b"\r", b"")
        *events, self._rest = self._rest.split(b"\n\n")
        for event in events:
            self._read(event)

    def _read(self, event: bytes) -> None:
        if b"content_block" in event[:40]:  # most of a stream, and nothing to count in it
            return
        lines = (line[5:] for line in event.split(b"\n") if line.startswith(b"data:"))
        try:
            data = json.loads(b"\n".join(lines) or b"null")
        except ValueError:
            return
        if not isinstance(data, dict):
            return
        match data.get("type"):
            case "message_start":
                message = data.get("message")
                self._merge(message.get("usage") if isinstance(message, dict) else None)
            case "message_delta":
                self._merge(data.get("usage"))
            case "message_stop":
                self.complete = True
            case "error":
                self.failed = True

    def _merge(self, usage: Any) -> None:
        if isinstance(usage, dict):
            self.usage = merge_usage(self.usage, usage)
