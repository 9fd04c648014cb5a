"""The ways in from outside: SSH and HTTP through the TLS front, and published loopback ports."""

import socket
import ssl
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.local.vers.conftest import Api
from tests.waiting import wait_until

pytestmark = pytest.mark.machines


def get(api: Api, vm: str, host_header: str, path: str = "/name") -> bytes:
    """One HTTP request through the front, raw."""
    with api.tls(vm) as line:
        line.sendall(f"GET {path} HTTP/1.1\r\nHost: {host_header}\r\nConnection: close\r\n\r\n".encode())
        answer = b""
        while data := line.recv(65536):
            answer += data
    return answer


def test_ssh_with_a_pinned_host_key(api: Api, machine: str) -> None:
    """OpenSSH gets in with the machine's key, and the host key read over the API is the one it meets."""
    done = api.ssh(machine, "hostname; id -u; exit 9")
    assert done.returncode == 9
    assert done.stdout.decode().split() == [f"vm-{machine[:8]}", "0"]


def test_bulk_over_ssh(api: Api, machine: str) -> None:
    """Megabytes in both directions arrive whole, in four sessions at once."""
    api.await_sshd(machine)
    payload = bytes(range(256)) * 8192

    def echo(_: int) -> bytes:
        command = [*api.ssh_command(machine), "cat; head -c 2000000 /dev/zero"]
        return subprocess.run(command, input=payload, capture_output=True, timeout=60, check=True).stdout

    with ThreadPoolExecutor(4) as pool:
        assert all(out == payload + bytes(2_000_000) for out in pool.map(echo, range(4)))


def test_http_by_host_header(api: Api, machine: str) -> None:
    """The port in the Host header is the guest's; without one, or as 443, it is the guest's port 80."""
    api.serve(machine, 80)
    api.out(machine, "mkdir -p /srv/sub")
    api.serve(machine, 3000)
    name = f"vm-{machine[:8]}".encode()
    for header in (api.host(machine), f"{api.host(machine)}:3000", f"{api.host(machine)}:443"):
        answer = get(api, machine, header)
        assert answer.startswith(b"HTTP/1.0 200")
        assert name in answer
    assert get(api, machine, f"{api.host(machine)}:3001").startswith(b"HTTP/1.1 502")


def test_an_ordinary_client_needs_names_only(api: Api, machine: str) -> None:
    """An ordinary curl verifies the certificate for the machine's name; all it is told is where that name lives."""
    api.serve(machine, 8080)
    where = f"{api.host(machine)}:8080:{api.vers.front}"
    url = f"https://{api.host(machine)}:8080/name"
    command = ["curl", "-sS", "--cacert", str(api.vers.ca_file), "--connect-to", where, url]
    assert (
        subprocess.run(command, capture_output=True, timeout=20, check=True).stdout.decode().startswith("vm-")
    )


def test_unknown_names_get_nothing(api: Api, machine: str) -> None:
    """A machine that does not exist, and a name of another domain: the connection is closed without a word."""
    context = ssl.create_default_context(cafile=str(api.vers.ca_file))
    context.check_hostname = False
    name, _, port = api.vers.front.partition(":")
    gone = f"{machine[:-1]}{'0' if machine[-1] != '0' else '1'}.{api.vers.vm_domain}"
    for sni in (gone, "example.org", api.vers.vm_domain):
        with (
            socket.create_connection((name, int(port)), 5) as raw,
            context.wrap_socket(raw, server_hostname=sni) as line,
        ):
            line.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert line.recv(10) == b""


def test_not_tls(api: Api) -> None:
    """Plain SSH to the front's port is not answered, and the front lives on."""
    name, _, port = api.vers.front.partition(":")
    with socket.create_connection((name, int(port)), 5) as raw:
        raw.sendall(b"SSH-2.0-x\r\n")
        raw.settimeout(5)
        assert not raw.recv(100).startswith(b"SSH")


def test_published_port(api: Api, machine: str) -> None:
    """A loopback address per guest port, always the same, ending with the machine."""
    api.serve(machine, 3000)
    url = api.publish(machine, 3000)
    assert url == api.publish(machine, 3000)
    assert url.startswith("http://127.0.0.1:")
    assert httpx.get(f"{url}/name").text == f"vm-{machine[:8]}\n"
    with ThreadPoolExecutor(16) as pool:
        assert set(pool.map(lambda _: httpx.get(f"{url}/name").status_code, range(64))) == {200}
    api.delete(machine)
    with pytest.raises(httpx.ConnectError):
        httpx.get(url)
    gone = httpx.put(api.vers.publish_url, json={"vm_id": machine, "port": 3000})
    assert gone.status_code == 404


def test_guests_are_reached_over_ipv6_only(api: Api, machine: str) -> None:
    """An app that binds 0.0.0.0 answers inside and nowhere else."""
    api.serve(machine, 3000, bind="0.0.0.0")
    assert api.out(machine, "curl -s http://127.0.0.1:3000/name").startswith("vm-")
    with pytest.raises(httpx.TransportError):
        httpx.get(f"{api.publish(machine, 3000)}/name", timeout=5)
    assert get(api, machine, f"{api.host(machine)}:3000").startswith(b"HTTP/1.1 502")


def test_half_close(api: Api, machine: str) -> None:
    """A client that has said all it had to say still gets the answer; the front passes the end on."""
    script = (
        "import socket;s=socket.create_server(('::',80),family=socket.AF_INET6)\n"
        "while True:\n c,_=s.accept();n=0\n while d:=c.recv(65536):n+=len(d)\n c.sendall(str(n).encode());c.close()"
    )
    api.write(machine, "/srv/count.py", script.encode())
    api.out(machine, "setsid python3 /srv/count.py >/dev/null 2>&1 </dev/null &")
    wait_until(lambda: api.run(machine, "ss -ltn | grep -q ':80 '")["exit_code"] == 0, 10, "it listens")
    url = httpx.URL(api.publish(machine, 80))
    with socket.create_connection((url.host, url.port or 0), 10) as line:
        line.sendall(b"x" * 300_000)
        line.shutdown(socket.SHUT_WR)
        assert line.recv(100) == b"300000"
    head = b"POST / HTTP/1.1\r\nHost: x\r\n\r\n"
    with api.tls(machine, 10) as tls:
        tls.sendall(head + b"x" * 300_000)
        tls.shutdown(socket.SHUT_WR)  # a ragged end, as some clients make it
    # the guest must see the end of that one before it accepts the next
    with socket.create_connection((url.host, url.port or 0), 10) as line:
        line.sendall(b"abc")
        line.shutdown(socket.SHUT_WR)
        assert line.recv(100) == b"3"


def test_pause_hangs_and_resume_goes_on(api: Api, image: str) -> None:
    """SSH and HTTP to a paused machine hang, neither refused nor closed; its neighbour answers; resume continues."""
    machine, neighbour = api.branch(image, 2)
    for vm in (machine, neighbour):
        api.serve(vm, 3000)
        api.await_sshd(vm)
    counter = "i=0; while :; do i=$((i+1)); echo $i > /srv/count; done"
    api.out(machine, f"setsid sh -c '{counter}' >/dev/null 2>&1 </dev/null &")
    urls = {vm: api.publish(vm, 3000) for vm in (machine, neighbour)}
    api.set_state(machine, "Paused")
    assert api.state(machine) == "paused"
    with pytest.raises(httpx.ReadTimeout):
        httpx.get(urls[machine], timeout=0.5)
    for hello in (b"SSH-2.0-test\r\n", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"):
        with api.tls(machine, 0.5) as line:
            line.sendall(hello)
            with pytest.raises(TimeoutError):
                line.recv(1)
    assert httpx.get(f"{urls[neighbour]}/name").status_code == 200
    waiting = threading.Thread(target=lambda: answers.append(httpx.get(f"{urls[machine]}/name", timeout=20)))
    answers: list[httpx.Response] = []
    waiting.start()
    api.set_state(machine, "Running")
    waiting.join(20)
    assert answers[0].status_code == 200
    before = api.read(machine, "/srv/count")
    wait_until(lambda: api.read(machine, "/srv/count") != before, 5, "its processes go on")
    api.set_state(machine, "Sleeping")
    assert api.state(machine) == "sleeping"
    api.delete(machine, neighbour)


def test_deleting_a_machine_ends_its_connections(api: Api, image: str) -> None:
    """An open SSH line sees the end."""
    vm = api.branch(image)[0]
    api.await_sshd(vm)
    with api.tls(vm) as line:
        line.sendall(b"SSH-2.0-test\r\n")
        assert line.recv(4) == b"SSH-"
        assert httpx.get(f"{api.vers.base_url}/health").json()["ssh_connections"] >= 1
        api.delete(vm)
        line.settimeout(5)
        while line.recv(65536):
            pass
