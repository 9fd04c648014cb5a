"""An HTTP proxy that lets machines reach the package registries, by name and on their ports, and nothing else."""

import logging
import select
import socket
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

from bot.core.models import VmId
from bot.gateway.places import CONNECTIONS, Places

log = logging.getLogger(__name__)

_HEAD_LIMIT_BYTES = 16 << 10
_HEAD_TIMEOUT_S = 15.0
_CONNECT_TIMEOUT_S = 15.0
_CHUNK_BYTES = 1 << 16
_HOP_BY_HOP = {
    "connection", "host", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te",
    "trailer", "transfer-encoding", "upgrade", "content-length",
}  # fmt: skip

Refused = Callable[[VmId | None, str], None]
"""Told of each refusal: the machine, if it is one of ours, and what it asked for."""


class _Refusal(Exception):
    def __init__(self, status: str, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What a request's head asks for. `head` is what the registry gets first; nothing for a tunnel."""

    host: str
    port: int
    tunnel: bool
    head: bytes


class RegistryProxy:
    """Listens on a loopback port of its own. Names are compared before they are resolved; no address is accepted."""

    def __init__(
        self,
        hosts: Iterable[str],
        *,
        caller: Callable[[int], VmId | None],
        refused: Refused,
        idle_s: float = 120.0,
    ) -> None:
        """
        Args:
            hosts: "name" for ports 443 (CONNECT) and 80 (GET, HEAD), or "name:port" for that port alone.
            caller: which machine a connection comes from, by its source port.
            refused: told of each refusal.
            idle_s: a connection on which nothing moves for so long is closed.
        """
        self._tunnels, self._plain = _allowed(hosts, 443), _allowed(hosts, 80)
        self._caller = caller
        self._refused = refused
        self._idle_s = idle_s
        self._places = Places(CONNECTIONS)  # a tunnel whose machine has hung up may idle on: it still counts
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.address: tuple[str, int] = self._listener.getsockname()
        threading.Thread(target=self._accept, name="registry-proxy", daemon=True).start()

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes the thread that accepts
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, peer = self._listener.accept()
            except OSError:
                return  # closed
            vm = self._caller(peer[1])
            if self._places.take(vm):
                threading.Thread(target=self._serve, args=(client, vm), name="registry", daemon=True).start()
            else:
                client.close()

    def _serve(self, client: socket.socket, vm: VmId | None) -> None:
        with ExitStack() as leaving:
            leaving.callback(self._places.leave, vm)
            leaving.enter_context(closing(client))
            try:
                head, rest = _read_head(client)
                wanted = _parse(head)
                self._check(vm, wanted)
                self._carry(client, wanted, rest)
            except _Refusal as refusal:
                if refusal.status.startswith("403"):
                    self._refused(vm, str(refusal))
                with suppress(OSError):
                    client.sendall(_answer(refusal.status, str(refusal)))
            except OSError as error:
                log.debug("a connection to a registry ended: %s", error)

    def _check(self, vm: VmId | None, wanted: _Wanted) -> None:
        if vm is None:
            raise _Refusal("403 Forbidden", "This proxy serves the machines of a build only.")
        if (wanted.host, wanted.port) not in (self._tunnels if wanted.tunnel else self._plain):
            raise _Refusal(
                "403 Forbidden", f"{wanted.host}:{wanted.port} is not a registry that machines may reach."
            )

    def _carry(self, client: socket.socket, wanted: _Wanted, rest: bytes) -> None:
        try:
            registry = socket.create_connection((wanted.host, wanted.port), _CONNECT_TIMEOUT_S)
        except OSError as error:
            raise _Refusal("502 Bad Gateway", f"{wanted.host} cannot be reached: {error}.") from error
        with closing(registry):
            for sock in (client, registry):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                sock.settimeout(self._idle_s)
            tunnel = _Tunnel(self._idle_s)
            if wanted.tunnel:
                client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                registry.sendall(rest)
                upwards = threading.Thread(
                    target=tunnel.copy, args=(client, registry), name="registry-up", daemon=True
                )
                upwards.start()
                tunnel.copy(registry, client)
                upwards.join()
            else:
                # One request, one answer: bytes that follow the head are never passed on, so that no second
                # request can hide behind one that was checked.
                registry.sendall(wanted.head)
                tunnel.copy(registry, client)


class _Tunnel:
    """Two directions that end each by itself, and together when nothing has moved in either for `idle_s`."""

    def __init__(self, idle_s: float) -> None:
        self._idle_s = idle_s
        self._moved_at = time.monotonic()

    def copy(self, source: socket.socket, target: socket.socket) -> None:
        readable = select.poll()
        readable.register(source, select.POLLIN)
        try:
            while (left_s := self._idle_s - (time.monotonic() - self._moved_at)) > 0:
                if not readable.poll(1000 * left_s):
                    continue
                data = source.recv(_CHUNK_BYTES)
                if not data:
                    target.shutdown(socket.SHUT_WR)
                    return
                target.sendall(data)
                self._moved_at = time.monotonic()
        except OSError:
            pass  # one side broke off
        for sock in (source, target):  # the other direction has nobody to talk to any more
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)


def _allowed(hosts: Iterable[str], port: int) -> frozenset[tuple[str, int]]:
    found = set()
    for entry in hosts:
        name, _, own_port = entry.strip().lower().partition(":")
        if name:
            found.add((name, int(own_port) if own_port else port))
    return frozenset(found)


def _read_head(client: socket.socket) -> tuple[bytes, bytes]:
    client.settimeout(_HEAD_TIMEOUT_S)
    data = b""
    while b"\r\n\r\n" not in data:
        chunk = client.recv(4096)
        if not chunk or len(data) > _HEAD_LIMIT_BYTES:
            raise _Refusal("400 Bad Request", "The request has no proper head.")
        data += chunk
    head, _, rest = data.partition(b"\r\n\r\n")
    return head, rest


def _parse(head: bytes) -> _Wanted:
    """
    Raises:
        _Refusal: not a request that this proxy understands.
    """
    try:
        first, *lines = head.decode("ascii").split("\r\n")
        method, target, version = first.split(" ")
    except ValueError as error:
        raise _Refusal("400 Bad Request", "The request line is not proper HTTP.") from error
    if not version.startswith("HTTP/1.") or "\n" in head.decode("ascii").replace("\r\n", ""):
        raise _Refusal("400 Bad Request", "The request is not proper HTTP/1.")
    if method == "CONNECT":
        host, port = _authority(target, 443)
        return _Wanted(host, port, tunnel=True, head=b"")
    if method not in ("GET", "HEAD") or not target.lower().startswith("http://"):
        raise _Refusal(
            "403 Forbidden", f"{method} is not allowed: this proxy serves CONNECT, and GET of http://."
        )
    headers = [line.partition(":") for line in lines]
    _refuse_body(headers)
    parts = urlsplit(target)
    host, port = _authority(parts.netloc, 80)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    kept = [f"{name}:{value}" for name, _, value in headers if name.strip().lower() not in _HOP_BY_HOP]
    place = host if port == 80 else f"{host}:{port}"
    plain = [f"{method} {path} HTTP/1.1", f"Host: {place}", "Connection: close", *kept, "", ""]
    return _Wanted(host, port, tunnel=False, head="\r\n".join(plain).encode())


def _refuse_body(headers: Iterable[tuple[str, str, str]]) -> None:
    for name, _, value in headers:
        known = name.strip().lower()
        if known == "transfer-encoding" or (known == "content-length" and value.strip() != "0"):
            raise _Refusal("403 Forbidden", "A request with a body is not allowed: this proxy only fetches.")


def _authority(text: str, port: int) -> tuple[str, int]:
    host, _, own_port = text.partition(":")
    if "@" in text or (own_port and not own_port.isdigit()):
        raise _Refusal("400 Bad Request", "The address is not of the form host:port.")
    return host.lower().removesuffix("."), int(own_port) if own_port else port


def _answer(status: str, sentence: str) -> bytes:
    body = f"{sentence}\n".encode()
    head = f"HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    return head.encode() + body
