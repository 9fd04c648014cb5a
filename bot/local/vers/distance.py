"""A long way to a server on this machine: bytes arrive half a round trip later, in order, as many at once as come."""

import math
import select
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

_CHUNK_BYTES = 64 << 10
_WINDOW_BYTES = 8 << 20
"""On their way in one direction; beyond it the sender waits, as one does for a full TCP window."""


class FarListener(socket.socket):
    """A listening socket whose connections come from far away."""

    one_way_s: Callable[[], float]

    @classmethod
    def of(cls, listener: socket.socket, one_way_s: Callable[[], float]) -> "FarListener":
        """Takes the place of a listener."""
        made = cls(listener.family, listener.type, listener.proto, fileno=listener.detach())
        made.one_way_s = one_way_s
        return made

    def accept(self) -> tuple[socket.socket, Any]:
        connection, address = super().accept()
        return from_afar(connection, self.one_way_s), address


def from_afar(connection: socket.socket, one_way_s: Callable[[], float]) -> socket.socket:
    """What the server gets in place of a connection that was accepted; the same one while there is no distance."""
    if not one_way_s():
        return connection
    ours, theirs = _pair()
    # The kernel has answered the client's SYN at once; from afar, its first byte would have come a round trip later.
    there = _Way(connection, ours, one_way_s, not_before=time.monotonic() + 3 * one_way_s())
    back = _Way(ours, connection, one_way_s, not_before=0.0)
    threading.Thread(target=_carry, args=(there, back), name="distance", daemon=True).start()
    return theirs


def _pair() -> tuple[socket.socket, socket.socket]:
    """Two ends of TCP, not of a Unix socket: servers set TCP's options on what they accept."""
    with socket.create_server(("127.0.0.1", 0)) as door:
        ours = socket.create_connection(door.getsockname())
        while True:
            theirs, peer = door.accept()
            if peer == ours.getsockname():
                return ours, theirs
            theirs.close()  # somebody else of this machine was faster


class _Way:
    """One direction: what was read, when it is due, and the end."""

    def __init__(
        self, source: socket.socket, target: socket.socket, one_way_s: Callable[[], float], not_before: float
    ) -> None:
        source.setblocking(False)
        source.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.source, self.target = source, target
        self.over = False
        self._one_way_s = one_way_s
        self._due = not_before
        self._queue: deque[tuple[float, memoryview]] = deque()
        self._bytes = 0
        self._ended = False

    @property
    def reads(self) -> bool:
        return not self._ended and self._bytes < _WINDOW_BYTES

    def next_due(self) -> float | None:
        """When something may be handed over; None while nothing is on its way."""
        return self._queue[0][0] if self._queue else None

    def read(self) -> None:
        """Take what has come. A broken source has ended; what it said before still arrives."""
        try:
            data = self.source.recv(_CHUNK_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        self._due = max(self._due, time.monotonic() + self._one_way_s())
        self._queue.append((self._due, memoryview(data)))
        self._bytes += len(data)
        self._ended = not data

    def deliver(self) -> bool:
        """Hand over what is due; True if the target takes no more at the moment."""
        while self._queue and self._queue[0][0] <= time.monotonic():
            due, data = self._queue.popleft()
            try:
                if not data:
                    self.over = True
                    self.target.shutdown(socket.SHUT_WR)
                    return False
                sent = self.target.send(data)
            except BlockingIOError:
                sent = 0
            except OSError:
                self.over = self._ended = True  # nobody hears it
                self._queue.clear()
                return False
            self._bytes -= sent
            if sent < len(data):
                self._queue.appendleft((due, data[sent:]))
                return True
        return False


def _carry(there: _Way, back: _Way) -> None:
    ways = (there, back)
    try:
        while not (there.over and back.over):
            poll = select.poll()
            masks = {way.source.fileno(): select.POLLIN if way.reads else 0 for way in ways}
            dues = []
            for way in ways:
                if way.deliver():
                    masks[way.target.fileno()] |= select.POLLOUT
                elif (due := way.next_due()) is not None:
                    dues.append(due)
            for number, mask in masks.items():
                if mask:
                    poll.register(number, mask)
            wait_ms = max(0, math.ceil((min(dues) - time.monotonic()) * 1000)) if dues else None
            if not any(masks.values()) and wait_ms is None:
                continue  # the last word was handed over just now
            ready = dict(poll.poll(wait_ms))
            for way in ways:
                if way.reads and ready.get(way.source.fileno(), 0) & ~select.POLLOUT:
                    way.read()
    finally:
        there.source.close()
        back.source.close()
