"""A WSGI application on one loopback port, in threads of this process, until it is told to stop."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterable
from typing import Any, cast

from waitress import wasyncore
from waitress.server import TcpWSGIServer, create_server

Wsgi = Callable[[dict[str, Any], Any], Iterable[bytes]]


class Serving:
    """A running server. The port is open when this returns.

    Args:
        app: the application.
        name: of the serving thread.
        port: 0 for any that is free.
        threads: requests that may be under way at once; one that streams holds a thread.
        host: address to listen on.
        wrap: what the listening socket becomes.
        options: waitress' own adjustments.

    Raises:
        OSError: the port is taken.
    """

    def __init__(
        self,
        app: Wsgi,
        *,
        name: str,
        port: int = 0,
        threads: int,
        host: str = "127.0.0.1",
        wrap: Callable[[socket.socket], socket.socket] = lambda listener: listener,
        **options: Any,
    ) -> None:
        listener = wrap(socket.create_server((host, port), backlog=256))
        self.address: tuple[str, int] = listener.getsockname()[:2]
        self.url = f"http://{self.address[0]}:{self.address[1]}"
        self._sockets: dict[int, socket.socket] = {}
        self._server = cast(  # one listening socket makes one server
            TcpWSGIServer,
            create_server(app, map=self._sockets, sockets=[listener], threads=threads, **options),
        )
        self._leaving = threading.Event()
        self._loop = threading.Thread(target=self._run, name=name, daemon=True)
        self._loop.start()

    def stop(self) -> None:
        """Answer nobody any more, free the port; returns when that is done."""
        self._server.task_dispatcher.shutdown(timeout=1)
        self._leaving.set()
        with contextlib.suppress(OSError):  # the loop may have seen it by itself, and closed the trigger
            self._server.pull_trigger()
        self._loop.join()

    def _run(self) -> None:
        # Instead of waitress' own `run`, which only a signal ends. Polled, because select() knows 1,024 files only.
        while not self._leaving.is_set():
            wasyncore.loop(timeout=30.0, use_poll=True, map=self._sockets, count=1)
        wasyncore.close_all(self._sockets, ignore_all=True)
