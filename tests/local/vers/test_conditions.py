"""A server that is slow on purpose: standing delays, and a round trip on every connection."""

import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from bot.cli.main import cli
from bot.core.errors import UserError
from bot.local.vers.conditions import KINDS, MEASURED, Conditions, parse_delays
from bot.local.vers.front import Listener
from tests.local.vers.conftest import Api
from tests.waiting import wait_until

ROUND_TRIP_MS = 120.0


def echo(connection: socket.socket) -> None:
    """Send back what comes, then a last word."""
    while data := connection.recv(1 << 16):
        connection.sendall(data)
    connection.sendall(b"bye")


@pytest.fixture
def far() -> Iterator[socket.socket]:
    """A connection to an echo that is far away."""
    listener = Listener(echo, Conditions(round_trip_ms=ROUND_TRIP_MS))
    with socket.create_connection(("127.0.0.1", listener.port), 10) as line:
        yield line
    listener.stop()


def read(line: socket.socket, size: int) -> bytes:
    """Exactly so many bytes."""
    data = bytearray()
    while len(data) < size and (chunk := line.recv(1 << 16)):
        data += chunk
    return bytes(data)


def test_each_question_takes_a_round_trip(far: socket.socket) -> None:
    """The first one two: connecting took one, which the kernel hides."""
    asked_at = time.monotonic()
    near = socket.create_connection(far.getpeername(), 10)
    for trips in (2, 1, 1):
        near.sendall(b"x")
        assert read(near, 1) == b"x"
        assert trips * ROUND_TRIP_MS <= (time.monotonic() - asked_at) * 1000 < (trips + 3) * ROUND_TRIP_MS
        asked_at = time.monotonic()
    near.close()


def test_what_is_sent_at_once_travels_at_once(far: socket.socket) -> None:
    """A thousand small writes and 30 MB take about one trip more than without distance, in order, to the last word."""
    far.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sent = b"".join(b"%04d" % n for n in range(1000)) + bytes(range(256)) * 120_000
    heard: list[bytes] = []
    reader = threading.Thread(target=lambda: heard.append(read(far, len(sent) + 100)))
    reader.start()
    began_at = time.monotonic()
    for n in range(0, 4000, 4):
        far.sendall(sent[n : n + 4])
    far.sendall(sent[4000:])
    far.shutdown(socket.SHUT_WR)
    reader.join(30)
    assert heard[0] == sent + b"bye"
    assert time.monotonic() - began_at < 10


def test_a_client_that_leaves_is_not_kept(far: socket.socket) -> None:
    """Nor is the server left waiting for it."""
    far.sendall(b"x")
    assert read(far, 1) == b"x"
    threads = threading.active_count()
    far.close()
    wait_until(lambda: threading.active_count() <= threads - 2, 10, "relay and server have ended")


def test_what_a_command_line_says() -> None:
    """A kind that does not exist, and what is no number, get a sentence."""
    assert parse_delays(["branch=10.2", "exec=2.9", "delete=6.6"]) == MEASURED
    assert set(MEASURED) < set(KINDS)
    for words in (["branch"], ["branch=soon"]):
        with pytest.raises(UserError, match="KIND=SECONDS"):
            parse_delays(words)
    with pytest.raises(UserError, match="there is no delay 'branches'; there are create, branch"):
        cli.main(["local", "vers", "--delay", "branches=1"], standalone_mode=False)
    with pytest.raises(UserError, match="from 0"):
        Conditions(round_trip_ms=-1)


@pytest.fixture
def slow(api: Api) -> Iterator[Any]:
    """Changes the shared server's conditions; they end with the test."""

    def change(**wanted: Any) -> httpx.Response:
        return api.local("PUT", "/conditions", json=wanted)

    yield change
    assert change(delays={}, round_trip_ms=0).json() == {"delays": {}, "round_trip_ms": 0}


@pytest.mark.machines
def test_calls_take_their_time(api: Api, image: str, slow: Any) -> None:
    """A branch is in the list long before it is answered, a deletion waits first, and so does a command by itself."""
    assert slow(delays={"branches": 1}).status_code == 400
    slow(delays={"branch": 1.5, "delete": 0.4, "exec": 0.3})
    before = {vm["vm_id"] for vm in api.http.get("/vm").json()}
    made: list[list[str]] = []
    began_at = time.monotonic()
    branching = threading.Thread(target=lambda: made.append(api.branch(image, 2)))
    branching.start()
    wait_until(lambda: len(api.http.get("/vm").json()) == len(before) + 2, 10, "both are listed")
    assert not made
    branching.join(20)
    assert time.monotonic() - began_at >= 1.5
    vm, other = made[0]
    api.await_sshd(vm)
    for seconds, call in (
        (0.3, lambda: api.run(vm, "true")),
        (0.3, lambda: api.await_sshd(vm)),
        (0.4, lambda: api.delete(other)),
    ):
        began_at = time.monotonic()
        call()
        assert seconds <= time.monotonic() - began_at < 10
    api.delete(vm)


@pytest.mark.machines
def test_a_round_trip_to_everything(api: Api, shared: str, slow: Any) -> None:
    """The API, the TLS front and a published port; a change reaches connections that are made after it."""
    api.serve(shared, 3000)
    url = api.publish(shared, 3000)
    slow(round_trip_ms=ROUND_TRIP_MS)
    with httpx.Client(base_url=api.vers.base_url) as http:
        for trips in (2, 1):
            began_at = time.monotonic()
            assert http.get("/health").status_code == 200
            assert time.monotonic() - began_at >= trips * ROUND_TRIP_MS / 1000
    began_at = time.monotonic()
    assert httpx.get(f"{url}/name").status_code == 200
    assert time.monotonic() - began_at >= 2 * ROUND_TRIP_MS / 1000
    began_at = time.monotonic()
    assert api.ssh(shared, "echo hi").stdout == b"hi\n"
    assert (
        time.monotonic() - began_at > 6 * ROUND_TRIP_MS / 1000
    )  # connect, TLS, SSH's versions, keys, log-in, command
