r"""pi's RPC protocol as values: commands to bytes, stamped lines to events. No I/O.

Source of the protocol facts: `docs/rpc.md` of pi, and runs of 0.73.1, 0.87.1 and 1.5.2. Three of them shape this file:

- Lines end in "\n" and nothing else: U+2028 is legal inside a JSON string, so `str.splitlines` would tear lines apart.
- Newer versions say `agent_settled` when nothing will follow. Older ones end with `agent_end`, after which a retry or a
  compaction may still begin (`agents.progress`).
- The outcome is the `stopReason` of the last message of `agent_end`; a failed call to the model ends like a good one.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

READY_ID = "ready"
"""Id of the `get_state` that the wrapper itself sends first: its response means that pi listens."""
HOST_CALL = "swarm"
"""Title of the dialogs that are tool calls to us."""
_UNSTORABLE = re.compile(r"[\x00\ud800-\udfff]")
LONGEST_LINE_BYTES = 16 << 20
_BLOCKING = frozenset({"select", "confirm", "input", "editor"})


# Commands ----------------------------------------------------------------------------------------------------


def _line(command: Mapping[str, Any]) -> bytes:
    # ASCII escapes keep lone surrogates (legal in JSON, not in UTF-8) from breaking a delivery.
    return json.dumps(command, separators=(",", ":")).encode() + b"\n"


def prompt(command_id: str, text: str, *, steer: bool = False) -> bytes:
    """Work for an agent: starts a run when it is idle. When it is not, follows the present run, or with `steer` turns it:
    pi hands it over as soon as the tool calls that are under way have ended.
    """
    behaviour = "steer" if steer else "followUp"
    return _line({"id": command_id, "type": "prompt", "message": text, "streamingBehavior": behaviour})


def abort(command_id: str) -> bytes:
    """Stop what the agent does. Answered when it is idle."""
    return _line({"id": command_id, "type": "abort"})


def clear_queue(command_id: str) -> bytes:
    """Forget the messages that wait for their turn. Versions before 0.84.4 do not know it and say so, which harms nothing."""
    return _line({"id": command_id, "type": "clear_queue"})


def get_state(command_id: str) -> bytes:
    """Ask for a sign of life."""
    return _line({"id": command_id, "type": "get_state"})


def answer(dialog: str, value: str) -> bytes:
    """The answer to a dialog of kind input."""
    return _line({"type": "extension_ui_response", "id": dialog, "value": value})


def cancel(dialog: str) -> bytes:
    """Close a dialog without an answer."""
    return _line({"type": "extension_ui_response", "id": dialog, "cancelled": True})


# Lines -------------------------------------------------------------------------------------------------------


class LineSplitter:
    """Bytes as they come, lines as they end. A line beyond `LONGEST_LINE_BYTES` is not kept.

    Attributes:
        consumed_bytes: length of all whole lines so far, line ends and dropped lines included.
        dropped_lines: how many were too long.
    """

    def __init__(self) -> None:
        self.consumed_bytes = self.dropped_lines = 0
        self._tail: list[bytes] = []  # joined once per line: a line of many MB comes in many pieces
        self._tail_bytes = 0

    def feed(self, chunk: bytes) -> list[bytes]:
        """The lines that this chunk completes, without their line ends."""
        *ends, rest = chunk.split(b"\n")
        whole = []
        for end in ends:
            self._extend(end)
            self.consumed_bytes += self._tail_bytes + 1
            if self._tail_bytes > LONGEST_LINE_BYTES:
                self.dropped_lines += 1
            else:
                whole.append(b"".join(self._tail))
            self._tail, self._tail_bytes = [], 0
        self._extend(rest)
        return whole

    def _extend(self, piece: bytes) -> None:
        self._tail_bytes += len(piece)
        if self._tail_bytes > LONGEST_LINE_BYTES:
            self._tail = []
        elif piece:
            self._tail.append(piece)


# Events ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended. `stop_reason` is pi's: stop, error, aborted, length; "" when it did not say."""

    stop_reason: str
    error: str = ""

    @property
    def sentence(self) -> str:
        """Why this is not a good end; empty for "stop"."""
        match self.stop_reason:
            case "stop":
                return ""
            case "aborted":
                return "the agent was stopped"
            case "length":
                return "the model ran out of output tokens in the middle of an answer"
            case _:
                return self.error or "the call to the model failed without a message"


@dataclass(frozen=True, slots=True)
class Response:
    """The reply to a command. For a prompt it means accepted, not done."""

    id: str
    command: str
    ok: bool
    error: str = ""


@dataclass(frozen=True, slots=True)
class RunStarted:
    """`agent_start`: the model is at work."""


@dataclass(frozen=True, slots=True)
class RunEnded:
    """`agent_end`. `will_retry` is None from versions that do not say."""

    outcome: Outcome
    will_retry: bool | None


@dataclass(frozen=True, slots=True)
class Settled:
    """`agent_settled`: nothing follows by itself."""


@dataclass(frozen=True, slots=True)
class GoesOn:
    """A retry or a compaction begins: an `agent_end` before it was not the end."""

    why: str


@dataclass(frozen=True, slots=True)
class Said:
    """A finished message of the assistant."""

    text: str


@dataclass(frozen=True, slots=True)
class ToolStarted:
    """A tool call begins."""

    id: str
    name: str
    args: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ToolEnded:
    """A tool call is over."""

    id: str
    ok: bool


@dataclass(frozen=True, slots=True)
class Dialog:
    """pi's host is asked something and the extension waits for the answer."""

    id: str
    method: str
    title: str
    text: str


@dataclass(frozen=True, slots=True)
class Exited:
    """pi's process is gone. Written by root's wrapper, never by pi."""

    status: int


@dataclass(frozen=True, slots=True)
class Restarted:
    """pi's process was killed and another goes on with its conversation. Written by root's wrapper, never by pi."""

    status: int


@dataclass(frozen=True, slots=True)
class Queued:
    """How many messages wait to turn the present run; those that wait for its end are not among them."""

    steering: int


@dataclass(frozen=True, slots=True)
class Sign:
    """Anything else: a sign of life."""


Event = (
    Response
    | RunStarted
    | RunEnded
    | Settled
    | GoesOn
    | Said
    | ToolStarted
    | ToolEnded
    | Dialog
    | Exited
    | Restarted
    | Queued
    | Sign
)


@dataclass(frozen=True, slots=True)
class Stamped:
    """An event and the machine's monotonic time in seconds at which its line was written."""

    at_s: float
    event: Event


def parse(line: bytes) -> Stamped | None:
    r"""One line of the event file, `<seconds>\t<what pi wrote>`; None if it is not that."""
    stamp, _, text = line.partition(b"\t")
    try:
        at_s = float(stamp)
        data = json.loads(text)
        return Stamped(at_s, _event(data)) if isinstance(data, dict) else None
    except (ValueError, RecursionError):
        return None


def _event(data: Mapping[str, Any]) -> Event:
    kind = data.get("type")
    if kind == "response":
        return Response(
            _str(data, "id"), _str(data, "command"), data.get("success") is True, _str(data, "error")
        )
    if kind == "extension_ui_request" and _str(data, "method") in _BLOCKING:
        return Dialog(_str(data, "id"), _str(data, "method"), _str(data, "title"), _str(data, "placeholder"))
    if kind == "agent_end":
        retry = data.get("willRetry")
        return RunEnded(_outcome(data), retry if isinstance(retry, bool) else None)
    if kind == "message_end":
        message = _dict(data, "message")
        return Said(_text(message)) if message.get("role") == "assistant" else Sign()
    return _simple_event(kind, data)


def _simple_event(kind: Any, data: Mapping[str, Any]) -> Event:
    if kind == "tool_execution_start":
        return ToolStarted(_str(data, "toolCallId"), _str(data, "toolName"), _dict(data, "args"))
    if kind == "tool_execution_end":
        return ToolEnded(_str(data, "toolCallId"), data.get("isError") is not True)
    if kind == "queue_update":
        steering = data.get("steering")
        return Queued(len(steering) if isinstance(steering, list) else 0)
    if kind in ("swarm_exit", "swarm_restart"):
        status = data.get("status")
        known = status if isinstance(status, int) else -1
        return Exited(known) if kind == "swarm_exit" else Restarted(known)
    return _BARE.get(kind, Sign()) if isinstance(kind, str) else Sign()


_BARE: Mapping[str, Event] = {
    "agent_start": RunStarted(),
    "agent_settled": Settled(),
    "auto_retry_start": GoesOn("waiting to call the model again"),
    "compaction_start": GoesOn("making room in its context"),
}


def _str(data: Mapping[str, Any], name: str) -> str:
    value = data.get(name)
    return _storable(value) if isinstance(value, str) else ""


def _dict(data: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = data.get(name)
    return _storable(value) if isinstance(value, dict) else {}


def _storable(value: Any) -> Any:
    """A JSON value without what is legal in JSON but neither in UTF-8 nor in a database: lone surrogates, and NUL."""
    if isinstance(value, str):
        return _UNSTORABLE.sub("\ufffd", value)
    if isinstance(value, list):
        return [_storable(each) for each in value]
    if isinstance(value, dict):
        return {_storable(name): _storable(each) for name, each in value.items()}
    return value


def _text(message: Mapping[str, Any]) -> str:
    content = message.get("content")
    if isinstance(content, str):
        return content
    blocks = content if isinstance(content, list) else []
    return "\n".join(
        _str(block, "text") for block in blocks if isinstance(block, dict) and block.get("type") == "text"
    )


def _outcome(data: Mapping[str, Any]) -> Outcome:
    messages = data.get("messages")
    last = messages[-1] if isinstance(messages, list) and messages else data.get("last")
    if not isinstance(last, dict):
        return Outcome("")
    return Outcome(_str(last, "stopReason"), _str(last, "errorMessage"))


@dataclass(frozen=True, slots=True)
class HostCall:
    """A swarm tool that the agent calls. Untrusted: names and values are the model's. `id` is pi's name for the tool call."""

    id: str
    tool: str
    params: Mapping[str, Any]


def host_call(dialog: Dialog) -> HostCall | None:
    """The tool call inside a dialog; None if the dialog is not one of ours."""
    if dialog.method != "input" or dialog.title != HOST_CALL:
        return None
    try:
        data = json.loads(dialog.text)
        if not isinstance(data, dict) or not isinstance(data.get("tool"), str):
            return None
        return HostCall(_str(data, "id"), _str(data, "tool"), _dict(data, "params"))
    except (ValueError, RecursionError):
        return None
