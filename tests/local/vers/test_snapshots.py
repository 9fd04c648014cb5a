"""Commits and branches: what they carry, what they do not, and who sees whose writes."""

import subprocess
import time

import pytest

from bot.local.vers.server import start
from bot.settings import load_settings
from tests.local.vers.conftest import Api
from tests.waiting import wait_until

pytestmark = pytest.mark.machines


def test_branches_start_from_the_snapshot(api: Api, image: str) -> None:
    """`count` machines at once, all with the snapshot's files, each with writes of its own."""
    started = time.monotonic()
    vms = api.branch(image, 8)
    took_s = time.monotonic() - started
    assert len(set(vms)) == 8
    for vm in vms:
        assert api.read(vm, "/root/marker") == b"golden\n"
        api.write(vm, "/root/marker", vm.encode())
    assert [api.read(vm, "/root/marker").decode() for vm in vms] == vms
    assert took_s < 5, f"8 branches took {took_s:.1f} s"  # half a second on an idle machine
    api.delete(*vms)


def test_later_writes_stay_out_of_the_snapshot(api: Api, machine: str) -> None:
    """A machine goes on running after its commit, and a clone has the state of that moment."""
    api.out(machine, "mkdir /srv/d; echo 1 > /srv/d/f; rm /etc/issue; ln -s f /srv/d/l; mkfifo /srv/d/p")
    commit = api.commit(machine)
    api.out(machine, "echo 2 > /srv/d/f")
    clone = api.branch(commit)[0]
    assert api.out(clone, "cat /srv/d/l; test ! -e /etc/issue; test -p /srv/d/p") == "1\n"
    assert api.out(machine, "cat /srv/d/f") == "2\n"
    assert api.state(machine) == "running"
    api.delete(clone)


def test_renaming_a_folder_of_the_image(api: Api, machine: str) -> None:
    """A folder of a lower layer can be renamed as on a disk, and a snapshot keeps it."""
    rename = 'python3 -c \'import os; os.rename("/usr/share/perl5", "/usr/share/other")\''
    api.out(machine, rename)
    clone = api.branch(api.commit(machine))[0]
    assert api.out(clone, "ls /usr/share/other | head -1").strip()
    api.delete(clone)


def test_processes_are_not_cloned_but_files_are(api: Api, machine: str) -> None:
    """The documented gap: a clone boots; a tmux socket of the original is a dead file in it."""
    api.out(machine, "tmux new-session -d -s work 'sleep 1000'; tmux ls")
    clone = api.branch(api.commit(machine))[0]
    assert api.run(clone, "tmux ls")["exit_code"] == 1
    assert api.run(clone, "pgrep tmux")["exit_code"] == 1
    assert api.out(clone, "tmux new-session -d -s work 'sleep 1000' && tmux ls").startswith("work:")
    assert api.out(machine, "tmux ls").startswith("work:")
    api.delete(clone)


def test_keep_paused(api: Api, machine: str) -> None:
    """A commit can leave its machine paused; a paused one stays paused."""
    assert api.http.post(f"/vm/{machine}/commit", params={"keep_paused": "true"}).status_code == 201
    assert api.state(machine) == "paused"
    assert api.http.post(f"/vm/{machine}/commit").status_code == 201
    assert api.state(machine) == "paused"
    api.set_state(machine, "Running")
    assert api.out(machine, "echo on") == "on\n"


def test_labels_are_not_inherited(api: Api) -> None:
    """A branch carries no labels; new_root does, and they can be added, replaced and removed."""
    vm = api.new_root(labels={"a": "1"})
    clone = api.branch(api.commit(vm))[0]
    shown = {vm["vm_id"]: vm["labels"] for vm in api.http.get("/vm").json()}
    assert shown[vm] == {"a": "1"}
    assert shown[clone] is None
    api.http.patch(f"/vm/{clone}/label", json={"labels": {"b": "2", "c": "3"}})
    api.http.delete(f"/vm/{clone}/label/c")
    api.http.patch(f"/vm/{clone}/label", json={"labels": {"d": "4"}})
    assert api.http.get(f"/vm/{clone}/status").json()["labels"] == {"b": "2", "d": "4"}
    api.http.put(f"/vm/{clone}/labels", json={"labels": {}})
    assert api.http.get(f"/vm/{clone}/status").json()["labels"] == {}
    api.delete(vm, clone)


def test_keys_are_per_machine_and_host_keys_per_image(api: Api, image: str) -> None:
    """Each clone has a login key of its own, that opens no other; host keys are the image's, as on the real thing."""
    first, second = api.branch(image, 2)
    keys = {api.http.get(f"/vm/{vm}/ssh_key").json()["ssh_private_key"] for vm in (first, second)}
    assert len(keys) == 2
    host_keys = {api.read(vm, "/etc/ssh/ssh_host_ed25519_key.pub") for vm in (first, second)}
    assert len(host_keys) == 1
    assert api.ssh(first, "hostname").stdout
    api.await_sshd(second)
    key_of_first = api.ssh_command(first)[4]
    swapped = api.ssh_command(second)
    swapped[4] = key_of_first
    refused = subprocess.run(
        [*swapped, "true"], capture_output=True, stdin=subprocess.DEVNULL, timeout=20, check=False
    )
    assert refused.returncode == 255
    assert b"Permission denied" in refused.stderr
    api.delete(first, second)


def test_metadata_tells_the_descent(api: Api) -> None:
    """A clone names its commit and the machine that was committed; the address is IPv6."""
    root = api.new_root(vcpu_count=2, mem_size_mib=600)
    commit = api.commit(root)
    clone = api.branch(commit)[0]
    shown = api.http.get(f"/vm/{clone}/metadata").json()
    assert (shown["parent_commit_id"], shown["grandparent_vm_id"]) == (commit, root)
    assert (shown["vcpu_count"], shown["mem_size_mib"]) == (2, 600)
    assert ":" in shown["ip"]
    assert api.http.get(f"/vm/{root}/metadata").json()["parent_commit_id"] is None
    grandchild = api.commit(clone, "second")
    parents = api.http.get(f"/vm/commits/{grandchild}/parents").json()
    assert [parent["id"] for parent in parents] == [grandchild, commit]
    api.delete(root, clone)


def test_ways_to_branch(api: Api, image: str, machine: str) -> None:
    """By commit, by live machine, by tag, by reference, by the route that takes either id, and one from_commit."""
    api.http.post("/commit_tags", json={"tag_name": "ways", "commit_id": image})
    api.http.post("/repositories", json={"name": "ways"})
    api.http.post("/repositories/ways/tags", json={"tag_name": "v1", "commit_id": image})
    made = []
    for path in (
        f"/vm/{image}/branch",
        f"/vm/{machine}/branch",
        f"/vm/branch/by_vm/{machine}",
        "/vm/branch/by_tag/ways",
        "/vm/branch/by_ref/ways/v1",
    ):
        answer = api.http.post(path, params={"count": 2})
        assert answer.status_code == 201, path
        made += [vm["vm_id"] for vm in answer.json()["vms"]]
    assert len(made) == 10
    for body in ({"commit_id": image}, {"tag_name": "ways"}, {"ref": "ways:v1"}):
        answer = api.http.post("/vm/from_commit", json=body)
        assert (answer.status_code, list(answer.json())) == (201, ["vm_id"])
        made.append(answer.json()["vm_id"])
    assert {api.read(vm, "/root/marker") for vm in made} == {b"golden\n"}
    api.delete(*made)
    api.http.delete("/commit_tags/ways")
    api.http.delete("/repositories/ways")


def test_new_root_boots_in_its_own_time(api: Api) -> None:
    """Without wait_boot the answer comes at once, in state booting; what needs a booted machine waits or says no."""
    vm = api.http.post("/vm/new_root", json={"vm_config": {}}).json()["vm_id"]
    assert api.state(vm) == "booting"
    assert api.http.post(f"/vm/{vm}/commit", params={"skip_wait_boot": "true"}).status_code == 409
    wait_until(lambda: api.state(vm) == "running", 20, "it has booted")
    api.delete(vm)


def test_a_commit_with_live_machines_stays(api: Api, image: str) -> None:
    """Deleting it is a conflict, until its machines are gone; what was made from them lives on."""
    parent = api.branch(image)[0]
    commit = api.commit(parent, "in use")
    first, second = api.branch(commit, 2)
    api.write(first, "/root/late", b"x")
    child = api.commit(first, "child")
    refused = api.http.delete(f"/commits/{commit}")
    assert refused.status_code == 409
    assert refused.json() == {"error": "commit still has 2 active VM(s)", "success": False}
    api.delete(parent, first, second)
    assert api.http.delete(f"/commits/{commit}").status_code == 204
    assert api.http.delete(f"/commits/{commit}").status_code == 404
    assert api.http.post(f"/vm/branch/by_commit/{commit}").status_code == 404
    grandchild = api.branch(child)[0]
    assert api.read(grandchild, "/root/late") == b"x"
    assert api.read(grandchild, "/root/marker") == b"golden\n"
    api.delete(grandchild)


def test_deleted_layers_leave_the_disk(api: Api, machine: str) -> None:
    """The layer of a commit goes with its last user."""
    layers = load_settings().swarm_cache / "vers" / "layers"
    before = {layer.name for layer in layers.iterdir()}
    commit = api.commit(machine)
    (layer,) = {layer.name for layer in layers.iterdir()} - before
    api.http.delete(f"/commits/{commit}")
    assert not (layers / layer).exists()


def test_long_chains_are_flattened(api: Api) -> None:
    """Beyond a length the chain of layers is copied into one, and nothing is lost or comes back."""
    with start(load_settings().swarm_cache, flatten_above=2) as vers:
        other = Api(vers, api.key, api.folder)
        vm = other.new_root()
        commits = []
        for step in range(3):
            other.out(vm, f"echo {step} > /srv/{step}; rm -f /etc/issue /srv/{step - 1}")
            commits.append(other.commit(vm))
            other.delete(vm)
            vm = other.branch(commits[-1])[0]
        assert other.out(vm, "ls /srv; test ! -e /etc/issue").split() == ["2"]
        layers = "cat /proc/self/mountinfo | grep -o 'lowerdir=[^,]*'"
        assert other.out(vm, layers).count(":") == 1  # the last commit over the flattened rest
        other.delete(vm)
        for commit in commits:
            assert other.http.delete(f"/commits/{commit}").status_code == 204
