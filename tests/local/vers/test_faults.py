"""Bad days on demand, and that their effects are what they claim."""

import json
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.local.vers.conftest import Api

pytestmark = pytest.mark.machines


@pytest.fixture(autouse=True)
def clean_table(api: Api) -> Iterator[None]:
    """No fault of one test strikes another."""
    yield
    api.local("DELETE", "/faults")


def fault(api: Api, route: str, kind: str, **more: Any) -> None:
    """Put one into the table."""
    answer = api.local("POST", "/faults", json={"route": route, "kind": kind, **more})
    assert answer.status_code == 204, answer.text


def created(api: Api) -> int:
    """Machines that this server has ever made."""
    return int(api.local("GET", "/state").json()["created_count"])


def test_unavailable_before_the_effect(api: Api, image: str) -> None:
    """503 in plain text without Retry-After, twice; nothing was made; the third call works."""
    fault(api, "POST /vm/branch/*", "before", times=2)
    before = created(api)
    for _ in range(2):
        answer = api.http.post(f"/vm/branch/by_commit/{image}")
        assert (answer.status_code, answer.text) == (503, "503 Service unavailable")
        assert "retry-after" not in answer.headers
    assert created(api) == before
    api.delete(*api.branch(image))


def test_an_error_after_the_effect(api: Api, image: str) -> None:
    """500, and yet the machines are there: with the commit as their parent and without labels."""
    fault(api, "POST /vm/branch/by_commit/*", "after", status=500)
    before = {vm["vm_id"] for vm in api.http.get("/vm").json()}
    answer = api.http.post(f"/vm/branch/by_commit/{image}", params={"count": 2})
    assert (answer.status_code, answer.json()["success"]) == (500, False)
    orphans = {vm["vm_id"] for vm in api.http.get("/vm").json()} - before
    assert len(orphans) == 2
    for vm in orphans:
        assert api.http.get(f"/vm/{vm}/metadata").json()["parent_commit_id"] == image
    api.delete(*orphans)


def test_an_answer_that_is_lost(api: Api, image: str) -> None:
    """The connection breaks in the middle of the answer; the effect stays."""
    fault(api, "POST /vm/branch/by_commit/*", "cut")
    before = created(api)
    with pytest.raises(httpx.RemoteProtocolError):
        api.http.post(f"/vm/branch/by_commit/{image}")
    assert created(api) == before + 1


def test_delete_that_fails_for_a_while(api: Api, image: str) -> None:
    """Two failures, then success; an errored request with its own error status does not use a fault up."""
    vm = api.branch(image)[0]
    fault(api, f"DELETE /vm/{vm}", "before", times=2, status=500)
    statuses = [api.http.delete(f"/vm/{vm}").status_code for _ in range(4)]
    assert statuses == [500, 500, 200, 403]


def test_slow(api: Api) -> None:
    """An answer, and a boot, that take their time."""
    fault(api, "GET /whoami", "delay", seconds=0.4)
    started = time.monotonic()
    assert api.http.get("/whoami").status_code == 200
    assert time.monotonic() - started >= 0.4
    fault(api, "BOOT *", "delay", seconds=0.5)
    started = time.monotonic()
    vm = api.new_root()
    assert time.monotonic() - started >= 0.5
    api.delete(vm)


def test_a_stream_cut_before_its_exit(api: Api, shared: str) -> None:
    """All output, no exit frame, a broken connection; an attach still tells how it ended."""
    fault(api, "POST /vm/*/exec/stream", "cut")
    lines: list[str] = []

    def read() -> None:
        body = {"command": ["echo", "x"]}
        with api.http.stream("POST", f"/vm/{shared}/exec/stream", json=body) as answer:
            for line in answer.iter_lines():
                lines.append(line)  # noqa: PERF402  # what came before the break counts

    with pytest.raises(httpx.RemoteProtocolError):
        read()
    assert len(lines) == 1
    exec_id = json.loads(lines[0])["exec_id"]
    attached = api.http.post(f"/vm/{shared}/exec/stream/attach", json={"exec_id": exec_id}).text
    assert '"exit_code": 0' in attached


def test_refused_ssh(api: Api, shared: str) -> None:
    """The front closes SSH at once, HTTP not."""
    api.await_sshd(shared)
    fault(api, f"SSH {shared}", "refuse")
    with api.tls(shared) as line:
        line.sendall(b"SSH-2.0-test\r\n")
        assert line.recv(4) == b""
    with api.tls(shared) as line:
        line.sendall(b"SSH-2.0-test\r\n")
        assert line.recv(4) == b"SSH-"
