"""A worker pool, the guide's files on the root machine, and workers that are not like the others."""

import json
from typing import Any

from bot.agents.outcome import Profile
from bot.core.models import AgentState, Role
from tests.agents.building import ARCHITECT, Build, Building, answer, calls_of, turns
from tests.agents.conftest import MODEL, World
from tests.agents.scripted import Block, call, say, user_texts
from tests.waiting import wait_until

OTHER = "claude-haiku-4-5"


def test_each_item_once(world: World, build: Build) -> None:
    """Five items, two workers: every item is done once, files come together, the one that fails is listed; a second call
    of the same pool does nothing again.
    """
    done: list[str] = []

    def worker(turn: int, messages: list[dict[str, Any]]) -> list[Block]:
        text = [text for _, text in user_texts(messages) if "@@item-work" in text][-1]
        item = text.split("<<")[1].split(">>")[0]
        if item == "bad":
            return [call("bash", command="kill -KILL $(cat /var/lib/swarm/s1/pid)")]
        if turn == 0:
            done.append(item)
            return [call("write", path=f"{item}.txt", content=item)]
        return [say(f"made {item}")]

    world.model.scripts["item-work"] = worker
    pool = {"items": ["a", "b", "c", "bad", "d"], "task": "@@item-work make <<{item}>>", "size": 2}
    world.model.scripts["architect-pools"] = turns(
        [call("vers_swarm_pool", **pool)],
        [call("vers_swarm_pool", **pool)],
        [call("vers_swarm_pool", items=["a", "a"], task="x", size=1)],
        [say("done")],
    )
    run = world.new_run()
    swarm = build(run, warm_workers=2)
    outcome = swarm.build("@@architect-pools")
    assert outcome.architect_state is AgentState.DONE, outcome.reason
    first, second, refused = calls_of(world, run, "vers_swarm_pool")
    assert sorted(done) == ["a", "b", "c", "d"]
    assert "4 of 5 items done, 1 failed, 0 left." in answer(first)
    assert "failed: bad" in answer(first)
    assert "137" in answer(first)
    assert "done: a (pool-1-" in answer(first)
    assert answer(second).splitlines()[0] == answer(first).splitlines()[0]
    assert "given twice" in answer(refused) or "there twice" in answer(refused)
    listing = swarm.shell_of(ARCHITECT).run("ls /root/workspace").text.split()
    assert len({"a.txt", "b.txt", "c.txt", "d.txt"} & set(listing)) >= 2


def test_conventions_are_true(world: World, build: Build) -> None:
    """identity, registry and status say what is, while it is; agents can read them and cannot write them."""
    world.model.scripts["architect-conventions"] = turns(
        [call("vers_swarm_spawn", count=1, labels=["server"]), call("vers_vm_create")],
        [call("vers_swarm_task", agentId="server", task="@@patient-work")],
        [call("vers_swarm_wait")],
        [call("bash", command="cat /root/.swarm/registry.json; echo x >/root/.swarm/registry.json")],
        [call("bash", command="until [ -e /tmp/go ]; do sleep 0.1; done")],
        [say("done")],
    )
    world.model.scripts["patient-work"] = turns(
        [
            call("write", path="/root/workspace/a.txt", content="a"),
            call("bash", command="until [ -e /tmp/go ]; do sleep 0.1; done"),
        ],
        [say("I waited.")],
    )
    run = world.new_run()
    swarm = build(run)
    building = Building(swarm, "@@architect-conventions")
    wait_until(lambda: calls_of(world, run, "vers_swarm_wait"), 60, "the architect waits")
    root = swarm.shell_of(ARCHITECT)

    def status() -> dict[str, Any]:
        found = root.run("cat /root/.swarm/status/server.json", check=False).text
        return dict(json.loads(found)) if found else {}

    at_work = wait_until(
        lambda: s if (s := status()).get("artifacts") and s["status"] == "working" else None, 20, "at work"
    )
    assert at_work["task"] == "@@patient-work"
    server = next(row.vm for row in world.fleet.agents(run) if row.agent == "server")
    registry = json.loads(root.read_file("/root/.swarm/registry.json"))["vms"]
    assert {(row["agentId"], row["role"], row["status"]) for row in registry} == {
        ("architect", "agent", "working"), ("server", "agent", "working"), ("scratch-1", "scratchpad", "running"),
    }  # fmt: skip
    identity = json.loads(world.provider.read_file(server, "/root/.swarm/identity.json"))
    assert identity["vmId"] == server
    assert identity["parentVmId"] == identity["rootVmId"] == root.vm
    assert (identity["depth"], identity["maxDepth"], identity["maxVms"]) == (1, 1, 4)
    swarm._machines.shell(server).run("touch /tmp/go")
    after = wait_until(lambda: s if (s := status())["status"] == "done" else None, 20, "done")
    assert after["summary"] == "I waited."
    root.run("touch /tmp/go")
    building.result()
    assert "vms" in json.loads(root.read_file("/root/.swarm/registry.json"))


def test_a_worker_may_have_another_model(world: World, build: Build) -> None:
    """A model that is allowed and priced is used, tools and thinking with it; another is refused with the reason. Who wishes
    nothing is as the operator set for the role.
    """
    world.model.scripts["architect-models"] = turns(
        [
            call("vers_swarm_spawn", count=1, labels=["small"], model=OTHER, tools=["read", "bash"]),
            call("vers_swarm_spawn", count=1, labels=["usual"]),
        ],
        [
            call("vers_swarm_task", agentId="small", task="@@small-work"),
            call("vers_swarm_task", agentId="usual", task="@@usual-work"),
        ],
        [call("vers_swarm_wait")],
        [
            call("vers_swarm_spawn", count=1, model="gpt-5"),
            call("vers_swarm_spawn", count=1, model="unpriced"),
        ],
        [say("done")],
    )
    world.model.scripts["small-work"] = turns([say("small")])
    world.model.scripts["usual-work"] = turns([say("usual")])
    run = world.new_run()
    swarm_tools = ("vers_swarm_spawn", "vers_swarm_task", "vers_swarm_wait")
    roles = {
        Role.ARCHITECT: Profile(MODEL, "off", swarm_tools),
        Role.WORKER: Profile(MODEL, "low", ("read", "write")),
    }
    swarm = build(run, warm_workers=1, allowed_models=(OTHER, "unpriced"), roles=roles)
    outcome = swarm.build("@@architect-models")
    assert {view.label: view.state for view in outcome.agents} == {
        "architect": "done", "small": "done", "usual": "done",
    }  # fmt: skip
    for name, tools, thinks in (
        ("architect-models", swarm_tools, False),
        ("usual-work", ("read", "write"), True),
    ):
        bodies = [body for body in world.model.asked if f"@@{name}" in json.dumps(body["messages"][0])]
        assert {tool["name"] for body in bodies for tool in body["tools"]} == set(tools)
        assert {body.get("thinking", {}).get("type") not in (None, "disabled") for body in bodies} == {thinks}
    asked = [body for body in world.model.asked if "@@small-work" in json.dumps(body)]
    own = [body for body in asked if body["model"] == OTHER]
    assert {tool["name"] for body in own for tool in body["tools"]} == {"read", "bash"}
    refusals = [answer(row) for row in calls_of(world, run, "vers_swarm_spawn")[2:]]
    assert any(f"This swarm uses {MODEL}, {OTHER}, unpriced only" in text for text in refusals)
    assert any("unpriced has no price" in text for text in refusals)
