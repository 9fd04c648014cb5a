"""The guide's way to a machine: OpenSSH through `openssl s_client`, a new connection for every command, nobody verified.

Sources: vers-vm.ts and vers-swarm.ts of pi-v, as of February 2026.
"""

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx

from bot.cli.processes import WITH_PARENT
from bot.core.errors import Transient
from bot.core.models import VmId
from bot.settings import Settings

_OPTIONS = (
    "BatchMode=yes", "StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR", "ConnectTimeout=30",
    "IdentitiesOnly=yes", "ServerAliveInterval=15", "ServerAliveCountMax=4",
)  # fmt: skip
_LIMIT_S = 300.0


@dataclass(frozen=True, slots=True)
class OpenSsh:
    """`ssh` and `scp` to the machines of an account. `folder` holds the keys."""

    settings: Settings
    folder: Path

    def fetch_key(self, vm: VmId) -> None:
        """Ask the API for a machine's key and keep it in a file."""
        bearer = self.settings.vers_api_key.get_secret_value()
        answer = httpx.get(
            f"{self.settings.vers_url}/api/v1/vm/{vm}/ssh_key",
            headers={"authorization": f"Bearer {bearer}"},
            timeout=60.0,
        )
        file = self.folder / f"{vm}.pem"
        file.touch(mode=0o600)
        file.write_text(answer.raise_for_status().json()["ssh_private_key"])

    def run(
        self, vm: VmId, command: str, *, stdin: bytes = b"", options: Sequence[str] = ()
    ) -> subprocess.CompletedProcess[bytes]:
        """One command on a connection of its own; what it exits with is not looked at, as in the guide."""
        words = [*WITH_PARENT, "ssh", *self._options(vm, *options), f"root@{vm}", command]
        return subprocess.run(words, input=stdin, capture_output=True, timeout=_LIMIT_S, check=False)

    def copy(self, vm: VmId, source: Path, target: str) -> None:
        """A file or a folder to a machine, by `scp`.

        Raises:
            Transient: it failed.
        """
        words = [*WITH_PARENT, "scp", "-r", *self._options(vm), str(source), f"root@{vm}:{target}"]
        done = subprocess.run(
            words, stdin=subprocess.DEVNULL, capture_output=True, timeout=_LIMIT_S, check=False
        )
        if done.returncode:
            raise Transient(f"scp {source.name}: {done.stderr.decode(errors='replace').strip()}")

    def follow(self, vm: VmId, path: str) -> subprocess.Popen[bytes]:
        """The lines of a growing file, on a connection that stays."""
        words = [*WITH_PARENT, "ssh", *self._options(vm), f"root@{vm}", f"tail -f -n +1 {path}"]
        return subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )

    def open_master(self, vm: VmId) -> subprocess.Popen[bytes]:
        """A connection that later commands with `master_of` share."""
        words = [*WITH_PARENT, "ssh", "-M", "-N", *self._options(vm, *self.master_of(vm)), f"root@{vm}"]
        return subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    def master_of(self, vm: VmId) -> tuple[str, ...]:
        """The options by which a command uses the machine's open connection."""
        return (f"ControlPath={self.folder}/{vm[:8]}",)

    def _options(self, vm: VmId, *more: str) -> list[str]:
        name = f"{vm}.{self.settings.vers_vm_domain}"
        front = self.settings.vers_front.replace("{vm}", name)
        proxy = f"ProxyCommand=openssl s_client -connect {front} -servername {name} -quiet 2>/dev/null"
        options = [word for option in (*_OPTIONS, proxy, *more) for word in ("-o", option)]
        return ["-i", str(self.folder / f"{vm}.pem"), *options]
