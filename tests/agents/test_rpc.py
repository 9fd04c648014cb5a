"""pi's protocol as values: lines, events, commands."""

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.agents import rpc


def stamped(data: Any, at_s: float = 1.5) -> bytes:
    """A line of the event file."""
    return f"{at_s:.3f}\t".encode() + json.dumps(data, ensure_ascii=False).encode()


@given(st.lists(st.binary(max_size=20).filter(lambda line: b"\n" not in line)), st.data())
def test_lines_survive_any_cut(lines: list[bytes], data: st.DataObject) -> None:
    """However the bytes come in, the same lines come out, and an unfinished one waits."""
    whole = b"".join(line + b"\n" for line in lines) + b"tail"
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=10)))
    splitter = rpc.LineSplitter()
    edges = [0, *cuts, len(whole)]
    got = [line for a, b in pairwise(edges) for line in splitter.feed(whole[a:b])]
    assert got == lines
    assert splitter.consumed_bytes == len(whole) - len(b"tail")
    assert splitter.feed(b"!\n") == [b"tail!"]


def test_a_break_at_each_of_65536_offsets() -> None:
    """A stream that breaks anywhere and goes on from the bytes that were received tells the same lines, each once."""
    said = ["plain", "é😀\u2028\u2029\u0085\r" * 300, "x" * 7000, "\\n" * 900, ""]
    whole = bytearray()
    while len(whole) < 1 << 16:
        for text in said:
            whole += stamped({"type": "message_end", "text": text}) + b"\n"
    whole[1 << 16 :] = b""  # the last line has no end, and may be torn inside a character
    data = bytes(whole)
    expected = data.split(b"\n")[:-1]
    assert len(expected) > 20
    for offset in range(1 << 16):
        splitter = rpc.LineSplitter()
        got = splitter.feed(data[:offset])
        got += splitter.feed(data[offset:])
        assert got == expected, f"broken at {offset}"
        assert splitter.consumed_bytes == data.rindex(b"\n") + 1


def test_lines_byte_by_byte() -> None:
    """The worst cut, with characters inside that are line ends elsewhere."""
    text = '{"a":"x\u2028y\u2029z\u0085\r"}\n{"b":"é😀"}\n'.encode()
    splitter = rpc.LineSplitter()
    lines = [line for byte in text for line in splitter.feed(bytes([byte]))]
    assert b"".join(line + b"\n" for line in lines) == text


def test_a_line_of_many_megabytes() -> None:
    """`agent_end` of an older pi repeats the whole run in one line."""
    line = b"1.000\t" + json.dumps({"type": "agent_end", "messages": ["x" * 8_000_000]}).encode()
    splitter = rpc.LineSplitter()
    got = [out for i in range(0, len(line), 65536) for out in splitter.feed(line[i : i + 65536])]
    assert got == []
    assert splitter.feed(b"\n") == [line]


def test_a_line_without_end_is_dropped_and_counted() -> None:
    """It takes no memory while it lasts; its neighbours come through, and the position in the file stays right."""
    splitter = rpc.LineSplitter()
    assert splitter.feed(b"before\nxx") == [b"before"]
    piece = b"x" * (1 << 20)
    for _ in range(17):
        assert splitter.feed(piece) == []
    assert not splitter._tail
    assert splitter.feed(b"\nafter\n") == [b"after"]
    assert splitter.dropped_lines == 1
    assert splitter.consumed_bytes == len(b"before\n" + b"xx" + 17 * piece + b"\nafter\n")


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"1.0\t" + b"[" * 100_000,
        b"\xff\xfe",
        b"no stamp",
        b"1.0\tnot json",
        b'1.0\t["a list"]',
        b'x\t{"type":"agent_start"}',
    ],
)
def test_what_is_no_event(line: bytes) -> None:
    """Garbage is not an event, and not an error."""
    assert rpc.parse(line) is None


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=8,
    ),
    st.sampled_from(
        ["response", "agent_end", "message_end", "tool_execution_start", "extension_ui_request", "odd"]
    ),
)
def test_any_json_is_survived(value: Any, kind: str) -> None:
    """The event file is untrusted: no shape of a known event raises."""
    names = ("id", "message", "messages", "last", "args", "method", "placeholder", "toolCallId", "willRetry")
    assert rpc.parse(stamped({"type": kind, **dict.fromkeys(names, value)}))


def test_events() -> None:
    """Each kind that we use, as pi writes it."""
    cases: list[tuple[dict[str, Any], rpc.Event]] = [
        (
            {"id": "p", "type": "response", "command": "prompt", "success": True},
            rpc.Response("p", "prompt", True),
        ),
        (
            {"id": "p", "type": "response", "command": "prompt", "success": False, "error": "no"},
            rpc.Response("p", "prompt", False, "no"),
        ),
        ({"type": "agent_start"}, rpc.RunStarted()),
        (
            {
                "type": "agent_end",
                "messages": [{"stopReason": "error", "errorMessage": "529"}],
                "willRetry": True,
            },
            rpc.RunEnded(rpc.Outcome("error", "529"), True),
        ),
        (
            {"type": "agent_end", "messageCount": 3, "last": {"stopReason": "stop"}},
            rpc.RunEnded(rpc.Outcome("stop"), None),
        ),
        ({"type": "agent_settled", "aborted": False}, rpc.Settled()),
        (
            {
                "type": "message_end",
                "message": {"role": "assistant", "content": [{"type": "text", "text": "hi"}]},
            },
            rpc.Said("hi"),
        ),
        ({"type": "message_end", "message": {"role": "user", "content": "hi"}}, rpc.Sign()),
        (
            {"type": "tool_execution_start", "toolCallId": "t", "toolName": "write", "args": {"path": "a"}},
            rpc.ToolStarted("t", "write", {"path": "a"}),
        ),
        ({"type": "tool_execution_end", "toolCallId": "t", "isError": True}, rpc.ToolEnded("t", False)),
        (
            {
                "type": "extension_ui_request",
                "id": "d",
                "method": "input",
                "title": "swarm",
                "placeholder": "{}",
            },
            rpc.Dialog("d", "input", "swarm", "{}"),
        ),
        ({"type": "extension_ui_request", "id": "d", "method": "notify", "message": "x"}, rpc.Sign()),
        ({"type": "swarm_exit", "status": 137}, rpc.Exited(137)),
        ({"type": "swarm_restart", "status": 137}, rpc.Restarted(137)),
        ({"type": "of_a_later_version"}, rpc.Sign()),
    ]
    for data, event in cases:
        assert rpc.parse(stamped(data)) == rpc.Stamped(1.5, event)


def test_tool_calls_inside_dialogs() -> None:
    """Only the extension's own dialogs are tool calls."""
    text = json.dumps({"id": "t", "tool": "vers_swarm_wait", "params": {"timeoutSeconds": 5}})
    assert rpc.host_call(rpc.Dialog("d", "input", "swarm", text)) == rpc.HostCall(
        "t", "vers_swarm_wait", {"timeoutSeconds": 5}
    )
    for dialog in (
        rpc.Dialog("d", "confirm", "swarm", text),
        rpc.Dialog("d", "input", "else", text),
        rpc.Dialog("d", "input", "swarm", "no json"),
        rpc.Dialog("d", "input", "swarm", "[]"),
        rpc.Dialog("d", "input", "swarm", '{"tool": 3}'),
    ):
        assert rpc.host_call(dialog) is None


@given(st.text(st.characters(codec=None), max_size=50))
def test_commands_are_one_line_of_json(text: str) -> None:
    """Any text, lone surrogates too, arrives as it was, in one line."""
    for line in (rpc.prompt("p", text), rpc.answer("d", text)):
        assert line.endswith(b"\n")
        assert line.count(b"\n") == 1
        assert text in json.loads(line).values()
    assert json.loads(rpc.prompt("p", text))["streamingBehavior"] == "followUp"
    assert json.loads(rpc.prompt("p", text, steer=True))["streamingBehavior"] == "steer"


def test_what_a_database_cannot_hold_is_replaced() -> None:
    """Lone surrogates and NUL, wherever they stand; a pair that is a character stays one."""
    odd = r"a\u0000b\ud800c\udfff"
    said = rpc.parse(
        f'1.0\t{{"type":"message_end","message":{{"role":"assistant","content":"{odd}\\ud83d\\ude00"}}}}'.encode()
    )
    assert said == rpc.Stamped(1.0, rpc.Said("a\ufffdb\ufffdc\ufffd😀"))
    started = rpc.parse(
        f'1.0\t{{"type":"tool_execution_start","toolCallId":"{odd}","args":{{"{odd}":["{odd}",1]}}}}'.encode()
    )
    clean = "a\ufffdb\ufffdc\ufffd"
    assert started == rpc.Stamped(1.0, rpc.ToolStarted(clean, "", {clean: [clean, 1]}))
    call = rpc.host_call(
        rpc.Dialog("1", "input", rpc.HOST_CALL, f'{{"tool":"{odd}","params":{{"task":"{odd}"}}}}')
    )
    assert call == rpc.HostCall("", clean, {"task": clean})


def test_nesting_without_end_is_no_event() -> None:
    """Whatever depth still parses, walking it ends in an answer."""
    for depth in (300, 600, 900, 5000):
        args = '{"a":' * depth + "1" + "}" * depth
        rpc.parse(f'1.0\t{{"type":"tool_execution_start","args":{args}}}'.encode())
        rpc.host_call(rpc.Dialog("1", "input", rpc.HOST_CALL, f'{{"tool":"x","params":{args}}}'))
