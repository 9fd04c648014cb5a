#!/usr/bin/env python3
r"""pi's event stream (stdin) to the event file (stdout): the same events, small enough to keep.

Every line becomes `<seconds>\t<line>\n`, the seconds being the machine's monotonic clock. Responses and dialogs pass byte
for byte: their content is for the bot. Streaming deltas (older versions repeat the whole message in each: 355 MB for a
64 KB answer) shrink to a bare sign of life every few seconds, long strings elsewhere are shortened in the middle, and the
summaries at the end of a turn and of a run lose what was said before. `type` is the first key of every event of pi.
"""

import json
import sys
import time

SIGN_EVERY_S = 5.0
KEEP_CHARS = 2_000
KEEP_WORDS_CHARS = 60_000  # of what the assistant says: it is somebody's answer

STREAMING = (
    b'{"type":"message_update"',
    b'{"type":"tool_execution_update"',
    b'{"type":"bash_execution_update"',
)
UNTOUCHED = (b'{"type":"response"', b'{"type":"extension_ui_request"')
BULKY = ("structuredContent", "truncation")


def shorten(value, limit):
    """A copy of a JSON value without its bulk."""
    if isinstance(value, str) and len(value) > limit:
        return f"{value[: limit // 2]}…[{len(value)} characters]…{value[-limit // 2 :]}"
    if isinstance(value, list):
        return [shorten(each, limit) for each in value]
    if isinstance(value, dict):
        return {name: shorten(each, limit) for name, each in value.items() if name not in BULKY}
    return value


def shorten_message(message):
    """A message: what the assistant says is kept longer than what its tools were given."""
    if not isinstance(message, dict) or message.get("role") != "assistant":
        return shorten(message, KEEP_CHARS)
    content = message.get("content")
    if isinstance(content, list):
        content = [
            shorten(
                block,
                KEEP_WORDS_CHARS if isinstance(block, dict) and block.get("type") == "text" else KEEP_CHARS,
            )
            for block in content
        ]
    return {**shorten({k: v for k, v in message.items() if k != "content"}, KEEP_CHARS), "content": content}


def slim(event):
    """An event as it is kept."""
    kind = event.get("type")
    if kind == "agent_end":
        messages = event.pop("messages", None) or []
        return {
            **event,
            "messageCount": len(messages),
            "last": shorten_message(messages[-1]) if messages else None,
        }
    if kind == "turn_end":
        return {"type": kind}
    if kind in ("message_start", "message_end"):
        return {**event, "message": shorten_message(event.get("message"))}
    return shorten(event, KEEP_CHARS)


class Filter:
    """Decides, line by line, what is kept."""

    def __init__(self, clock):
        self.clock = clock
        self.last_sign_s = float("-inf")

    def __call__(self, line):
        """The bytes to write for one line of pi, line end included; empty if nothing is to be written."""
        line = line.rstrip(b"\n")
        now = self.clock()
        if line.startswith(STREAMING):
            if now - self.last_sign_s < SIGN_EVERY_S:
                return b""
            self.last_sign_s = now
            line = line[: line.index(b'"', 9) + 1] + b"}"
        elif line.startswith(b'{"type":"message_start"') or not line.strip():
            return b""
        elif line.startswith(b'{"type":"') and not line.startswith(UNTOUCHED):
            line = self.slimmed(line)
        return b"%.3f\t%s\n" % (now, line)

    @staticmethod
    def slimmed(line):
        try:
            event = json.loads(line)
        except ValueError:  # not pi's own: kept as it is, within bounds
            return line[:KEEP_CHARS]
        return json.dumps(slim(event), ensure_ascii=True, separators=(",", ":")).encode()


def main():
    keep = Filter(time.monotonic)
    out = sys.stdout.buffer
    for line in sys.stdin.buffer:
        kept = keep(line)
        if kept:
            out.write(kept)
            out.flush()


if __name__ == "__main__":
    main()
