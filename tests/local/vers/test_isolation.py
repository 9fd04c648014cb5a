"""What a machine sees of the world: itself."""

import http.server
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.local.vers.conftest import Api
from tests.waiting import wait_until

pytestmark = pytest.mark.machines

CONNECT = """
python3 - <<'X'
import socket, sys
try:
    socket.create_connection(({host!r}, {port}), 2)
except OSError as error:
    print(type(error).__name__)
    sys.exit(7)
X
"""


@pytest.fixture
def host_services() -> Iterator[list[tuple[str, int]]]:
    """Services of the host on all its addresses, and on loopback alone."""
    servers = [
        http.server.ThreadingHTTPServer((address, 0), http.server.SimpleHTTPRequestHandler)
        for address in ("0.0.0.0", "127.0.0.1")
    ]
    for server in servers:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))  # sends nothing; tells the host's own address
        own = probe.getsockname()[0]
    yield [(own, servers[0].server_port), ("127.0.0.1", servers[1].server_port)]
    for server in servers:
        server.shutdown()
        server.server_close()


def test_only_own_processes(api: Api, shared: str) -> None:
    """A machine's process list holds its init, its sshd and what it runs itself."""
    names = api.out(shared, "ps -eo comm=").split()
    assert set(names) <= {"init", "sshd", "sh", "ps", "ssh-keygen", "sleep"}
    assert api.out(shared, "ps -o comm= -p 1").strip() == "init"


def test_no_host_file(api: Api, shared: str, tmp_path: Path) -> None:
    """No path of the host leads anywhere inside, not even through /proc."""
    secret = tmp_path / "secret"
    secret.write_text("of the host")
    code = Path(__file__).resolve()
    for path in (secret, code, *(f"/proc/{pid}/root{code}" for pid in ("1", "self"))):
        assert api.run(shared, f"test -e {path}")["exit_code"] == 1, path
    assert "overlay on / " in api.out(shared, "mount")
    assert str(api.vers.ca_file.parent.parent) not in api.out(shared, "cat /proc/self/mountinfo")


def test_hostname_and_machine_id_are_its_own(api: Api, image: str) -> None:
    """Two clones have different names and machine ids."""
    vms = api.branch(image, 2)
    seen = {api.out(vm, "hostname; cat /etc/hostname /etc/machine-id") for vm in vms}
    assert len(seen) == 2
    api.delete(*vms)


def test_no_name_resolves(api: Api, shared: str) -> None:
    """There is no resolver to ask."""
    assert api.run(shared, "getent hosts deb.debian.org")["exit_code"] != 0
    assert api.out(shared, "getent hosts localhost")


def test_no_route_out(api: Api, shared: str) -> None:
    """No default route; a public address is unreachable at once instead of silent."""
    assert "default" not in api.out(shared, "ip route; ip -6 route")
    for host in ("192.0.2.1", "2001:db8::1"):
        assert api.run(shared, CONNECT.format(host=host, port=443))["exit_code"] == 7


def test_host_services_are_out_of_reach(api: Api, shared: str, host_services: list[tuple[str, int]]) -> None:
    """Neither the host's own address nor its loopback can be reached from inside."""
    for host, port in host_services:
        with socket.create_connection((host, port), 2):
            pass  # it is there for the host
        assert api.run(shared, CONNECT.format(host=host, port=port))["exit_code"] == 7


def test_lab_offers_nothing(api: Api, shared: str) -> None:
    """The other end of the cable has no open port and answers no ping; only loopback is of use."""
    lab = api.out(shared, "ip -6 route | awk '/via/ {print $1; exit}'").strip()
    for host in (lab, "fe80::1%eth0"):
        for port in (22, 80, 8080):
            assert api.run(shared, CONNECT.format(host=host, port=port))["exit_code"] == 7


def test_machines_do_not_see_one_another(api: Api, image: str) -> None:
    """A neighbour's address does not answer, although its service runs and the host reaches it."""
    first, second = api.branch(image, 2)
    address = api.http.get(f"/vm/{second}/metadata").json()["ip"]
    api.await_sshd(second)
    assert api.run(first, CONNECT.format(host=address, port=22))["exit_code"] == 7
    assert api.run(second, CONNECT.format(host=address, port=22))["exit_code"] == 0
    api.delete(first, second)


@pytest.mark.parametrize(
    "attempt",
    [
        "mount -t tmpfs none /mnt",
        "mknod /tmp/disk b 8 0",
        "ip link add x type dummy",
        "ip -6 route add default via fe80::1 dev eth0",
        "echo x > /proc/sys/kernel/core_pattern",
        "echo b > /proc/sysrq-trigger",
        "dmesg",
        "nsenter -t 1 -m true",
        "chroot /proc/1/root mount -t proc proc /mnt",
        "ls /sys/fs/cgroup/* | grep .",
        "python3 -c 'import socket; socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)'",
    ],
)
def test_root_inside_is_not_root_outside(api: Api, shared: str, attempt: str) -> None:
    """What would touch the host's kernel or network is refused."""
    assert api.run(shared, attempt)["exit_code"] != 0


def test_memory_is_limited(api: Api, shared: str) -> None:
    """A process that takes more than the machine's memory is killed, and the machine lives on."""
    if not any(Path(f"/sys/fs/cgroup{kind}/swarm-vers").is_dir() for kind in ("", "/memory")):
        pytest.skip("this host enforces no memory limit")
    assert api.run(shared, "python3 -c 'bytearray(1 << 30)'")["exit_code"] == 137
    assert api.out(shared, "echo alive") == "alive\n"


def test_orphans_are_reaped(api: Api, shared: str) -> None:
    """The machine's init collects what its processes leave behind."""
    api.out(shared, "sh -c 'sleep 0.1 & exec true' ")
    wait_until(
        lambda: "Z" not in api.out(shared, "ps -eo stat="), 5, "the orphan is gone from the process list"
    )


def test_sshd_comes_back(api: Api, machine: str) -> None:
    """As under the real machine's service manager, a killed sshd is started again."""
    api.await_sshd(machine)
    api.out(machine, "pkill -o sshd")
    api.await_sshd(machine)
