"""Carrying bytes between two connections, one thread a pair: plain sockets and TLS, with half-close and back-pressure."""

import contextlib
import select
import socket
import ssl

_READ_BYTES = 64 << 10
_PENDING_LIMIT_BYTES = 1 << 20


class Plain:
    """One end of a relay over a plain socket, non-blocking."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        if sock.family in {socket.AF_INET, socket.AF_INET6}:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock = sock
        self.pending = bytearray()
        self._finishing = self._finished = False

    def read(self) -> bytes | None:
        """What has arrived; b"" at the end; None when there is nothing right now."""
        try:
            return self.sock.recv(_READ_BYTES)
        except BlockingIOError:
            return None

    def write(self, data: bytes) -> None:
        """Queue, and send what the socket takes."""
        self.pending += data
        self.flush()

    def finish(self) -> None:
        """Say "no more" once everything queued is sent; reading goes on."""
        self._finishing = True
        self.flush()

    def flush(self) -> None:
        """Send what the socket takes now."""
        with contextlib.suppress(BlockingIOError):
            while self.pending:
                del self.pending[: self.sock.send(self.pending)]
        if self._finishing and not self.pending and not self._finished:
            self._finished = True
            self._say_end()

    def buffered(self) -> bool:
        """Whether `read` may have something although the socket has not."""
        return False

    def _say_end(self) -> None:
        with contextlib.suppress(OSError):  # the other side may be gone already
            self.sock.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self.sock.close()


class Tls(Plain):
    """One end of a relay over TLS. The engine works on memory, so no TLS record ever blocks the pump."""

    def __init__(self, sock: socket.socket, context: ssl.SSLContext) -> None:
        super().__init__(sock)
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.engine = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._more = False

    def handshake(self, limit_s: float) -> None:
        """Shake hands.

        Raises:
            OSError: the peer spoke something else, went away, or took longer than the limit for one step.
        """
        self.sock.settimeout(limit_s)
        while True:
            try:
                self.engine.do_handshake()
                break
            except ssl.SSLWantReadError:
                self.sock.sendall(self._outgoing.read())
                data = self.sock.recv(_READ_BYTES)
                if not data:
                    raise ConnectionResetError("closed during the handshake") from None
                self._incoming.write(data)
        self.sock.sendall(self._outgoing.read())
        self.sock.setblocking(False)
        self._more = True  # the first data may have come together with the end of the handshake

    def read(self) -> bytes | None:
        if not self._more:
            data = super().read()
            if data == b"":
                self._incoming.write_eof()
            elif data:
                self._incoming.write(data)
        try:
            clear = self.engine.read(_READ_BYTES)
        except ssl.SSLWantReadError:
            self._more = False
            self._send_records()
            return None
        except (ssl.SSLEOFError, ssl.SSLZeroReturnError):
            self._more = False
            return b""
        self._more = bool(clear)
        return clear

    def write(self, data: bytes) -> None:
        self.engine.write(data)
        self._send_records()

    def buffered(self) -> bool:
        return self._more

    def _send_records(self) -> None:
        self.pending += self._outgoing.read()
        self.flush()

    def _say_end(self) -> None:
        with contextlib.suppress(ssl.SSLError, OSError):
            self.engine.unwrap()  # writes close_notify; the peer's own comes later, or never
        self.pending += self._outgoing.read()
        with contextlib.suppress(OSError):
            while self.pending:
                del self.pending[: self.sock.send(self.pending)]
            self.sock.shutdown(socket.SHUT_WR)


def pump(left: Plain, right: Plain) -> None:
    """Carry both directions until both have ended or one side breaks; closes both."""
    reading = {left: right, right: left}
    try:
        while reading:
            ready = _wait(left, right, reading)
            for source, target in list(reading.items()):
                if source not in ready and not source.buffered():
                    continue
                data = source.read()
                if data:
                    target.write(data)
                elif data == b"":
                    target.finish()
                    del reading[source]
        while left.pending or right.pending:
            _wait(left, right, {})
    except OSError:
        pass  # a broken side: the other one is told by the close
    finally:
        left.close()
        right.close()


def _wait(left: Plain, right: Plain, reading: dict[Plain, Plain]) -> set[Plain]:
    """Flush what can be flushed; return the sides to read from."""
    poll = select.poll()
    sides = {side.sock.fileno(): side for side in (left, right)}
    buffered = False
    for number, side in sides.items():
        wanted = select.POLLOUT if side.pending else 0
        if side in reading and len(reading[side].pending) < _PENDING_LIMIT_BYTES:
            wanted |= select.POLLIN
            buffered |= side.buffered()
        if wanted:
            poll.register(number, wanted)
    ready = set()
    for number, events in poll.poll(0 if buffered else None):
        if events & select.POLLOUT:
            sides[number].flush()
        if events & (select.POLLIN | select.POLLHUP | select.POLLERR):
            if sides[number] not in reading and events & (select.POLLERR | select.POLLHUP):
                raise ConnectionResetError
            ready.add(sides[number])
    return ready
