"""The TLS front: one loopback port that routes by SNI to a machine, SSH to its port 22 and HTTP by the Host header.

It stands for `{vm_id}.vm.vers.sh:443` and its further ports, and like that proxy reaches guests over IPv6 only.
"""

import contextlib
import logging
import re
import select
import socket
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator

from bot.core.errors import NotFound
from bot.local.vers.conditions import Conditions
from bot.local.vers.distance import FarListener
from bot.local.vers.faults import FaultKind, FaultTable
from bot.local.vers.line import LabError
from bot.local.vers.machine import Machine
from bot.local.vers.relay import Plain, Tls, pump

Dial = Callable[[Machine, int, socket.socket], socket.socket]
Find = Callable[[str], Machine]

_HANDSHAKE_LIMIT_S = 10.0
_SILENT_CLIENT_S = 2.0
"""A client that says nothing waits for the server's SSH banner."""
_ACCEPT_PAUSE_S = 0.05
_HEAD_LIMIT_BYTES = 64 << 10
_HTTP = re.compile(rb"(GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS|TRACE|CONNECT) ")
_HOST_PORT = re.compile(rb"(?im)^host:[ \t]*[^\s:]+:(\d{1,5})[ \t]*\r?$")
_UPGRADE = re.compile(rb"(?im)^upgrade:[ \t]*websocket[ \t]*\r?$")
_BAD_GATEWAY = b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
_log = logging.getLogger(__name__)


class _NamedEngine(ssl.SSLObject):
    """A TLS engine that remembers which host its client asked for."""

    sni: str = ""


def _remember_name(engine: ssl.SSLObject, name: str | None, _context: ssl.SSLContext) -> None:
    if isinstance(engine, _NamedEngine):
        engine.sni = name or ""


class Listener:
    """Accepts on a loopback port until stopped; each connection is served by a thread of its own."""

    def __init__(self, serve: Callable[[socket.socket], None], conditions: Conditions, port: int = 0) -> None:
        self._serve = serve
        self._stopped = threading.Event()
        listener = socket.create_server(("127.0.0.1", port), backlog=256)
        self._socket = FarListener.of(listener, conditions.one_way_s)
        self.port: int = self._socket.getsockname()[1]
        threading.Thread(target=self._accept, name=f"accept-{self.port}", daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError as error:
                if self._stopped.wait(_ACCEPT_PAUSE_S):
                    return
                _log.warning("port %d cannot accept: %s", self.port, error)  # out of descriptors, mostly
                continue
            threading.Thread(target=self._serve_one, args=(connection,), daemon=True).start()

    def _serve_one(self, connection: socket.socket) -> None:
        with connection:
            try:
                self._serve(connection)
            except (OSError, LabError, NotFound) as error:
                _log.debug("connection on port %d ends: %s", self.port, error)

    def stop(self) -> None:
        """Close the port; connections that are open go on until their ends close."""
        self._stopped.set()
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)  # wakes the accept, which a close alone does not
        self._socket.close()


class Front:
    """What serves one connection at the TLS front."""

    def __init__(
        self,
        context: ssl.SSLContext,
        domain: str,
        find: Find,
        dial: Dial,
        faults: FaultTable,
        conditions: Conditions,
    ) -> None:
        context.sslobject_class = _NamedEngine
        context.sni_callback = _remember_name
        self._context, self._domain = context, domain
        self._find, self._dial, self._faults = find, dial, faults
        self._conditions = conditions
        self._counting = threading.Lock()
        self._open: Counter[str] = Counter(ssh=0, http=0, websocket=0)

    def open_connections(self) -> dict[str, int]:
        """How many clients are connected now: ssh, http, websocket."""
        with self._counting:
            return dict(self._open)

    @contextlib.contextmanager
    def _counted(self, kind: str) -> Iterator[None]:
        with self._counting:
            self._open[kind] += 1
        try:
            yield
        finally:
            with self._counting:
                self._open[kind] -= 1

    def serve(self, connection: socket.socket) -> None:
        """Carry one client's connection. Closes it when the name is unknown."""
        client = Tls(connection, self._context)
        client.handshake(_HANDSHAKE_LIMIT_S)
        name = client.engine.sni if isinstance(client.engine, _NamedEngine) else ""
        identity, _, domain = name.partition(".")
        if domain != self._domain:
            return
        machine = self._find(identity)
        first = _read_first(client)
        is_http = _HTTP.match(first) is not None
        route = f"{'HTTP' if is_http else 'SSH'} {identity}"
        if self._faults.take(route, FaultKind.REFUSE):
            return
        self._conditions.before(route)
        try:
            guest = Plain(self._dial(machine, _http_port(first) if is_http else 22, connection))
        except LabError:
            if is_http:
                client.write(_BAD_GATEWAY)
                client.finish()
            raise
        websocket = is_http and _UPGRADE.search(first)
        with self._counted("websocket" if websocket else "http" if is_http else "ssh"):
            guest.write(first)
            pump(client, guest)


def _read_first(client: Tls) -> bytes:
    """What the client says first: an HTTP head, the beginning of SSH, or nothing."""
    data = bytearray()
    deadline = time.monotonic() + _SILENT_CLIENT_S
    while True:
        chunk = client.read()
        if chunk == b"":
            raise ConnectionResetError("the client left")
        data += chunk or b""
        complete = len(data) >= 8 and (not _HTTP.match(data) or b"\r\n\r\n" in data)
        if complete or len(data) > _HEAD_LIMIT_BYTES:
            return bytes(data)
        if chunk is None and not _readable(client.sock, deadline if not data else deadline + 30):
            return bytes(data)


def _readable(sock: socket.socket, deadline: float) -> bool:
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(max(0.0, deadline - time.monotonic()) * 1000))


def _http_port(head: bytes) -> int:
    """The guest's port: that of the Host header. The bare URL, which is the front's 443, is the guest's 80."""
    found = _HOST_PORT.search(head.partition(b"\r\n\r\n")[0])
    port = int(found[1]) if found else 80
    return 80 if port == 443 else port
