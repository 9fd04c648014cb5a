"""The machine tools, called by real pi on real machines of the local Vers."""

import base64
import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from bot.agents.outside import Outside
from bot.core.models import AgentLabel, AgentState, CommitId, VmId
from tests.agents.building import ARCHITECT, Build, Building, answer, calls_of, turns
from tests.agents.conftest import World
from tests.agents.scripted import Block, call, results, say
from tests.waiting import wait_until

WORKER = AgentLabel("server")
LARGE = "".join(f"line {number} é😀\n" for number in range(20_000)) + "no newline at the end"
PLACE = "/root/workspace"


def made(messages: list[dict[str, Any]], name: str = "vmId") -> str:
    """The id that the newest answer names."""
    for message in reversed(messages):
        for text in results([message]):
            if f'"{name}"' in text:
                return str(json.loads(text)[name])
    raise AssertionError(f"nothing names a {name}")


@pytest.mark.parametrize("image", ["golden", "old_golden"])
def test_pis_own_tools_work_on_another_machine(
    world: World, request: pytest.FixtureRequest, image: str
) -> None:
    """read, bash, edit and write of both packages of pi are replaced: they reach the machine in use, and then our own again."""
    commit: CommitId = request.getfixturevalue(image)
    heard: list[str] = []
    found: dict[str, str] = {}

    def architect(turn: int, messages: list[dict[str, Any]]) -> list[Block]:
        heard.extend(results(messages))
        if turn == 1:
            found["vm"] = made(messages)
        return [
            lambda: [call("write", path="where.txt", content="here"), call("vers_vm_create")],
            lambda: [call("vers_vm_use", vmId=found["vm"])],
            lambda: [
                call("write", path="where.txt", content="there"),
                call("write", path=f"{PLACE}/deep/large.txt", content=LARGE),
                call("bash", command=f"mkdir -p {PLACE}; printf 'one two' > {PLACE}/script; chmod 755 {PLACE}/script"),
            ],
            lambda: [
                call("edit", path="script", edits=[{"oldText": "one", "newText": "three"}]),
                call("edit", path=f"{PLACE}/deep/large.txt", edits=[{"oldText": "line 7 é", "newText": "LINE 7 é"}]),
                call("bash", command="touch /tmp/started; sleep 60; touch /tmp/ended", timeout=1),
                call("bash", command="exit 7"),
                call("bash", command="seq 1 30000"),
            ],
            lambda: [call("read", path="where.txt"), call("read", path="script"), call("read", path="missing")],
            lambda: [call("vers_vm_local")],
            lambda: [call("read", path="where.txt"), call("bash", command="ls -A /root/workspace /tmp")],
            lambda: [say("done")],
        ][turn]()  # fmt: skip

    world.model.scripts["architect-uses"] = architect
    run = world.new_run()
    swarm = world.swarm(run, commit, warm_workers=0)
    try:
        outcome = swarm.build("@@architect-uses")
        assert outcome.architect_state is AgentState.DONE, outcome.reason
        said = "\n".join(heard)
        assert heard[-2:][0].startswith("here")
        assert "large.txt" not in heard[-1]
        assert "swarm-" not in heard[-1], "what travelled as a file is removed"
        assert "timed out after 1 seconds" in said
        assert "exited with code 7" in said
        assert "29999\n30000" in said
        assert "three two" in said
        assert "No such file" in said
        vm = next(row.vm for row in world.fleet.machines(run) if row.purpose == "scratch-1")
        assert vm
        shell = world.connect(vm)
        assert shell.read_file(f"{PLACE}/where.txt") == b"there"
        assert shell.read_file(f"{PLACE}/deep/large.txt").decode() == LARGE.replace("line 7 é", "LINE 7 é")
        assert shell.read_file(f"{PLACE}/script") == b"three two"
        assert shell.run(f"stat -c %a {PLACE}/script").text.strip() == "755"
        assert shell.run("ls /tmp/started; pgrep -x sleep; ls /tmp/ended", check=False).text.split() == [
            "/tmp/started"
        ]
        who = json.loads(shell.read_file("/root/.swarm/identity.json"))
        assert (who["vmId"], who["agentId"], who["depth"]) == (vm, "scratch-1", 1)
        shell.close()
    finally:
        swarm.teardown()


def test_copies_snapshots_and_budget(world: World, build: Build) -> None:
    """Folders, modes and bytes survive a copy; snapshots are deleted with the run; machines count."""
    found: dict[str, str] = {}

    def architect(turn: int, messages: list[dict[str, Any]]) -> list[Block]:
        if turn == 2:
            found["vm"] = made(messages)
        if turn == 6:
            found["commit"] = made(messages, "commitId")
        if turn == 7:
            found["restored"] = made(messages)
        if turn == 9:
            world.provider.delete(VmId(found["restored"]))
        return [
            lambda: [
                call(
                    "bash",
                    command="cd /root/workspace && mkdir -p app/bin && head -c 300000 /dev/zero | tr '\\0' '\\377' >app/bin/blob && "
                    "printf 'x' >app/run.sh && chmod 755 app/run.sh && ln -s /etc/passwd app/link && echo obey >app/AGENTS.md",
                )
            ],
            lambda: [call("vers_vm_create", mem_size_mib=512, fs_size_mib=1024, wait_boot=True)],
            lambda: [call("vers_vm_copy", vmId=found["vm"], localPath="app", remotePath="there/app", direction="to_vm")],
            lambda: [
                call("vers_vm_copy", vmId=found["vm"], localPath="back", remotePath="there/app/bin", direction="from_vm"),
                call("vers_vm_copy", vmId=found["vm"], localPath="../x", remotePath="there", direction="from_vm"),
            ],
            lambda: [
                call("vers_vm_state", vmId=found["vm"], state="Paused"),
                call("bash", command="until grep -q paused /root/.swarm/registry.json; do sleep 0.1; done", timeout=20),
            ],
            lambda: [call("vers_vm_state", vmId=found["vm"], state="Running"), call("vers_vm_commit", vmId=found["vm"])],
            lambda: [call("vers_vm_restore", commitId=found["commit"])],
            lambda: [
                call("vers_vm_branch", vmId=found["vm"]),
                call("vers_vm_use", vmId="11111111-2222-3333-4444-555555555555"),
                call("vers_vm_commit", vmId="architect"),
                call("vers_vm_delete", vmId="architect"),
                call("vers_vm_restore", commitId="11111111-2222-3333-4444-555555555555"),
            ],
            lambda: [call("vers_vm_create"), call("vers_swarm_spawn", count=1), call("vers_vms")],
            lambda: [call("vers_vm_delete", vmId=found["vm"]), call("vers_vms")],
            lambda: [say("done")],
        ][turn]()  # fmt: skip

    world.model.scripts["architect-copies"] = architect
    run = world.new_run()
    swarm = build(run, warm_workers=2)
    outcome = swarm.build("@@architect-copies")
    assert outcome.architect_state is AgentState.DONE, outcome.reason
    to, back, outside = calls_of(world, run, "vers_vm_copy")
    assert "2 files were copied to /root/workspace/there/app" in answer(to)
    assert "Left out: app/AGENTS.md" in answer(to)
    assert "Left out: app/link" in answer(to)
    assert "1 files were copied" in answer(back)
    assert "cannot be used" in answer(outside)
    blob = swarm.shell_of(ARCHITECT).read_file("/root/workspace/back/blob")
    assert blob == b"\xff" * 300_000
    paused, running = calls_of(world, run, "vers_vm_state")
    assert answer(paused).endswith("is paused.")
    assert answer(running).endswith("is running.")
    assert "timed out" not in json.dumps(world.model.asked[-1]), "the registry says that it is paused"
    clone = swarm._machines.shell(json.loads(answer(calls_of(world, run, "vers_vm_branch")[0]))["vmId"])
    assert clone.run("stat -c %a /root/workspace/there/app/run.sh").text.strip() == "755"
    states = {
        row["vmId"]: row["state"] for row in json.loads(answer(calls_of(world, run, "vers_vms")[1]))["vms"]
    }
    assert states[found["restored"]] == "gone"
    assert "running" in states.values()
    said = "\n".join(answer(row) for row in world.fleet.calls(run))
    for sentence in (
        "is no machine of this swarm",
        "Your own machine cannot be copied",
        "That is the machine of an agent",
        "is no snapshot of this swarm",
        "This swarm may have 4 machines at once and has 4, yours included",
        "room for 0 more",
    ):
        assert sentence in said
    assert len(world.fleet.commits(run)) == 2
    swarm.teardown()
    assert world.fleet.commits(run) == {}
    assert not [commit for commit in world.provider.commits() if str(run) in commit.name]


def test_a_snapshot_of_an_agents_machine(world: World, build: Build) -> None:
    """Pi is stopped and its bearer removed before; a worker spawned from the snapshot has a bearer and a name of its own."""
    found: dict[str, str] = {}

    def architect(turn: int, messages: list[dict[str, Any]]) -> list[Block]:
        if turn == 4:
            found["commit"] = made(messages, "commitId")
        return [
            lambda: [call("vers_swarm_spawn", count=1, labels=[WORKER])],
            lambda: [call("vers_swarm_task", agentId=WORKER, task="@@seed-work")],
            lambda: [call("vers_swarm_wait")],
            lambda: [call("vers_vm_commit", vmId=WORKER)],
            lambda: [call("vers_swarm_spawn", count=1, labels=["twin"], commitId=found["commit"])],
            lambda: [call("vers_swarm_task", agentId="twin", task="@@twin-work")],
            lambda: [call("vers_swarm_wait", agentIds=["twin"])],
            lambda: [call("vers_swarm_read", agentId="twin")],
            lambda: [say("done")],
        ][turn]()

    world.model.scripts["architect-clones"] = architect
    world.model.scripts["seed-work"] = turns([call("write", path="seed.txt", content="sown")], [say("sown")])
    world.model.scripts["twin-work"] = turns(
        [call("bash", command="cat seed.txt /root/.swarm/identity.json")], [say("grown")]
    )
    run = world.new_run()
    swarm = build(run, warm_workers=1)
    outcome = swarm.build("@@architect-clones")
    states = {view.label: view.state for view in outcome.agents}
    assert states == {"architect": "done", WORKER: "done", "twin": "done"}
    assert "The pi of server was stopped" in answer(calls_of(world, run, "vers_vm_commit")[0])
    assert "grown" in answer(calls_of(world, run, "vers_swarm_read")[0])
    seen = swarm.shell_of(WORKER).run("ls /var/lib/swarm; pgrep -u agent || true").text.split()
    assert seen == [], "neither a bearer nor a pi"
    twin = json.loads(swarm.shell_of(AgentLabel("twin")).read_file("/root/.swarm/identity.json"))
    assert twin["agentId"] == "twin"


def test_a_silent_command_keeps_its_output(world: World, build: Build) -> None:
    """However old the file is that it prints to; of those that have ended it goes."""
    swarm = build(world.new_run(), outside=Outside(), warm_workers=0)
    swarm.take_orders()
    vm = json.loads(swarm.order("made", "vers_vm_create", {})["text"])["vmId"]
    shell = swarm._machines.shell(vm)

    def run(order: str, command: str) -> str:
        given = {"vmId": vm, "command": command, "cwd": "/"}
        text = json.loads(swarm.order(order, "vm_exec", given)["text"])
        return base64.b64decode(text["data"]).decode()

    with ThreadPoolExecutor(1) as pool:
        silent = pool.submit(run, "silent", "until [ -e /tmp/go ]; do sleep 0.1; done; echo at last")
        wait_until(lambda: shell.run("ls /run/swarm-exec/silent/out", check=False).stdout, 20, "it runs")
        assert run("ended", "echo early") == "early\n"
        shell.run("touch -d '20 minutes ago' /run/swarm-exec/*/*")
        assert run("after", "echo after; touch /tmp/go") == "after\n"
        assert silent.result(30) == "at last\n"
    assert shell.run("ls /run/swarm-exec/ended").text.split() == ["end", "pid"]


def test_a_call_that_pi_gave_up_ends_its_command(world: World, build: Build) -> None:
    """A build that is stopped, or a call that is aborted, leaves no process of it on the machine in use."""
    found: dict[str, str] = {}

    def architect(turn: int, messages: list[dict[str, Any]]) -> list[Block]:
        if turn == 1:
            found["vm"] = made(messages)
        return [
            lambda: [call("vers_vm_create")],
            lambda: [call("vers_vm_use", vmId=found["vm"])],
            lambda: [call("bash", command="sleep 77")],
            lambda: [say("done")],
        ][turn]()

    world.model.scripts["architect-gives-up"] = architect
    run = world.new_run()
    swarm = build(run, warm_workers=0, run_deadline=time.time() + 3600)
    building = Building(swarm, "@@architect-gives-up")
    wait_until(lambda: calls_of(world, run, "vm_exec"), 60, "the command is asked for")
    shell = swarm._machines.shell(next(iter(swarm._machines.of_scratch().values())))
    wait_until(lambda: shell.run("pgrep -x sleep", check=False).text, 20, "it runs")
    swarm._abort_architect()
    wait_until(lambda: not shell.run("pgrep -x sleep", check=False).text, 20, "it is gone")
    wait_until(lambda: calls_of(world, run, "vm_exec")[0].state == "answered", 20, "the call is closed")
    assert building.result().architect_state is AgentState.FAILED
