"""The event filter as the process that it is."""

import json
import subprocess
import sys
from typing import Any

from tests.agents.conftest import TEMPLATES

FILTER = [sys.executable, "-I", str(TEMPLATES / "vm" / "event_filter.py")]


def filtered(*lines: bytes | dict[str, Any]) -> list[bytes]:
    """What the filter writes for these lines, stamps removed."""
    raw = [
        json.dumps(line, separators=(",", ":")).encode() if isinstance(line, dict) else line for line in lines
    ]
    done = subprocess.run(
        FILTER, input=b"".join(line + b"\n" for line in raw), capture_output=True, check=True
    )
    assert done.stderr == b""
    out = done.stdout.split(b"\n")
    assert out.pop() == b""
    stamps = [float(line.split(b"\t", 1)[0]) for line in out]
    assert stamps == sorted(stamps)
    return [line.split(b"\t", 1)[1] for line in out]


def test_responses_and_dialogs_pass_byte_for_byte() -> None:
    """Odd spacing, U+2028, a megabyte: what is for us is not touched."""
    lines = [
        b'{"id":"x", "type" : "response","data":"' + "\u2028é".encode() * 10 + b'"}',
        b'{"type":"response","command":"bash","success":true,"data":"' + b"y" * 1_000_000 + b'"}',
        b'{"type":"extension_ui_request","id":"d","method":"input","placeholder":"' + b"z" * 300_000 + b'"}',
    ]
    assert filtered(*lines) == lines


def test_streaming_shrinks_to_signs_of_life() -> None:
    """A thousand deltas are one bare line."""
    updates = [{"type": "message_update", "assistantMessageEvent": {"delta": "x" * 5000}}] * 1000
    assert filtered(*updates) == [b'{"type":"message_update"}']


def test_long_strings_are_shortened_in_the_middle() -> None:
    """A tool's arguments keep head and tail; what the assistant says is kept whole."""
    args = {"path": "a.js", "content": "A" * 50_000 + "Z" * 50_000}
    (start,) = filtered(
        {"type": "tool_execution_start", "toolCallId": "t", "toolName": "write", "args": args}
    )
    kept = json.loads(start)["args"]
    assert kept["path"] == "a.js"
    assert len(kept["content"]) < 3000
    assert kept["content"].startswith("AAA")
    assert kept["content"].endswith("ZZZ")
    words = "w" * 40_000
    message = {"role": "assistant", "content": [{"type": "text", "text": words}], "stopReason": "stop"}
    (said,) = filtered({"type": "message_end", "message": message})
    assert json.loads(said)["message"] == message


def test_the_end_of_a_run_keeps_its_last_message() -> None:
    """The rest was told before."""
    last = {"role": "assistant", "content": [], "stopReason": "error", "errorMessage": "529 overloaded"}
    (line,) = filtered(
        {
            "type": "agent_end",
            "messages": [{"role": "user", "content": "x" * 10_000}, last],
            "willRetry": True,
        }
    )
    assert json.loads(line) == {"type": "agent_end", "willRetry": True, "messageCount": 2, "last": last}


def test_what_pi_does_not_say_is_bounded() -> None:
    """A stray print passes, shortened if it pretends to be an event and is none; empty lines are nothing."""
    got = filtered(b"hello", b"", b'{"type":"broken ' + b"x" * 100_000, {"type": "swarm_exit", "status": 1})
    assert got[0] == b"hello"
    assert len(got[1]) == 2000
    assert json.loads(got[2]) == {"type": "swarm_exit", "status": 1}
    assert len(got) == 3
