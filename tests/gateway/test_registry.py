"""The registry proxy: what it carries, and that nothing else gets through."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress

import pytest

from bot.core.models import VmId
from bot.gateway.places import CONNECTIONS
from bot.gateway.registry import RegistryProxy
from bot.gateway.server import Callers

VM = VmId("vm-a")


class Registry:
    """A server on our side that runs `answer` for each connection and counts them."""

    def __init__(self, answer: Callable[[socket.socket], None]) -> None:
        self.connections = 0
        self._answer = answer
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        with suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)  # wakes the thread that accepts
        self.listener.close()

    def _serve(self) -> None:
        while True:
            try:
                taken, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._one, args=(taken,), daemon=True).start()

    def _one(self, taken: socket.socket) -> None:
        with taken:
            self._answer(taken)


def http(taken: socket.socket) -> None:
    """Send back what came, as a body, and close."""
    head = b""
    while b"\r\n\r\n" not in head:
        head += taken.recv(4096)
    taken.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + head)


def echo(taken: socket.socket) -> None:
    """Send everything back; say when the caller has ended."""
    while data := taken.recv(65536):
        taken.sendall(data)
    taken.sendall(b"<end>")


class World:
    """A proxy, a registry behind it, and what the proxy refused."""

    def __init__(self, answer: Callable[[socket.socket], None], *, idle_s: float) -> None:
        self.registry = Registry(answer)
        self.callers = Callers()
        self.refused: list[tuple[VmId | None, str]] = []
        self.proxy = RegistryProxy(
            [f"localhost:{self.registry.port}"],
            caller=self.callers.vm_of,
            refused=lambda vm, what: self.refused.append((vm, what)),
            idle_s=idle_s,
        )

    def connect(self) -> socket.socket:
        sock = self.callers.dial(VM, self.proxy.address)
        sock.settimeout(10)
        return sock

    def say(self, text: str) -> bytes:
        """Everything that comes back for one request."""
        with self.connect() as sock:
            sock.sendall(text.format(port=self.registry.port).encode("latin-1"))
            data = b""
            while chunk := sock.recv(65536):
                data += chunk
            return data


@contextmanager
def world(answer: Callable[[socket.socket], None] = http, *, idle_s: float = 5.0) -> Iterator[World]:
    made = World(answer, idle_s=idle_s)
    try:
        yield made
    finally:
        made.proxy.close()
        made.registry.close()


def test_a_tunnel_carries_bytes_both_ways_and_half_closes() -> None:
    """3 MB there and back; bytes that follow the request at once are not lost; one direction ends by itself."""
    data = bytes(range(256)) * 12_000
    with world(echo) as w, w.connect() as sock:
        sock.sendall(f"CONNECT localhost:{w.registry.port} HTTP/1.1\r\nHost: x\r\n\r\nearly".encode())
        assert sock.recv(8192).startswith(b"HTTP/1.1 200 ")
        assert sock.recv(5) == b"early"
        sender = threading.Thread(target=lambda: (sock.sendall(data), sock.shutdown(socket.SHUT_WR)))
        sender.start()
        received = bytearray()
        while chunk := sock.recv(65536):
            received += chunk
        sender.join()
    assert bytes(received) == data + b"<end>"


def test_a_plain_request_is_passed_on_in_its_own_form() -> None:
    """Path and harmless headers go along; what concerns the proxy does not; the connection ends with the answer."""
    with world() as w:
        answer = w.say(
            "GET http://LOCALHOST:{port}/simple/x?y=1 HTTP/1.1\r\nHost: evil\r\nAccept: a/b\r\n"
            "Proxy-Authorization: Basic s\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n"
        )
        head, _, got = answer.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 OK")
        assert got.decode() == (
            f"GET /simple/x?y=1 HTTP/1.1\r\nHost: localhost:{w.registry.port}\r\nConnection: close\r\n"
            "Accept: a/b\r\n\r\n"
        )


def test_a_second_request_does_not_hide_behind_the_first() -> None:
    """Bytes after the head of a plain request never reach the registry."""
    with world() as w:
        answer = w.say(
            "GET http://localhost:{port}/a HTTP/1.1\r\n\r\nPOST http://localhost:{port}/b HTTP/1.1\r\n\r\n"
        )
        assert b"/a" in answer
        assert b"/b" not in answer


@pytest.mark.parametrize(
    "request_text",
    [
        "CONNECT example.org:443 HTTP/1.1\r\n\r\n",
        "CONNECT localhost:22 HTTP/1.1\r\n\r\n",
        "CONNECT localhost HTTP/1.1\r\n\r\n",
        "CONNECT 127.0.0.1:{port} HTTP/1.1\r\n\r\n",
        "CONNECT [::1]:{port} HTTP/1.1\r\n\r\n",
        "CONNECT localhost.evil.org:{port} HTTP/1.1\r\n\r\n",
        "CONNECT user@localhost:{port} HTTP/1.1\r\n\r\n",
        "GET http://127.0.0.1:{port}/ HTTP/1.1\r\n\r\n",
        "GET http://localhost:{port}@example.org/ HTTP/1.1\r\n\r\n",
        "GET http://example.org:{port}/ HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n",
        "GET https://localhost:{port}/ HTTP/1.1\r\n\r\n",
        "GET ftp://localhost:{port}/ HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n",
        "POST http://localhost:{port}/ HTTP/1.1\r\nContent-Length: 0\r\n\r\n",
        "PUT http://localhost:{port}/ HTTP/1.1\r\n\r\n",
        "GET http://localhost:{port}/ HTTP/1.1\r\nContent-Length: 4\r\n\r\nabcd",
        "GET http://localhost:{port}/ HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
        "GET http://localhost:{port}/ HTTP/1.1\nHost: x\n\r\n\r\n",
        "GET http://localhost:{port}/a b HTTP/1.1\r\n\r\n",
        "GET http://localhost:{port}/ HTTP/2\r\n\r\n",
        "GET http://loc\xe4lhost:{port}/ HTTP/1.1\r\n\r\n",
        "nonsense\r\n\r\n",
    ],
)
def test_nothing_else_gets_through(request_text: str) -> None:
    """Other hosts, ports, addresses, methods and malformed requests end in a sentence; the registry sees nothing."""
    with world() as w:
        answer = w.say(request_text)
        status, _, rest = answer.partition(b"\r\n")
        assert status.split()[1] in (b"400", b"403")
        assert rest.partition(b"\r\n\r\n")[2].strip().endswith((b".",))
        assert w.registry.connections == 0
        if status.split()[1] == b"403":
            assert [vm for vm, _ in w.refused] == [VM]


def test_somebody_else_on_this_host_is_not_served() -> None:
    """Only connections that a dial made in the name of a machine."""
    with world() as w, socket.create_connection(w.proxy.address, 10) as sock:
        sock.sendall(f"CONNECT localhost:{w.registry.port} HTTP/1.1\r\n\r\n".encode())
        assert b"403" in sock.recv(100)
        assert w.refused[0][0] is None


def test_a_machine_has_its_connections_and_no_more() -> None:
    """Beyond them they are closed at once, also while those before linger on our side; others are served."""
    with world(idle_s=60) as w, ExitStack() as held:
        strangers = [socket.create_connection(w.proxy.address) for _ in range(CONNECTIONS + 1)]
        for sock in strangers:
            held.enter_context(sock)
        strangers[-1].settimeout(10)
        assert strangers[-1].recv(1) == b""
        assert w.say("GET http://localhost:{port}/ HTTP/1.1\r\n\r\n").startswith(b"HTTP/1.1 200")


def test_a_registry_that_is_down_is_told() -> None:
    """502 with the reason."""
    with world() as w:
        w.registry.close()
        assert w.say("CONNECT localhost:{port} HTTP/1.1\r\n\r\n").startswith(b"HTTP/1.1 502 ")
        assert w.refused == []


def test_a_connection_on_which_nothing_moves_is_closed() -> None:
    """Idle in both directions; one that moves in either stays."""
    gate = threading.Event()

    def trickle(taken: socket.socket) -> None:
        for _ in range(6):
            taken.sendall(b".")
            gate.wait(0.1)
        gate.wait(10)

    with world(trickle, idle_s=0.3) as w, w.connect() as sock:
        started = time.monotonic()
        sock.sendall(f"CONNECT localhost:{w.registry.port} HTTP/1.1\r\n\r\n".encode())
        data = b""
        while chunk := sock.recv(100):
            data += chunk
        assert data.endswith(b"......")
        assert 0.7 < time.monotonic() - started < 5
        gate.set()


def test_a_head_without_end_is_refused() -> None:
    """Nobody fills the memory with headers."""
    with world() as w:
        with suppress(ConnectionResetError):  # the rest of the head was not read
            assert b" 400 " in w.say("GET http://localhost:{port}/ HTTP/1.1\r\nX: " + "x" * 40_000)
        assert w.registry.connections == 0


def test_default_ports_are_those_of_https_and_http() -> None:
    """A host without a port is reached by CONNECT on 443 and by GET on 80 only."""
    refused: list[str] = []
    callers = Callers()
    proxy = RegistryProxy(
        ["Registry.Example "], caller=callers.vm_of, refused=lambda vm, what: refused.append(what)
    )
    assert ("registry.example", 443) in proxy._tunnels
    assert ("registry.example", 80) in proxy._plain
    assert len(proxy._tunnels | proxy._plain) == 2
    proxy.close()
