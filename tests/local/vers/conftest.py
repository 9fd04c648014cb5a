"""An organisation of its own on the shared local Vers, and a client that hides nothing of the protocol."""

import base64
import socket
import ssl
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from bot.local.vers.server import Running
from tests.waiting import wait_until

SERVER = """
import http.server, socket, sys
class Server(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
    request_queue_size = 256
Server((sys.argv[1], int(sys.argv[2])), http.server.SimpleHTTPRequestHandler).serve_forever()
"""


@dataclass
class Api:
    """Raw requests to a server, as one key."""

    vers: Running
    key: str
    folder: Path
    http: httpx.Client = field(init=False)

    def __post_init__(self) -> None:
        self.http = httpx.Client(
            base_url=f"{self.vers.base_url}/api/v1",
            headers={"Authorization": f"Bearer {self.key}"},
            timeout=60,
        )

    def local(self, method: str, path: str, **kwargs: Any) -> httpx.Response:
        """A request below /_local."""
        return httpx.request(method, f"{self.vers.base_url}/_local{path}", **kwargs)

    def new_root(self, **config: Any) -> str:
        """A machine from the default image, booted."""
        answer = self.http.post("/vm/new_root", params={"wait_boot": "true"}, json={"vm_config": config})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["vm_id"])

    def commit(self, vm: str, name: str = "test") -> str:
        """A snapshot."""
        answer = self.http.post(f"/vm/{vm}/commit", json={"name": name})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["commit_id"])

    def branch(self, commit: str, count: int = 1) -> list[str]:
        """Machines from a snapshot."""
        answer = self.http.post(f"/vm/branch/by_commit/{commit}", params={"count": count})
        assert answer.status_code == 201, answer.text
        return [vm["vm_id"] for vm in answer.json()["vms"]]

    def run(self, vm: str, script: str, **kwargs: Any) -> dict[str, Any]:
        """A shell script through the exec route; the whole answer."""
        answer = self.http.post(f"/vm/{vm}/exec", json={"command": ["sh", "-c", script], **kwargs})
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def out(self, vm: str, script: str) -> str:
        """What a script that must succeed prints."""
        answer = self.run(vm, script)
        assert answer["exit_code"] == 0, answer
        return str(answer["stdout"])

    def write(self, vm: str, path: str, content: bytes, **kwargs: Any) -> httpx.Response:
        """PUT a file."""
        body = {"path": path, "content_b64": base64.b64encode(content).decode(), **kwargs}
        return self.http.put(f"/vm/{vm}/files", json=body)

    def read(self, vm: str, path: str) -> bytes:
        """GET a file."""
        answer = self.http.get(f"/vm/{vm}/files", params={"path": path})
        assert answer.status_code == 200, answer.text
        return base64.b64decode(answer.json()["content_b64"])

    def delete(self, *vms: str) -> None:
        """Delete machines."""
        for vm in vms:
            assert self.http.delete(f"/vm/{vm}").status_code == 200

    def state(self, vm: str) -> str:
        """As the API reads it."""
        return str(self.http.get(f"/vm/{vm}/status").json()["state"])

    def set_state(self, vm: str, state: str) -> None:
        """Pause or resume."""
        assert self.http.patch(f"/vm/{vm}/state", json={"state": state}).status_code == 200

    def host(self, vm: str) -> str:
        """The machine's name, for SNI."""
        return f"{vm}.{self.vers.vm_domain}"

    def tls(self, vm: str, timeout_s: float = 5) -> ssl.SSLSocket:
        """A verified TLS connection to the front, for a machine."""
        name, _, port = self.vers.front.partition(":")
        context = ssl.create_default_context(cafile=str(self.vers.ca_file))
        raw = socket.create_connection((name, int(port)), timeout_s)
        return context.wrap_socket(raw, server_hostname=self.host(vm))

    def ssh_command(self, vm: str) -> list[str]:
        """OpenSSH through the front, with the machine's key and its host key pinned as the API reads it."""
        key = self.folder / f"{vm}.key"
        key.write_text(self.http.get(f"/vm/{vm}/ssh_key").json()["ssh_private_key"])
        key.chmod(0o600)
        known = self.folder / f"{vm}.known"
        known.write_bytes(self.host(vm).encode() + b" " + self.read(vm, "/etc/ssh/ssh_host_ed25519_key.pub"))
        proxy = (
            f"openssl s_client -connect {self.vers.front} -servername {self.host(vm)} -quiet"
            f" -verify_return_error -CAfile {self.vers.ca_file} 2>/dev/null"
        )
        options = {"BatchMode": "yes", "UserKnownHostsFile": str(known), "ProxyCommand": proxy}
        flags = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
        return ["ssh", "-F", "none", "-i", str(key), *flags, f"root@{self.host(vm)}"]

    def ssh(self, vm: str, command: str, timeout_s: float = 20) -> subprocess.CompletedProcess[bytes]:
        """Run a command by SSH, once sshd answers."""
        self.await_sshd(vm)
        return subprocess.run(
            [*self.ssh_command(vm), command],
            capture_output=True,
            timeout=timeout_s,
            stdin=subprocess.DEVNULL,
            check=False,
        )

    def await_sshd(self, vm: str) -> None:
        """A machine that runs need not have an sshd that answers, as on the real service."""

        def greets() -> bool:
            try:
                with self.tls(vm) as line:
                    line.sendall(b"SSH-2.0-test\r\n")
                    return line.recv(4) == b"SSH-"
            except OSError:
                return False

        wait_until(greets, 20, f"sshd of {vm} answers")

    def serve(self, vm: str, port: int, bind: str = "::") -> None:
        """Start a web server inside that serves /srv, and wait until it listens."""
        self.write(vm, "/opt/serve.py", SERVER.encode())
        self.out(
            vm,
            f"cd /srv; hostname > name; setsid python3 /opt/serve.py {bind} {port} >/dev/null 2>&1 </dev/null &",
        )
        wait_until(
            lambda: self.run(vm, f"ss -ltn | grep -q ':{port} '")["exit_code"] == 0, 10, "the app listens"
        )

    def publish(self, vm: str, port: int) -> str:
        """The loopback address of a guest's port."""
        answer = httpx.put(self.vers.publish_url, json={"vm_id": vm, "port": port})
        assert answer.status_code == 200, answer.text
        return str(answer.json()["url"])


@pytest.fixture(scope="session")
def api(local_vers: Running, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """A client with the key of an organisation of this session's own, which is forgotten at the end."""
    made = httpx.post(f"{local_vers.base_url}/_local/keys").json()
    api = Api(local_vers, made["api_key"], tmp_path_factory.mktemp("ssh"))
    yield api
    assert api.local("DELETE", f"/organisations/{made['organisation']}").status_code == 204


@pytest.fixture(scope="session")
def image(api: Api) -> str:
    """A commit of a machine with one file, /root/marker."""
    vm = api.new_root(mem_size_mib=768, labels={"role": "golden"})
    api.write(vm, "/root/marker", b"golden\n")
    commit = api.commit(vm, "image")
    api.delete(vm)
    return commit


@pytest.fixture
def machine(api: Api, image: str) -> Iterator[str]:
    """A fresh branch of the image."""
    vm = api.branch(image)[0]
    yield vm
    api.http.delete(f"/vm/{vm}")


@pytest.fixture(scope="module")
def shared(api: Api, image: str) -> Iterator[str]:
    """One machine for the tests of a module that leave no trace in it."""
    vm = api.branch(image)[0]
    yield vm
    api.http.delete(f"/vm/{vm}")
