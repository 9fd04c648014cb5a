"""The base tree: where its packages come from, and what is in it."""

from pathlib import Path

import pytest

from bot.core.errors import Permanent
from bot.local.vers import base_tree
from bot.local.vers.layout import Layout
from bot.local.vers.server import Running
from tests.local.vers.conftest import Api

ONE_LINE = """
# deb http://commented.example/debian bookworm main
deb [arch=amd64 signed-by=/usr/share/keyrings/x.gpg] http://mirror.example/debian bookworm main contrib
deb-src http://mirror.example/debian bookworm main
deb http://apt.example/pub/repos bookworm-pgdg main
deb https://download.example/linux/debian bookworm stable
deb http://mirror.example/debian bullseye main
"""
DEB822 = """Types: deb deb-src
URIs: http://mirror.example/debian
# the updates too
Suites: bookworm bookworm-updates
Components: main non-free-firmware
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: https://deb.example/node_20.x
Suites: nodistro
Components: main

Enabled: no
Types: deb
URIs: http://off.example/debian
Suites: bookworm-security
Components: main
"""


def test_only_debians_own_sources_of_the_release(tmp_path: Path) -> None:
    """The host's mirrors are used, other vendors' archives are not."""
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / "sources.list").write_text(ONE_LINE)
    (tmp_path / "sources.list.d" / "debian.sources").write_text(DEB822)
    (tmp_path / "sources.list.d" / "old.list.save").write_text(ONE_LINE)
    assert base_tree.debian_sources(tmp_path) == [
        "deb http://mirror.example/debian bookworm main",
        "deb http://mirror.example/debian bookworm main",
        "deb http://mirror.example/debian bookworm-updates main",
    ]


def test_a_host_without_debian_sources(tmp_path: Path) -> None:
    """Leaves the choice to mmdebstrap."""
    assert base_tree.debian_sources(tmp_path) == []


def test_a_failed_build_says_why_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last lines of mmdebstrap are the message."""
    program = tmp_path / "bin" / "mmdebstrap"
    program.parent.mkdir()
    # The target is the last argument, or stands before the "-" that says where the sources come from.
    program.write_text(
        '#!/bin/sh\nfor each; do [ "$each" = - ] || target=$each; done\n'
        'mkdir -p "$target/etc"; echo "E: no such mirror" >&2; exit 25\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=":")
    layout = Layout.in_cache(tmp_path / "cache")
    with pytest.raises(Permanent, match="no such mirror"):
        base_tree.ensure(layout, lambda _: None)
    assert list(layout.bases.iterdir()) == []


@pytest.mark.machines
def test_what_a_fresh_machine_has(api: Api, local_vers: Running) -> None:
    """Programs of the default image, the host's trust, no key material before its first boot."""
    vm = api.new_root()
    api.out(vm, "which tmux python3 pip3 git curl wget ps ip mount sshd && python3 -m venv --help")
    assert (
        api.read(vm, "/etc/ssl/certs/ca-certificates.crt")
        == Path("/etc/ssl/certs/ca-certificates.crt").read_bytes()
    )
    other = api.new_root()
    key = "/etc/ssh/ssh_host_ed25519_key.pub"
    assert api.read(vm, key) != api.read(other, key)
    assert not list(local_vers.ca_file.parent.parent.glob("base/*/etc/ssh/ssh_host_*"))
    api.delete(vm, other)
