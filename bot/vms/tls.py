"""TLS to a machine: dialling with a checked certificate, and the pump that carries bytes between TLS and a plain socket."""

import selectors
import socket
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

_BACKLOG_BYTES = 1 << 20
_CHUNK_BYTES = 1 << 16
_TCP_USER_TIMEOUT_MS = 20_000
_FLUSH_S = 1.0


def verifying_context(ca_file: Path | None) -> ssl.SSLContext:
    """Certificates are checked against the system's authorities, or against those of `ca_file` alone; so is the name."""
    context = ssl.create_default_context(cafile=str(ca_file) if ca_file else None)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def dial(host: str, port: int, server_name: str, context: ssl.SSLContext, timeout_s: float) -> ssl.SSLSocket:
    """A TLS connection to `host:port` whose certificate is valid for `server_name`.

    Raises:
        ssl.SSLCertVerificationError: it is not.
        OSError: no connection, or no TLS, within `timeout_s`.
    """
    plain = socket.create_connection((host, port), timeout_s)
    try:
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if hasattr(
            socket, "TCP_USER_TIMEOUT"
        ):  # Linux: unacknowledged bytes end the connection after this long
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _TCP_USER_TIMEOUT_MS)
        return context.wrap_socket(plain, server_hostname=server_name)
    except BaseException:
        plain.close()
        raise


class Pump:
    """Carries bytes between a TLS socket and `end`, a plain socket for a library that wants one.

    One thread owns the TLS socket. An `SSLSocket` in the hands of a reading and a writing thread loses data (measured
    with paramiko: short reads that end with exit status -1). A peer that has said nothing for `silence_s` is dead;
    whoever uses `end` makes it say something more often than that. Closing `end` ends the pump, and the pump's end
    closes the other side of `end`.
    """

    def __init__(self, tls: ssl.SSLSocket, *, silence_s: float, ended: Callable[[], None]) -> None:
        self.end, self._plain = socket.socketpair()
        self._tls = tls
        self._silence_s = silence_s
        self._ended = ended
        self._to_tls = bytearray()
        self._to_plain = bytearray()
        self._heard_at = time.monotonic()
        tls.setblocking(False)
        self._plain.setblocking(False)
        threading.Thread(target=self._run, name="tls-pump", daemon=True).start()

    def _run(self) -> None:
        try:
            with selectors.DefaultSelector() as selector:
                while time.monotonic() - self._heard_at < self._silence_s and self._step():
                    self._watch(selector)
                    selector.select(1.0)
            self._flush()
        except OSError:  # includes ssl.SSLError: the line is broken, which the closing below tells
            pass
        finally:
            self._plain.close()
            self._tls.close()
            self._ended()

    def _watch(self, selector: selectors.BaseSelector) -> None:
        """Wait for what can make progress only: a full backlog stops the reading of its source."""
        wanted = (
            (self._tls, len(self._to_plain) < _BACKLOG_BYTES, bool(self._to_tls)),
            (self._plain, len(self._to_tls) < _BACKLOG_BYTES, bool(self._to_plain)),
        )
        for sock, read, write in wanted:
            mask = (selectors.EVENT_READ if read else 0) | (selectors.EVENT_WRITE if write else 0)
            known = selector.get_map().get(sock)
            if known is None and mask:
                selector.register(sock, mask)
            elif known is not None and not mask:
                selector.unregister(sock)
            elif known is not None and known.events != mask:
                selector.modify(sock, mask)

    def _step(self) -> bool:
        """Move what can be moved now; False when either side has ended."""
        going = self._read_tls() and self._read_plain()
        if self._to_tls:
            with suppress(ssl.SSLWantReadError, ssl.SSLWantWriteError):
                del self._to_tls[: self._tls.send(self._to_tls)]
        if self._to_plain:
            with suppress(BlockingIOError):
                del self._to_plain[: self._plain.send(self._to_plain)]
        return going

    def _read_tls(self) -> bool:
        # To its end: bytes that OpenSSL has decrypted already do not make the socket readable again.
        while len(self._to_plain) < _BACKLOG_BYTES:
            try:
                data = self._tls.recv(_CHUNK_BYTES)
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                return True
            if not data:
                return False
            self._heard_at = time.monotonic()
            self._to_plain += data
        return True

    def _read_plain(self) -> bool:
        if len(self._to_tls) >= _BACKLOG_BYTES:
            return True
        try:
            data = self._plain.recv(_CHUNK_BYTES)
        except BlockingIOError:
            return True
        self._to_tls += data
        return bool(data)

    def _flush(self) -> None:
        """The last words of the side that ended reach the other, if it listens."""
        for sock, rest in ((self._plain, self._to_plain), (self._tls, self._to_tls)):
            if rest:
                sock.settimeout(_FLUSH_S)
                sock.sendall(rest)
