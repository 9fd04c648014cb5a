"""A model that plays scripts: Anthropic's streaming Messages API over HTTP, each agent's turns given by a directive in its text.

`@@name` in the last text of a user that has one picks a script; the turn is the number of answers since then.
"""

import itertools
import json
import re
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Block = dict[str, Any]
Script = Callable[[int, list[dict[str, Any]]], list[Block]]
"""Turn, messages so far -> the blocks of the answer."""

_ids = itertools.count(1)


def say(text: str) -> Block:
    """Words of the assistant."""
    return {"type": "text", "text": text}


def call(tool: str, **params: Any) -> Block:
    """A tool call of the assistant."""
    return {"type": "tool_use", "id": f"toolu_{next(_ids):06d}", "name": tool, "input": params}


def results(messages: list[dict[str, Any]]) -> list[str]:
    """The texts of the tool results in the last message."""
    content = messages[-1]["content"]
    found = []
    for block in content if isinstance(content, list) else []:
        if block.get("type") == "tool_result":
            inner = block.get("content")
            found.append(inner if isinstance(inner, str) else "".join(b.get("text", "") for b in inner or []))
    return found


class ScriptedModel:
    """Serves on loopback until closed. `asked` has the body of every request."""

    def __init__(self) -> None:
        self.scripts: dict[str, Script] = {}
        self.asked: list[dict[str, Any]] = []
        model = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args: Any) -> None: ...

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                model.asked.append(body)
                self.send_response(200)
                self.send_header("content-type", "text/event-stream")
                self.send_header("connection", "close")
                self.end_headers()
                for event in model.events(body):
                    self.wfile.write(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode())
                    self.wfile.flush()
                self.close_connection = True

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()

    def texts_with(self, needle: str) -> list[str]:
        """The user texts of all requests that contain this."""
        return [text for body in self.asked for _, text in user_texts(body["messages"]) if needle in text]

    def events(self, body: dict[str, Any]) -> list[dict[str, Any]]:
        """The stream that answers a request."""
        name, start = "", 0
        for index, text in user_texts(body["messages"]):
            if found := re.findall(r"@@([\w-]+)", text):
                name, start = found[-1], index
        turn = sum(message["role"] == "assistant" for message in body["messages"][start:])
        blocks = self.scripts[name](turn, body["messages"])
        return list(stream(blocks, body["model"]))


def user_texts(messages: list[dict[str, Any]]) -> list[tuple[int, str]]:
    """Index and text of everything that a user said; tool results are not that."""
    found = []
    for index, message in enumerate(messages):
        if message["role"] != "user":
            continue
        content = message["content"]
        if isinstance(content, str):
            found.append((index, content))
        else:
            found += [(index, block["text"]) for block in content if block.get("type") == "text"]
    return found


def stream(blocks: list[Block], model: str) -> list[dict[str, Any]]:
    """Blocks as the events of Anthropic's stream."""
    usage = {
        "input_tokens": 10,
        "output_tokens": 1,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
    }
    message = {"id": f"msg_{next(_ids)}", "type": "message", "role": "assistant", "model": model, "content": [],
               "stop_reason": None, "stop_sequence": None, "usage": usage}  # fmt: skip
    events: list[dict[str, Any]] = [{"type": "message_start", "message": message}]
    for index, block in enumerate(blocks):
        if block["type"] == "text":
            empty, delta = {"type": "text", "text": ""}, {"type": "text_delta", "text": block["text"]}
        else:
            empty = {**block, "input": {}}
            delta = {"type": "input_json_delta", "partial_json": json.dumps(block["input"])}
        events.append({"type": "content_block_start", "index": index, "content_block": empty})
        events.append({"type": "content_block_delta", "index": index, "delta": delta})
        events.append({"type": "content_block_stop", "index": index})
    stop = "tool_use" if any(block["type"] == "tool_use" for block in blocks) else "end_turn"
    events.append(
        {
            "type": "message_delta",
            "delta": {"stop_reason": stop, "stop_sequence": None},
            "usage": {"output_tokens": 20},
        }
    )
    return [*events, {"type": "message_stop"}]
