"""One answer on its way: tokens at their time, the ledger kept, faults where they were ordered."""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from bot.local.model.conversation import Conversation, count_tokens
from bot.local.model.faults import FaultKind
from bot.local.model.ledger import Ledger
from bot.local.model.pace import Metronome
from bot.local.model.reply import (
    Reply,
    block_delta,
    block_start,
    error,
    message,
    reply_tokens,
    spoken,
    sse,
    stop_reason,
    usage,
)

_LOOK_AROUND_S = 0.2
"""How often a stalled answer looks whether its caller is still there."""


class _Broken(Exception):
    """Leaves a response half way: the WSGI server closes the connection without ending the body."""


@dataclass(frozen=True, slots=True)
class Playing:
    """All that one answer needs.

    Attributes:
        number: the call's number in the ledger.
        breaks: how the answer breaks half way, or None.
        stopping: set when the server goes down.
        caller_left: whether the client has closed the connection.
    """

    asked: Conversation
    reply: Reply
    metronome: Metronome
    ledger: Ledger
    number: int
    breaks: FaultKind | None
    stopping: threading.Event
    caller_left: Callable[[], bool]

    def events(self) -> Iterator[bytes]:
        """The answer as server-sent events."""
        total = min(reply_tokens(self.reply), self.asked.max_tokens)
        try:
            yield sse({"type": "message_start", "message": message(self.asked)})
            yield sse({"type": "ping"})
            yield from self._blocks(total)
            reason = stop_reason(self.reply, self.asked.max_tokens)
            delta = {"stop_reason": reason, "stop_sequence": None}
            yield sse({"type": "message_delta", "delta": delta, "usage": usage(self.asked, total)})
            yield sse({"type": "message_stop"})
            self._end("complete")
        finally:
            self._end("cut")

    def body(self, content: bytes) -> Iterator[bytes]:
        """The answer in one piece, after the time that its tokens take."""
        total = min(reply_tokens(self.reply), self.asked.max_tokens)
        try:
            sent = 0
            while sent < total:
                sent += min(self._tick(sent), total - sent)
            if self.breaks:
                yield content[: len(content) // 2]
                self._break()
            yield content
            self._end("complete")
        finally:
            self._end("cut")

    def _blocks(self, total: int) -> Iterator[bytes]:
        sent = 0
        for index, block in enumerate(self.reply):
            yield sse(block_start(self.asked, index, block))
            text = spoken(block)
            at, tokens = 0, min(count_tokens(text), total - sent)
            while at < tokens:
                if self.breaks and sent >= total // 2:
                    if self.breaks is FaultKind.ERROR:
                        yield sse(error("overloaded_error", "Overloaded"))
                    self._break()
                count = min(self._tick(sent), tokens - at)
                yield sse(block_delta(index, block, text[at * 4 : (at + count) * 4]))
                at, sent = at + count, sent + count
            yield sse({"type": "content_block_stop", "index": index})
            if sent >= total:
                return

    def _tick(self, sent: int) -> int:
        count = self.metronome.next_tokens(sent)
        if self.stopping.is_set():
            raise _Broken("the scripted model is going down")
        if sent == 0:
            self.ledger.change(self.number, first_token=time.monotonic())
        self.ledger.change(self.number, output_tokens=min(sent + count, reply_tokens(self.reply)))
        return count

    def _break(self) -> None:
        if self.breaks is FaultKind.STALL:
            while not self.caller_left() and not self.stopping.wait(_LOOK_AROUND_S):
                pass
        raise _Broken(f"this fault was ordered: {self.breaks}")

    def _end(self, outcome: str) -> None:
        self.ledger.close(self.number, time.monotonic(), outcome)
