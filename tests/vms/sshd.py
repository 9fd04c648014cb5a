"""A small SSH server inside TLS that runs real commands on this machine: what a machine's front and sshd look like."""

import datetime as dt
import os
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import paramiko
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.x509.oid import NameOID

from bot.core.errors import NotFound
from bot.core.models import VmId
from bot.vms.base import Provider, SshKey, VmInfo, VmState
from bot.vms.channels import Stream
from bot.vms.forward import serve
from bot.vms.tls import Pump

DOMAIN = "vm.test"


def certificate(folder: Path, name: str) -> Path:
    """A self-signed certificate with its key in one PEM file; it serves as its own authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    day = dt.timedelta(days=1)
    made = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number(), now - day, now + day)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    path = folder / f"{name}.pem"
    path.write_bytes(
        made.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return path


def new_key() -> tuple[str, str]:
    """An Ed25519 pair: private as OpenSSH PEM, public as "ssh-ed25519 AAAA…"."""
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    return private.decode(), public.decode()


@dataclass
class KeyDesk:
    """The part of a provider that a connector uses: keys and whether the machine exists."""

    ssh: SshKey
    exists: bool = True

    def ssh_key(self, vm: VmId) -> SshKey:
        return self.ssh

    def status(self, vm: VmId) -> VmInfo:
        if not self.exists:
            raise NotFound(f"no machine {vm}")
        return VmInfo(vm, VmState.RUNNING)

    @property
    def provider(self) -> Provider:
        return cast(Provider, self)


@dataclass
class TlsSshd:
    """The running server. `cut` breaks all connections."""

    pem: Path
    host_key: paramiko.PKey
    client_public: str
    listener: socket.socket = field(default_factory=lambda: socket.create_server(("127.0.0.1", 0)))
    taken: list[socket.socket] = field(default_factory=list)
    transports: list[paramiko.Transport] = field(default_factory=list)
    refusing: bool = False
    pids: list[int] = field(default_factory=list)

    @property
    def front(self) -> str:
        return f"127.0.0.1:{self.listener.getsockname()[1]}"

    def serve(self) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.pem)
        while True:
            try:
                plain, _ = self.listener.accept()
            except OSError:
                return
            if self.refusing:
                plain.close()
                continue
            threading.Thread(target=self._connection, args=(plain, context), daemon=True).start()

    def _connection(self, plain: socket.socket, context: ssl.SSLContext) -> None:
        try:
            secure = context.wrap_socket(plain, server_side=True)
        except OSError:
            return  # the client did not like the certificate
        self.taken.append(secure)
        pump = Pump(secure, silence_s=3600, ended=lambda: None)
        transport = paramiko.Transport(pump.end)
        transport.add_server_key(self.host_key)
        self.transports.append(transport)
        with suppress(paramiko.SSHException, EOFError):  # the client may not like the host key
            transport.start_server(server=_Server(self, transport))

    def cut(self) -> None:
        for sock in self.taken:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        self.taken.clear()

    def close(self) -> None:
        self.listener.close()
        self.cut()
        for transport in self.transports:
            transport.close()


class _Server(paramiko.ServerInterface):
    def __init__(self, sshd: TlsSshd, transport: paramiko.Transport) -> None:
        self._sshd = sshd
        self._transport = transport
        self._listeners: dict[int, socket.socket] = {}

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        known = f"{key.get_name()} {key.get_base64()}" == self._sshd.client_public
        return paramiko.AUTH_SUCCESSFUL if known and username == "root" else paramiko.AUTH_FAILED

    def get_allowed_auths(self, username: str) -> str:
        return "publickey"

    def check_channel_request(self, kind: str, chanid: int) -> int:
        return paramiko.OPEN_SUCCEEDED

    def check_channel_exec_request(self, channel: paramiko.Channel, command: bytes) -> bool:
        ran = subprocess.Popen(
            ["bash", "-c", command.decode()], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )  # fmt: skip
        self._sshd.pids.append(ran.pid)
        for target in (self._stdin, self._output):
            threading.Thread(target=target, args=(channel, ran), daemon=True).start()
        return True

    @staticmethod
    def _stdin(channel: paramiko.Channel, ran: "subprocess.Popen[bytes]") -> None:
        assert ran.stdin
        with suppress(OSError, EOFError, paramiko.SSHException), ran.stdin:  # cut, or the program ended first
            while data := channel.recv(65536):
                ran.stdin.write(data)
                ran.stdin.flush()

    @staticmethod
    def _output(channel: paramiko.Channel, ran: "subprocess.Popen[bytes]") -> None:
        def copy(source: Any, send: Callable[[bytes], None]) -> None:
            try:
                while data := os.read(source.fileno(), 65536):
                    send(data)
            except (OSError, EOFError, paramiko.SSHException):
                pass

        errors = threading.Thread(target=copy, args=(ran.stderr, channel.sendall_stderr), daemon=True)
        output = threading.Thread(target=copy, args=(ran.stdout, channel.sendall), daemon=True)
        errors.start(), output.start()
        status = ran.wait()
        with suppress(OSError, EOFError, paramiko.SSHException):
            channel.send_exit_status(status if status >= 0 else 128 - status)
            output.join(), errors.join()
            channel.close()

    def check_port_forward_request(self, address: str, port: int) -> int | bool:
        try:
            listener = socket.create_server((address, port))
        except OSError:
            return False
        threading.Thread(target=self._forward, args=(listener,), daemon=True).start()
        threading.Thread(target=self._unlisten, args=(listener,), daemon=True).start()
        return listener.getsockname()[1]

    def _forward(self, listener: socket.socket) -> None:
        own = listener.getsockname()
        while True:
            try:
                taken, origin = listener.accept()
            except OSError:
                return
            try:
                channel = self._transport.open_forwarded_tcpip_channel(origin, own)
            except (paramiko.SSHException, EOFError):
                taken.close()
                continue
            serve(Stream(channel), lambda taken=taken: taken)

    def _unlisten(self, listener: socket.socket) -> None:
        self._transport.join()
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


@contextmanager
def tls_sshd(folder: Path, vm: str) -> Iterator[tuple[TlsSshd, KeyDesk]]:
    """The server for one machine's name, and the desk that knows its keys."""
    private, public = new_key()
    host_private, host_public = new_key()
    host_file = folder / "host_key"
    host_file.write_text(host_private)
    sshd = TlsSshd(
        certificate(folder, f"{vm}.{DOMAIN}"),
        paramiko.Ed25519Key(filename=str(host_file)),
        public,
    )
    threading.Thread(target=sshd.serve, daemon=True).start()
    try:
        yield sshd, KeyDesk(SshKey(private, host_public))
    finally:
        sshd.close()
