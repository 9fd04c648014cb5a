"""A server as a process: how it starts, what outlives it, and that nothing else does."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from bot.local.vers.habits import Habits
from bot.local.vers.server import Address, Running, start
from bot.settings import load_settings
from tests.leftovers import Snapshot, processes_of
from tests.local.vers.conftest import Api
from tests.waiting import wait_until

pytestmark = pytest.mark.machines


@pytest.fixture
def process(api: Api) -> Iterator[tuple[subprocess.Popen[bytes], Running]]:
    """A second server on the same cache, as its own process."""
    cache = load_settings().swarm_cache
    server = subprocess.Popen(
        [sys.executable, "-m", "bot.local.vers", "--cache", str(cache)], stdout=subprocess.PIPE
    )
    assert server.stdout is not None
    address = Address(**json.loads(server.stdout.readline()))
    run = next(path.name for path in (cache / "vers").glob(f"run-{server.pid}-*"))
    yield server, Running(address, run, lambda: None)
    if server.poll() is None:
        server.kill()
    server.wait()
    server.stdout.close()


def parent_of(pid: int) -> int:
    """The parent's process id; 0 when the process has ended meanwhile."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def run_folder(run: str) -> Path:
    return load_settings().swarm_cache / "vers" / run


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_nothing_is_left(
    api: Api, process: tuple[subprocess.Popen[bytes], Running], number: signal.Signals
) -> None:
    """However the server ends, its machines, mounts, network, cgroups and folder go with it; its commits stay."""
    before = Snapshot.take()
    server, running = process
    other = Api(running, api.key, api.folder)
    vm = other.new_root()
    other.out(vm, "echo kept > /srv/f; setsid sleep 1000 >/dev/null 2>&1 </dev/null &")
    commit = other.commit(vm)
    paused = other.branch(commit)[0]
    other.set_state(paused, "Paused")
    assert processes_of(running.run)
    server.send_signal(number)
    assert server.wait(20) == (-number if number == signal.SIGKILL else 0)
    wait_until(lambda: not before.left_by(running.run), 10, "everything of the server is gone")
    wait_until(lambda: not run_folder(running.run).exists(), 10, "its folder is gone")
    clone = api.branch(commit)[0]
    assert api.out(clone, "cat /srv/f") == "kept\n"
    api.delete(clone)


def test_killed_with_its_launcher(api: Api, process: tuple[subprocess.Popen[bytes], Running]) -> None:
    """When even the sweeper is killed, the kernel takes the machines, and the next start sweeps folder and cgroups."""
    before = Snapshot.take()
    server, running = process
    other = Api(running, api.key, api.folder)
    other.new_root()
    (launcher,) = [pid for pid in processes_of(running.run) if parent_of(pid) == server.pid]
    os.kill(launcher, signal.SIGKILL)
    server.kill()
    server.wait()
    wait_until(lambda: not processes_of(running.run), 10, "all processes are gone")
    assert run_folder(running.run).exists()
    with start(load_settings().swarm_cache):
        assert not run_folder(running.run).exists()
    assert not before.left_by(running.run)


def test_servers_share_commits_and_not_machines(
    api: Api, image: str, process: tuple[subprocess.Popen[bytes], Running]
) -> None:
    """Two servers on one cache: a commit of one starts machines on the other, which also protect it."""
    other = Api(process[1], api.key, api.folder)
    mine = api.branch(image)[0]
    commit = api.commit(mine, "shared")
    theirs = other.branch(commit)[0]
    assert other.read(theirs, "/root/marker") == b"golden\n"
    assert mine not in {vm["vm_id"] for vm in other.http.get("/vm").json()}
    assert api.http.delete(f"/commits/{commit}").status_code == 409
    other.delete(theirs)
    assert api.http.delete(f"/commits/{commit}").status_code == 204
    api.delete(mine)


def test_keys_and_tags_survive(api: Api, image: str) -> None:
    """A restarted server knows the key, the commit and the tag."""
    api.http.post("/commit_tags", json={"tag_name": "kept", "commit_id": image})
    for _ in range(2):
        with start(load_settings().swarm_cache) as vers:
            again = Api(vers, api.key, api.folder)
            assert again.http.get("/commit_tags/kept").json()["commit_id"] == image
            assert image in {commit["commit_id"] for commit in again.http.get("/commits").json()["commits"]}
    assert api.http.delete("/commit_tags/kept").status_code == 204


def test_test_organisations_end_with_their_server(api: Api) -> None:
    """What a crashed test left, with its commits and layers, goes when the next server starts; kept ones stay."""
    cache = load_settings().swarm_cache
    with start(cache) as vers:
        made = [
            httpx.post(f"{vers.base_url}/_local/keys", json={"keep": keep}).json() for keep in (False, True)
        ]
        other = Api(vers, made[0]["api_key"], api.folder)
        other.commit(other.new_root())
        layers = set((cache / "vers" / "layers").iterdir())
    with start(cache) as vers:
        temporary, kept = (Api(vers, one["api_key"], api.folder).http.get("/whoami") for one in made)
        assert (temporary.status_code, kept.status_code) == (403, 200)
        assert len(layers - set((cache / "vers" / "layers").iterdir())) >= 1
        gone = httpx.delete(f"{vers.base_url}/_local/organisations/{made[1]['organisation']}")
        assert gone.status_code == 204


def test_fresh_host_keys_on_request(api: Api, image: str) -> None:
    """The other profile: each clone makes host keys of its own."""
    with start(load_settings().swarm_cache, habits=Habits(fresh_host_keys=True)) as vers:
        other = Api(vers, api.key, api.folder)
        vms = other.branch(image, 2)
        for vm in vms:
            other.await_sshd(vm)
        keys = {other.read(vm, "/etc/ssh/ssh_host_ed25519_key.pub") for vm in vms}
        assert len(keys) == 2


def test_port_is_taken(local_vers: Running) -> None:
    """A second server on the same port says so and leaves nothing."""
    before = {path.name for path in (load_settings().swarm_cache / "vers").glob("run-*")}
    with pytest.raises(OSError, match="in use"):
        start(load_settings().swarm_cache, port=httpx.URL(local_vers.base_url).port or 0)
    after = {path.name for path in (load_settings().swarm_cache / "vers").glob("run-*")}
    assert after == before
