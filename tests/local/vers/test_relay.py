"""The relay alone: half-close, back-pressure and broken ends, over plain sockets and TLS."""

import socket
import ssl
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from bot.local.vers import tls
from bot.local.vers.relay import Plain, Tls, pump

Pair = tuple[socket.socket, socket.socket]


def plain(_: Path) -> Pair:
    """A client and a server joined by a relay of two plain sockets."""
    client, left = socket.socketpair()
    right, server = socket.socketpair()
    threading.Thread(target=pump, args=(Plain(left), Plain(right)), daemon=True).start()
    return client, server


def encrypted(folder: Path) -> Pair:
    """The same with TLS on the client's side."""
    authority = tls.ensure_authority(folder)
    context = tls.server_context(authority, "vm.test", folder)
    raw, left = socket.socketpair()
    right, server = socket.socketpair()

    def serve() -> None:
        end = Tls(left, context)
        end.handshake(5)
        pump(end, Plain(right))

    threading.Thread(target=serve, daemon=True).start()
    client = ssl.create_default_context(cafile=str(authority)).wrap_socket(raw, server_hostname="x.vm.test")
    return client, server


@pytest.fixture(params=[plain, encrypted])
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> Pair:
    """Both kinds."""
    make: Callable[[Path], Pair] = request.param
    client, server = make(tmp_path)
    for end in (client, server):
        end.settimeout(10)
    return client, server


def read_all(end: socket.socket) -> bytes:
    data = b""
    while chunk := end.recv(65536):
        data += chunk
    return data


def write_for_ever(end: socket.socket) -> None:
    while True:
        end.sendall(b"y" * 65536)


def test_both_directions(pair: Pair) -> None:
    """What one end says the other hears, in order."""
    client, server = pair
    client.sendall(b"ping")
    assert server.recv(10) == b"ping"
    server.sendall(b"pong")
    assert client.recv(10) == b"pong"


def test_bulk_against_a_slow_reader(pair: Pair) -> None:
    """Sixteen megabytes to an end that reads late: the writer is held back, nothing is lost."""
    client, server = pair
    payload = bytes(range(256)) * 65536
    writer = threading.Thread(target=lambda: (server.sendall(payload), server.close()))
    writer.start()
    assert read_all(client) == payload
    writer.join(5)


def test_the_server_ends_first(pair: Pair) -> None:
    """Its last words arrive before the end, and the relay closes when the client does."""
    client, server = pair
    server.sendall(b"bye")
    server.shutdown(socket.SHUT_WR)
    assert read_all(client) == b"bye"
    client.close()
    assert read_all(server) == b""


def test_the_client_ends_first(tmp_path: Path) -> None:
    """A half-closed client still gets its answer (over TLS Python's client cannot half-close)."""
    client, server = plain(tmp_path)
    client.sendall(b"question")
    client.shutdown(socket.SHUT_WR)
    assert read_all(server) == b"question"
    server.sendall(b"answer")
    server.close()
    assert read_all(client) == b"answer"


def test_a_broken_end_breaks_the_other(pair: Pair) -> None:
    """A peer that vanishes in the middle is not kept alive by the relay."""
    client, server = pair
    client.sendall(b"x")
    assert server.recv(1) == b"x"
    server.close()
    with pytest.raises(OSError):  # noqa: PT011  # reset or broken pipe, by timing
        write_for_ever(client)
