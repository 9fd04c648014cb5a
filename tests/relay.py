"""What stands between us and a machine: passes connections on, until it is told not to."""

import socket
import threading
from contextlib import suppress


class Relay:
    """Passes connections on to a front until they are cut."""

    def __init__(self, front: str) -> None:
        host, _, port = front.rpartition(":")
        self._target = (host.strip("[]"), int(port))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        self._clear = threading.Event()
        self._clear.set()
        self.muted = False
        """Connections stay open, and nothing gets through them any more; not later either."""
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
                front = socket.create_connection(self._target)
            except OSError:
                return
            self._open += [client, front]
            for source, target in ((client, front), (front, client)):
                threading.Thread(target=self._copy, args=(source, target), daemon=True).start()

    def _copy(self, source: socket.socket, target: socket.socket) -> None:
        lost = False
        try:
            while data := source.recv(65536):
                self._clear.wait()
                lost = lost or self.muted  # the rest of a stream with a hole in it is no use to anybody
                if not lost:
                    target.sendall(data)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def hold(self) -> None:
        """As when packets are lost and sent again: nothing gets through for a while, and nothing is lost."""
        self._clear.clear()

    def release(self) -> None:
        """What was held arrives."""
        self._clear.set()

    def cut(self) -> None:
        """End all connections that there are."""
        for sock in self._open:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        self._open.clear()

    def close(self) -> None:
        """End all, and take no more."""
        self.release()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()
