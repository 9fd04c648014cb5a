"""SSH inside TLS: the line to one machine, and what opens it. The only room that knows paramiko."""

import logging
import threading
import time
from contextlib import closing
from pathlib import Path

import paramiko
import stamina

from bot.core.errors import (
    BotError,
    NotFound,
    Permanent,
    Transient,
    Unauthentic,
    translate,
)
from bot.core.models import VmId
from bot.vms import commands, tls
from bot.vms.base import Dial, Provider, SshKey, VmState
from bot.vms.channels import FOREIGN, SshSession, Stream
from bot.vms.forward import serve
from bot.vms.keys import private_key, public_key
from bot.vms.shell import LineLost, SshShell

__all__ = ["LineLost", "SshConnector", "SshLine", "SshShell"]
log = logging.getLogger(__name__)

_KEEPALIVE_S = 8.0
_SILENCE_S = 20.0
_STEP_TIMEOUT_S = 10.0
_STATUS_EVERY_S = 2.0
_SESSIONS = 9  # sshd allows 10 on a connection (MaxSessions); one stays free for ourselves
_SLOT_TIMEOUT_S = 120.0
_FORWARD_TRIES = 20


class Asleep(Transient):
    """The machine is paused: it answers when somebody resumes it, and not before."""


class SshConnector:
    """Implements `vms.base.Connect`: user root, the provider's key, the host key pinned as the provider reads it.

    The certificate is checked against the machine's own name, `{vm}.{vm_domain}`, whatever address is dialled.
    """

    def __init__(
        self,
        provider: Provider,
        *,
        vm_domain: str,
        front: str = "{vm}:443",
        ca_file: Path | None = None,
        patience_s: float = 30.0,
        silence_s: float = _SILENCE_S,
    ) -> None:
        """
        Args:
            provider: knows the keys, and whether a machine still exists.
            vm_domain: domain of the machines' host names.
            front: host:port to dial; {vm} stands for the machine's full host name.
            ca_file: certificate authorities to trust instead of the system's, PEM.
            patience_s: how long a lost line is dialled again before its user gets `Transient`.
            silence_s: a peer that says nothing for so long, although it is asked every 8 s, is dead.
        """
        self._provider = provider
        self._vm_domain = vm_domain
        self._front = front
        self._context = tls.verifying_context(ca_file)
        self._patience_s = patience_s
        self._silence_s = silence_s

    def __call__(self, vm: VmId, *, timeout_s: float = 60.0) -> SshShell:
        line = SshLine(vm, self, self._patience_s)
        try:
            line.connect(timeout_s)
        except BaseException:
            line.close()
            raise
        return SshShell(line)

    def key(self, vm: VmId) -> SshKey:
        return self._provider.ssh_key(vm)

    def check_alive(self, vm: VmId) -> None:
        """
        Raises:
            NotFound: the machine is gone.
            Asleep: nobody will answer until somebody resumes it.
        """
        state = self._provider.status(vm).state
        if state is VmState.DEAD:
            raise NotFound(f"machine {vm} is dead")
        if state in (VmState.PAUSED, VmState.SLEEPING):
            raise Asleep(f"machine {vm} is {state}")

    def open(self, vm: VmId, key: SshKey, ended: threading.Event) -> paramiko.Transport:
        """One try at a verified and authenticated connection. `ended` is set when it breaks."""
        name = f"{vm}.{self._vm_domain}"
        host, _, port = self._front.replace("{vm}", name).rpartition(":")
        with translate(FOREIGN, f"connecting to {vm}"):
            secure = tls.dial(host.strip("[]"), int(port), name, self._context, _STEP_TIMEOUT_S)
            pump = tls.Pump(secure, silence_s=self._silence_s, ended=ended.set)
            transport = paramiko.Transport(pump.end)
            try:
                self._authenticate(transport, vm, key)
            except BaseException:
                transport.close()
                pump.end.close()
                raise
            return transport

    def _authenticate(self, transport: paramiko.Transport, vm: VmId, key: SshKey) -> None:
        kind, pinned = public_key(key.host_key)
        options = transport.get_security_options()
        options.kex = [name for name in options.kex if name.startswith("curve25519")]
        if kind in options.key_types:
            options.key_types = [kind]  # the pinned kind, or sshd might show another of its keys
        transport.banner_timeout = _STEP_TIMEOUT_S
        transport.auth_timeout = _STEP_TIMEOUT_S
        transport.start_client(timeout=_STEP_TIMEOUT_S)
        if transport.get_remote_server_key().asbytes() != pinned:
            raise Unauthentic(f"the host key of {vm} is not the one that its provider knows")
        transport.auth_publickey("root", private_key(key.private_key))


class SshLine:
    """One connection to one machine, made again when it is needed. Implements `vms.shell.Line`. Thread-safe.

    A thread of its own asks the peer every few seconds whether it is there, and dials again when ports are
    forwarded: what runs in the machine depends on them.
    """

    def __init__(self, vm: VmId, connector: SshConnector, patience_s: float) -> None:
        self.vm = vm
        self._connector = connector
        self._patience_s = patience_s
        self._connecting = threading.RLock()
        self._asking = threading.Lock()  # paramiko has one place for the answer to a global request
        self._slots = threading.BoundedSemaphore(_SESSIONS)
        self._forwards: dict[int, Dial] = {}
        self._transport: paramiko.Transport | None = None
        self._key: SshKey | None = None
        self._ended = threading.Event()
        self._closed = False
        self._keeper: threading.Thread | None = None

    # The connection --------------------------------------------------------------------------------

    def connect(self, timeout_s: float) -> paramiko.Transport:
        """The living connection, made if there is none.

        Raises:
            Transient: not within `timeout_s`.
            Asleep: the machine is paused; it is not waited for.
            Permanent: the line was closed by us.
            NotFound: the machine is gone.
            Unauthentic: something else than the machine answers.
        """
        with self._connecting:
            if self._transport is not None and self._transport.is_active():
                return self._transport
            checked_at = time.monotonic()
            for attempt in stamina.retry_context(
                on=lambda error: isinstance(error, Transient) and not isinstance(error, Asleep),
                attempts=None, timeout=timeout_s,
                wait_initial=0.05, wait_max=1.0, wait_jitter=0.05, wait_exp_base=1.6,
            ):  # fmt: skip
                with attempt:
                    try:
                        self._transport = self._establish()
                    except (Transient, NotFound) as error:
                        if time.monotonic() - checked_at > _STATUS_EVERY_S or isinstance(error, NotFound):
                            self._connector.check_alive(self.vm)
                            checked_at = time.monotonic()
                        raise Transient(str(error)) from error
                    self._keep()
                    return self._transport
            raise AssertionError("the retry loop ends by returning or raising")

    def _establish(self) -> paramiko.Transport:
        self._check_open()
        if self._key is None:
            self._key = self._connector.key(self.vm)
        try:
            transport = self._dial(self._key)
        except Unauthentic:
            stale, self._key = self._key, self._connector.key(self.vm)
            if self._key == stale:
                raise
            # A clone that makes host keys of its own showed its parent's at first.
            transport = self._dial(self._key)
        try:
            for port in list(self._forwards):
                self._set_forward(transport, port)
            self._check_open()
        except BaseException:
            transport.close()
            raise
        return transport

    def _dial(self, key: SshKey) -> paramiko.Transport:
        self._ended = ended = threading.Event()
        return self._connector.open(self.vm, key, ended)

    def _check_open(self) -> None:
        if self._closed:
            raise Permanent(f"the line to {self.vm} was closed")

    def _keep(self) -> None:
        if self._keeper is None or not self._keeper.is_alive():
            self._keeper = threading.Thread(target=self._watch, name=f"keep {self.vm}", daemon=True)
            self._keeper.start()

    def _watch(self) -> None:
        while not self._closed:
            self._ended.wait(_KEEPALIVE_S)
            transport = self._transport
            if self._closed or transport is None:
                return
            if transport.is_active() and not self._ended.is_set():
                with self._asking:  # any answer will do: what counts is that the peer speaks
                    transport.global_request("keepalive@openssh.com", wait=True)
                continue
            transport.close()
            if not self._forwards:
                return  # the next command dials, and starts a watch again
            try:
                self.connect(self._patience_s)
            except Transient as error:
                log.warning("the line to %s is down: %s", self.vm, error)
            except BotError as error:
                log.warning("the line to %s is gone: %s", self.vm, error)
                return

    def close(self) -> None:
        self._closed = True  # whoever is dialling just now sees it, and hangs up: not waited for
        self._ended.set()
        if self._transport is not None:
            self._transport.close()

    # Commands --------------------------------------------------------------------------------------

    def session(self, command: str, *, poll_s: float) -> SshSession:
        """Start a command. `poll_s` is how long one read or write of the session waits.

        Raises:
            Transient: the line is down, or too many commands run at once.
            LineLost: the line broke while the command was being sent.
        """
        if not self._slots.acquire(timeout=_SLOT_TIMEOUT_S):
            raise Transient(f"{_SESSIONS} commands are running on {self.vm} already")
        try:
            channel = self._channel()
            try:
                channel.settimeout(poll_s)
                channel.exec_command(command)
            except tuple(FOREIGN) as error:
                channel.close()
                raise LineLost(f"sending a command to {self.vm}: {error}") from error
        except BaseException:
            self._slots.release()
            raise
        return SshSession(self.vm, channel, self._slots)

    def _channel(self) -> paramiko.Channel:
        for last in (False, True):
            transport = self.connect(self._patience_s)
            try:
                return transport.open_session(timeout=_STEP_TIMEOUT_S)
            except paramiko.ChannelException as error:  # sshd itself refuses: the line is fine
                raise Transient(f"{self.vm} opens no further session: {error}") from error
            except tuple(FOREIGN) as error:
                transport.close()  # dead without knowing it: dial again, once
                if last:
                    raise Transient(f"opening a session on {self.vm}: {error}") from error
        raise AssertionError("unreachable: the second try returns or raises")

    # Forwarded ports -------------------------------------------------------------------------------

    def forward(self, vm_port: int, dial: Dial) -> None:
        with self._connecting:
            known = vm_port in self._forwards
            transport = self.connect(self._patience_s)
            self._forwards[vm_port] = dial
            if not known:
                try:
                    self._set_forward(transport, vm_port)
                except BaseException:
                    del self._forwards[vm_port]
                    raise

    def _set_forward(self, transport: paramiko.Transport, port: int) -> None:
        # Paramiko stores its handler after the answer, and refuses a connection that comes in between.
        transport._tcp_handler = self._incoming  # type: ignore[attr-defined]  # noqa: SLF001
        with translate(FOREIGN, f"forwarding port {port} of {self.vm}"):
            for attempt in stamina.retry_context(
                on=paramiko.SSHException, attempts=_FORWARD_TRIES, timeout=10.0, wait_initial=0.05, wait_max=0.5,
                wait_jitter=0.0,
            ):  # fmt: skip
                with attempt:
                    if attempt.num > 1:
                        # Refused: after a break without a word, sshd's old process still listens. Waited for, or
                        # it would strike the new one.
                        with closing(transport.open_session(timeout=_STEP_TIMEOUT_S)) as channel:
                            channel.exec_command(commands.free_port(port))
                            channel.status_event.wait(_STEP_TIMEOUT_S)
                    with self._asking:
                        transport.request_port_forward("127.0.0.1", port, self._incoming)

    def _incoming(self, channel: paramiko.Channel, _origin: tuple[str, int], server: tuple[str, int]) -> None:
        dial = self._forwards.get(server[1])  # paramiko has one handler for all ports of a connection
        channel.close() if dial is None else serve(Stream(channel), dial)
