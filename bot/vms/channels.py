"""Channels of an SSH connection: a command's session, a forwarded connection; and what paramiko's errors mean to us."""

import ssl
import threading
from contextlib import suppress

import paramiko

from bot.core.errors import Transient, TranslationTable, Unauthentic, translate
from bot.core.models import VmId
from bot.vms.shell import LineLost

FOREIGN: TranslationTable = {
    ssl.SSLCertVerificationError: Unauthentic,
    paramiko.BadHostKeyException: Unauthentic,
    paramiko.AuthenticationException: Transient,  # right after boot the key may not be in place yet
    paramiko.SSHException: Transient,
    EOFError: Transient,
    OSError: Transient,  # includes ssl.SSLError and timeouts
}


class SshSession:
    """Implements `vms.shell.Session` over one channel. Its place among the line's sessions is free after `close`."""

    def __init__(self, vm: VmId, channel: paramiko.Channel, slots: threading.BoundedSemaphore) -> None:
        self._vm = vm
        self._channel = channel
        self._slots = slots
        self._open = True

    def read(self) -> bytes | None:
        try:
            return self._channel.recv(1 << 16)
        except TimeoutError:
            return None

    def read_error(self) -> bytes | None:
        try:
            return self._channel.recv_stderr(1 << 16)
        except TimeoutError:
            return None

    def pending_error(self) -> bytes:
        return self._channel.recv_stderr(1 << 16) if self._channel.recv_stderr_ready() else b""

    def write(self, data: memoryview) -> int:
        try:
            return self._channel.send(bytes(data[: 1 << 18]))
        except TimeoutError:
            return 0
        except tuple(FOREIGN):
            return -1

    def end_input(self) -> None:
        with suppress(*FOREIGN):  # the session may be over, which its reads tell
            self._channel.shutdown_write()

    def exit_status(self, timeout_s: float) -> int | None:
        if not self._channel.status_event.wait(timeout_s) and not self._channel.closed:
            return None
        status = self._channel.exit_status
        if status < 0:  # what paramiko has when the channel closed without one
            raise LineLost(f"the line to {self._vm} broke before the command ended")
        return status

    def close(self) -> None:
        if self._open:
            self._open = False
            hang_up(self._channel)
            self._slots.release()


def hang_up(channel: paramiko.Channel) -> None:
    """Close a channel. Its farewell to the other side may find the line dead, which then is no matter."""
    with suppress(*FOREIGN):
        channel.close()


class Stream:
    """Implements `vms.forward.Stream`: a forwarded connection whose foreign errors are `Transient`."""

    def __init__(self, channel: paramiko.Channel) -> None:
        self._channel = channel

    def recv(self, nbytes: int, /) -> bytes:
        with translate(FOREIGN, "reading a forwarded connection"):
            return self._channel.recv(nbytes)

    def sendall(self, data: bytes, /) -> None:
        with translate(FOREIGN, "writing a forwarded connection"):
            self._channel.sendall(data)

    def shutdown_write(self) -> None:
        with translate(FOREIGN, "ending a forwarded connection"):
            self._channel.shutdown_write()

    def close(self) -> None:
        hang_up(self._channel)
