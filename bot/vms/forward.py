"""What connects a port inside a machine to a service on our side: bytes both ways until both directions have ended."""

import logging
import socket
import threading
from contextlib import suppress
from typing import Protocol

from bot.core.errors import BotError
from bot.vms.base import Dial

log = logging.getLogger(__name__)

_CHUNK_BYTES = 1 << 16


class Stream(Protocol):
    """A connection that arrived from the machine: a channel of the line."""

    def recv(self, nbytes: int, /) -> bytes: ...

    def sendall(self, data: bytes, /) -> None: ...

    def shutdown_write(self) -> None: ...

    def close(self) -> None: ...


def serve(stream: Stream, dial: Dial) -> None:
    """Connect `stream` to what `dial` opens, in threads of its own; returns at once.

    A service that cannot be dialled closes the stream, as a closed port would.
    """
    threading.Thread(target=_relay, args=(stream, dial), name="forward", daemon=True).start()


def _relay(stream: Stream, dial: Dial) -> None:
    try:
        service = dial()
    except (OSError, BotError) as error:
        log.warning("a machine's connection could not be served: %s", error)
        stream.close()
        return
    if service.family in (socket.AF_INET, socket.AF_INET6):
        service.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    upwards = threading.Thread(target=_up, args=(stream, service), name="forward-up", daemon=True)
    upwards.start()
    try:
        while data := service.recv(_CHUNK_BYTES):
            stream.sendall(data)
        stream.shutdown_write()  # the machine may still be talking
        upwards.join()
    except (OSError, BotError):  # either side broke off: closing both tells the other
        pass
    finally:
        _hang_up(service)
        stream.close()


def _up(stream: Stream, service: socket.socket) -> None:
    try:
        while data := stream.recv(_CHUNK_BYTES):
            service.sendall(data)
        service.shutdown(socket.SHUT_WR)  # the service may still be answering
    except (OSError, BotError):
        _hang_up(service)
        stream.close()


def _hang_up(service: socket.socket) -> None:
    with suppress(OSError):  # it may be connected no more
        service.shutdown(socket.SHUT_RDWR)  # wakes a thread that waits in recv, which close alone does not
    service.close()
