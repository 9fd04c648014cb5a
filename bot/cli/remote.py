"""`swarm-bot vm exec` and `vm ssh`: a program on a machine as if it ran here, its exit status ours."""

import os
import secrets
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path

from bot.cli.place import Place
from bot.cli.processes import swarm_bot
from bot.cli.world import child_environment
from bot.core.errors import UserError, translate
from bot.core.models import VmId
from bot.vms import commands, tls
from bot.vms.channels import FOREIGN

_CHUNK_BYTES = 1 << 16
_DIAL_TIMEOUT_S = 15.0


def script_of(words: Sequence[str]) -> str:
    """Several words are a program and its arguments, exactly; a single one is a line for the shell."""
    return words[0] if len(words) == 1 else shlex.join(words)


def execute(place: Place, vm: VmId, words: Sequence[str], *, timeout_s: float, read_stdin: bool) -> int:
    """Run a command with our standard streams; its exit status. Ctrl-C and SIGTERM end it there, too."""
    pid_file = f"/run/swarm-exec-{secrets.token_hex(6)}"
    shell = place.connect(vm)
    try:
        signal.signal(signal.SIGTERM, _interrupt)
        try:
            return shell.attach(
                commands.stoppable(script_of(words), timeout_s, pid_file),
                stdin=(lambda: os.read(0, _CHUNK_BYTES)) if read_stdin else None,
                stdout=lambda data: _write_all(1, data),
                stderr=lambda data: _write_all(2, data),
            )
        except KeyboardInterrupt:
            shell.run(commands.stop(pid_file), check=False)
            return 130
    finally:
        shell.close()


def login(place: Place, vm: VmId, words: Sequence[str]) -> int:
    """OpenSSH on the machine, over our verified TLS and with the host key that the provider knows; its exit status."""
    key = place.vers.ssh_key(vm)
    name = f"{vm}.{place.settings.vers_vm_domain}"
    with tempfile.TemporaryDirectory(prefix="swarm-ssh-") as folder:
        identity, known = Path(folder, "key"), Path(folder, "known_hosts")
        identity.touch(mode=0o600)
        identity.write_text(key.private_key)
        known.write_text(f"{name} {key.host_key}\n")
        options = {
            "ProxyCommand": shlex.join(swarm_bot("vm", "line", vm)),
            "UserKnownHostsFile": str(known),
            "GlobalKnownHostsFile": "none",
            "StrictHostKeyChecking": "yes",
            "HostKeyAlgorithms": key.host_key.split()[0],
            "IdentitiesOnly": "yes",
            "ServerAliveInterval": "10",
            "LogLevel": "ERROR",
        }
        flags = [word for name_, value in options.items() for word in ("-o", f"{name_}={value}")]
        remote = [shlex.join(words)] if len(words) > 1 else list(words)
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for what runs there
        try:
            return subprocess.run(
                ["ssh", "-F", "none", "-i", str(identity), *flags, f"root@{name}", *remote],
                env=child_environment(place.settings),
                check=False,
            ).returncode
        except FileNotFoundError as error:
            raise UserError("`swarm-bot vm ssh` needs OpenSSH's client: install openssh-client.") from error
        finally:
            signal.signal(signal.SIGINT, before)


def line(place: Place, vm: str) -> None:
    """Standard input and output as one TLS connection to a machine's sshd, its certificate checked: for OpenSSH."""
    settings = place.settings
    name = f"{vm}.{settings.vers_vm_domain}"
    host, _, port = settings.vers_front.replace("{vm}", name).rpartition(":")
    with translate(FOREIGN, f"connecting to {vm}"):
        context = tls.verifying_context(settings.vers_ca_file)
        secure = tls.dial(host.strip("[]"), int(port), name, context, _DIAL_TIMEOUT_S)
        pump = tls.Pump(secure, silence_s=3600.0, ended=lambda: None)
        threading.Thread(target=_feed, args=(pump.end,), daemon=True).start()
        while data := pump.end.recv(_CHUNK_BYTES):
            _write_all(1, data)


def _feed(sock: socket.socket) -> None:
    while data := os.read(0, _CHUNK_BYTES):
        sock.sendall(data)
    sock.close()


def _write_all(descriptor: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def _interrupt(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt


def leave(status: int) -> None:
    """End with a status, without waiting for a thread that reads our standard input."""
    sys.stdout.flush()
    sys.stderr.flush()
    raise SystemExit(status)
