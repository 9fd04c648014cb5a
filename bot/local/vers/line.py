"""The server's line to its lab: starts it, sends requests with descriptors, sees it end."""

import json
import secrets
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bot
from bot.core.errors import Permanent
from bot.local.vers.layout import Layout

_STOP_LIMIT_S = 20.0
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class LabError(Exception):
    """The lab refused. `errno` is the system's number for it, 0 if there is none."""

    def __init__(self, message: str, errno: int) -> None:
        super().__init__(message)
        self.errno = errno


@dataclass(frozen=True, slots=True)
class LabLine:
    """A running lab. Safe to use from several threads.

    Attributes:
        run: name of this server's folder below the layout's root.
        prefix: the /64 of its machines, without the last "::".
    """

    run: str
    prefix: str
    _control: socket.socket
    _launcher: subprocess.Popen[bytes]

    @classmethod
    def start(cls, layout: Layout, run: str, lock: int) -> "LabLine":
        """Start a lab as a process of its own.

        Args:
            layout: where layers and machines are.
            run: name of the run's folder, which exists.
            lock: descriptor of the run's lock; the launcher keeps a copy until everything is swept.

        Raises:
            Permanent: namespaces, mounts or the network were refused.
        """
        digits = "fd" + secrets.token_hex(7)
        prefix = ":".join(digits[start : start + 4] for start in range(0, 16, 4))
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs, (layout.root / run / "lab.log").open("wb") as log:
            launcher = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "bot.local.vers.lab",
                    str(theirs.fileno()),
                    str(layout.root),
                    run,
                    prefix,
                ],
                pass_fds=(theirs.fileno(), lock),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=layout.root,
                env={"PATH": _PATH, "PYTHONPATH": str(Path(bot.__file__).parents[1])},
                start_new_session=True,  # a Ctrl-C is for the server, which then stops the lab
            )
        said = ours.recv(4096).decode()
        if said != "ok":
            launcher.wait()
            ours.close()
            raise Permanent(f"the lab of the local machines did not start: {said or 'it died'}")
        return cls(run, prefix, ours, launcher)

    def request(self, op: str, fds: tuple[int, ...] = (), **request: Any) -> tuple[dict[str, Any], list[int]]:
        """Ask and wait for the answer; the caller owns the returned descriptors.

        Raises:
            LabError: the operation failed, or the lab is gone.
        """
        ours, theirs = socket.socketpair()
        with ours:
            try:
                with theirs:
                    socket.send_fds(self._control, [b"r"], [theirs.fileno()])
                payload = json.dumps({"op": op, **request}).encode() + b"\n"
                sent = socket.send_fds(ours, [payload], fds)
                if sent < len(payload):  # an empty send would fail when the answer has come already
                    ours.sendall(payload[sent:])
                data, received, _, _ = socket.recv_fds(ours, 65536, 4)
                while data and not data.endswith(b"\n"):
                    more = ours.recv(65536)
                    data = data + more if more else b""
            except OSError as error:
                raise LabError(f"the lab is gone: {error}", 0) from error
        if not data:
            raise LabError("the lab is gone", 0)
        reply = json.loads(data)
        if "error" in reply:
            raise LabError(reply["error"], reply["errno"])
        return reply, received

    def dial(self, address: str, port: int) -> socket.socket:
        """A connection to a machine's port, made inside the lab's network.

        Raises:
            LabError: refused or not answered within 5 s.
        """
        _, fds = self.request("dial", address=address, port=port)
        return socket.socket(fileno=fds[0])

    def stop(self) -> None:
        """End the lab and everything in it, and wait until its launcher has swept."""
        self._control.close()
        try:
            self._launcher.wait(_STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            self._launcher.kill()
            self._launcher.wait()
