"""The Debian tree under every machine: built once by mmdebstrap into the cache, named by the hash of its recipe.

It stands for Vers' fresh Ubuntu machine. The host's own root file system is never shown to a machine, and nothing is
installed on the host.
"""

import hashlib
import json
import os
import re
import shutil
import subprocess
from collections import deque
from collections.abc import Callable
from pathlib import Path

from bot.core.errors import Permanent
from bot.local.vers.layout import Layout, locked

Progress = Callable[[str], None]

RELEASE = "bookworm"
PACKAGES = [
    "openssh-server",
    "tmux",
    "python3",
    "python3-venv",
    "python3-pip",
    "git",
    "curl",
    "wget",
    "procps",
    "iproute2",
    "ca-certificates",
    "mount",
    "util-linux",
]
CA_BUNDLE = "etc/ssl/certs/ca-certificates.crt"

# sshd under a loop, as systemd restarts it on the real machine; the shell is pid 1, so it also reaps orphans.
# A machine that starts from Vers' default image makes its host keys here, once; clones share those of their image.
INIT = """#!/bin/sh
mkdir -p /run/sshd /run/lock
[ "$1" = fresh-host-keys ] && rm -f /etc/ssh/ssh_host_*
[ -e /etc/ssh/ssh_host_ed25519_key ] || ssh-keygen -A
while :; do /usr/sbin/sshd -D -e; sleep 1; done
"""
SSHD = """PermitRootLogin prohibit-password
PasswordAuthentication no
UseDNS no
AuthorizedKeysFile .ssh/authorized_keys /run/vers/authorized_keys
"""
ENVIRONMENT = f"""PATH="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
NODE_EXTRA_CA_CERTS="/{CA_BUNDLE}"
SSL_CERT_FILE="/{CA_BUNDLE}"
PIP_CERT="/{CA_BUNDLE}"
"""
FILES = {
    "sbin/init": (INIT, 0o755),
    "etc/ssh/sshd_config.d/vers.conf": (SSHD, 0o644),
    "etc/environment": (ENVIRONMENT, 0o644),
    "etc/hosts": ("127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n", 0o644),
    "etc/hostname": ("vers\n", 0o644),
    "etc/resolv.conf": ("", 0o644),  # no name resolves in a machine
    "etc/machine-id": ("", 0o644),
}
DPKG_OPTIONS = (
    "path-exclude=/usr/share/man/*",
    "path-exclude=/usr/share/doc/*",
    "path-include=/usr/share/doc/*/copyright",
    "path-exclude=/usr/share/locale/*",
    "force-unsafe-io",
)


def ensure(layout: Layout, progress: Progress) -> Path:
    """The base tree, built first if the cache has none of this recipe (about a minute, 400 MB).

    Safe to call from several processes at once: one builds, the others wait.

    Raises:
        Permanent: mmdebstrap is missing or failed; the message carries its last lines.
    """
    bundle = _host_bundle()
    tree = layout.bases / _recipe_hash(bundle)
    if tree.exists():
        return tree
    with locked(layout.root / "base.lock"):
        if not tree.exists():
            building = layout.bases / f".building-{tree.name}"
            _remove(building)
            progress("building the machines' base tree with mmdebstrap (once, about a minute)")
            _bootstrap(building, progress)
            _furnish(building, bundle)
            building.rename(tree)
            progress("base tree is ready")
    return tree


def _recipe_hash(bundle: bytes) -> str:
    recipe = json.dumps([RELEASE, PACKAGES, FILES, DPKG_OPTIONS], sort_keys=True).encode() + bundle
    return hashlib.sha256(recipe).hexdigest()[:12]


def _host_bundle() -> bytes:
    """What the host trusts, a company's own authority included. Empty on a host without ca-certificates."""
    path = Path("/", CA_BUNDLE)
    return path.read_bytes() if path.exists() else b""


def _bootstrap(target: Path, progress: Progress) -> None:
    if os.geteuid() != 0:
        raise Permanent("building the machines' base tree needs root: run this as root or with sudo")
    if not shutil.which("mmdebstrap"):
        raise Permanent("mmdebstrap is missing: apt-get install mmdebstrap")
    # Processes and mounts, all of it ends with us, even when we are killed
    command = ["setpriv", "--pdeathsig", "KILL"]
    command += ["unshare", "--mount", "--pid", "--mount-proc", "--fork", "--kill-child"]
    command += ["mmdebstrap", "--mode=root", "--variant=minbase", f"--include={','.join(PACKAGES)}"]
    command += [f"--dpkgopt={option}" for option in DPKG_OPTIONS]
    command += [f"--aptopt={option}" for option in _host_apt_options()]
    command += [RELEASE, str(target)]
    sources = debian_sources(Path("/etc/apt"))
    if sources:
        command.append("-")
    last: deque[str] = deque(maxlen=15)
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as running:
        assert running.stdin is not None and running.stdout is not None  # noqa: S101, PT018  # pipes were asked for
        running.stdin.write("".join(f"{line}\n" for line in sources))
        running.stdin.close()
        for line in running.stdout:
            last.append(line.rstrip())
            if line.startswith("I:"):
                progress(f"base tree: {line[2:].strip()}")
    if running.returncode:
        _remove(target)
        raise Permanent("mmdebstrap failed; its last lines:\n" + "\n".join(last))


def _host_apt_options() -> list[str]:
    """The host's proxies and clock tolerance, without which its mirrors may not answer."""
    dump = subprocess.run(["apt-config", "dump"], capture_output=True, text=True, check=False).stdout
    wanted = re.compile(r'^Acquire::(https?::Proxy.*|Check-Valid-Until|Check-Date) "[^"]+";$')
    return [line for line in dump.splitlines() if wanted.match(line)]


def debian_sources(folder: Path) -> list[str]:
    """The lines of an /etc/apt for Debian's own archive of our release; other vendors' sources are left out.

    Reads one-line and deb822 files. An empty list means mmdebstrap's default mirror.
    """
    found: list[str] = []
    for path in [folder / "sources.list", *sorted((folder / "sources.list.d").glob("*"))]:
        if path.suffix == ".sources":
            found += _deb822(path.read_text())
        elif path.suffix == ".list" and path.exists():
            found += _one_line(path.read_text())
    return found


def _ours(suite: str, components: list[str]) -> bool:
    # "bookworm-pgdg main" and "bookworm stable" are other vendors' archives
    return suite in {RELEASE, f"{RELEASE}-updates", f"{RELEASE}-security"} and "main" in components


def _one_line(text: str) -> list[str]:
    found = []
    for line in text.splitlines():
        words = re.sub(r"\[[^]]*\]", "", line.partition("#")[0]).split()
        if len(words) > 3 and words[0] == "deb" and _ours(words[2], words[3:]):
            found.append(f"deb {words[1]} {words[2]} main")
    return found


def _deb822(text: str) -> list[str]:
    found = []
    for stanza in re.split(r"\n\s*\n", text):
        field = {
            name.lower(): value.split()
            for name, value in re.findall(r"(?m)^([A-Za-z-]+):[ \t]*(.*)$", stanza)
        }
        if "deb" not in field.get("types", []) or field.get("enabled") == ["no"]:
            continue
        suites = [suite for suite in field.get("suites", []) if _ours(suite, field.get("components", []))]
        found += [f"deb {uri} {suite} main" for uri in field.get("uris", []) for suite in suites]
    return found


def _furnish(tree: Path, bundle: bytes) -> None:
    for name, (content, mode) in FILES.items():
        path = tree / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.write_text(content)
        path.chmod(mode)
    if bundle:
        (tree / CA_BUNDLE).write_bytes(bundle)
    for key in (tree / "etc/ssh").glob("ssh_host_*"):
        key.unlink()
    pam = tree / "etc/pam.d/sshd"  # there is no audit login id to set in a pid namespace
    pam.write_text(re.sub(r"required(\s+pam_loginuid)", r"optional\1", pam.read_text()))


def _remove(tree: Path) -> None:
    if tree.exists():
        subprocess.run(["rm", "-rf", "--one-file-system", str(tree)], check=True)
