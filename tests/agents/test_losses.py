"""What is lost on the way: a pi that is killed, a worker that does not come up, a machine that goes and comes back."""

import json
from typing import Any

import httpx

from bot.agents.daemon import START
from bot.agents.lines import PROGRAMS, STARTS
from bot.agents.swarm import Swarm
from bot.core.models import AgentLabel, AgentState
from bot.local.vers.server import Running
from tests.agents.building import ARCHITECT, Build, Building, answer, calls_of, turns
from tests.agents.conftest import World
from tests.agents.scripted import Block, call, results, say
from tests.waiting import wait_until

WORKER = AgentLabel("server")
WORDS = "0123456789" * 5_500
"""Over 50 KB."""


def kill(swarm: Swarm, agent: AgentLabel, times: int) -> None:
    """Kill an agent's pi, for the so-many-th time, while a tool call is open."""

    def at_work() -> bool:
        watch = swarm._roster.watch(agent)
        return bool(watch and watch.progress.restarts == times - 1 and watch.progress.open_tools)

    wait_until(at_work, 60, f"{agent} is at work again")
    swarm.shell_of(agent).run(f"kill -KILL $(cat {STARTS}/{START}/pid)")


def test_a_killed_pi_goes_on(world: World, build: Build) -> None:
    """With its conversation and its files, architect or worker, and its state is honest meanwhile. The third time it has
    failed: the architect's wait returns with the cause, and the worker takes no more tasks.
    """
    world.model.scripts["architect-killed"] = turns(
        [call("vers_swarm_spawn", count=1, labels=[WORKER])],
        [call("vers_swarm_task", agentId=WORKER, task="@@long-work")],
        [call("vers_swarm_wait")],
        [call("vers_swarm_wait")],
        [call("vers_swarm_task", agentId=WORKER, task="again")],
        [say("one is lost")],
    )
    world.model.scripts["long-work"] = turns(
        [call("write", path="first.txt", content="kept"), call("bash", command="sleep 100")],
        [call("bash", command="cat first.txt; sleep 101")],
    )
    run = world.new_run()
    swarm = build(run, warm_workers=1)
    building = Building(swarm, "@@architect-killed")
    kill(swarm, WORKER, 1)
    kill(swarm, ARCHITECT, 1)

    def waits_again() -> bool:
        waits = calls_of(world, run, "vers_swarm_wait")
        return len(waits) == 2 and waits[0].result is not None  # the first ends soon after its pi

    wait_until(waits_again, 60, "the architect waits again")
    assert "withdrawn" not in answer(calls_of(world, run, "vers_swarm_wait")[0])
    assert swarm._roster.view(WORKER).state is AgentState.WORKING
    kill(swarm, WORKER, 2)
    kill(swarm, WORKER, 3)
    outcome = building.result()
    assert outcome.architect_state is AgentState.DONE, outcome.reason
    worker = next(view for view in outcome.agents if view.label == WORKER)
    assert (worker.state, "137" in worker.reason) == (AgentState.FAILED, True)
    assert "failed: pi ended with exit status 137" in answer(calls_of(world, run, "vers_swarm_wait")[1])
    assert "takes no tasks any more" in answer(calls_of(world, run, "vers_swarm_task")[1])
    resumed = [body["messages"] for body in world.model.asked if "has been started again" in json.dumps(body)]
    assert sum("@@architect-killed" not in json.dumps(messages) for messages in resumed) == 2
    for messages in resumed:  # a real model refuses a call without its result
        blocks = [b for m in messages if isinstance(m["content"], list) for b in m["content"]]
        asked = {b["id"] for b in blocks if b["type"] == "tool_use"}
        assert asked == {b["tool_use_id"] for b in blocks if b["type"] == "tool_result"}
        assert asked


def test_a_spawn_of_which_one_fails(world: World, build: Build, local_vers: Running) -> None:
    """The other is there, the failure has its reason, nothing is leaked; a warm machine that is broken is exchanged; what
    pi wrote as it failed to start is the reason; a teardown may take one worker and leave the rest.
    """
    found: dict[str, str] = {}

    def architect(turn: int, messages: list[dict[str, Any]]) -> list[Block]:
        if turn == 4:
            found["commit"] = json.loads(results(messages)[-1])["commitId"]
        return [
            lambda: [call("bash", command="until [ -e /tmp/go ]; do sleep 0.1; done")],
            lambda: [call("vers_swarm_spawn", count=2, labels=["good", "bad"])],
            lambda: [call("bash", command="until [ -e /tmp/on ]; do sleep 0.1; done")],
            lambda: [call("vers_vm_commit", vmId="good")],
            lambda: [call("vers_swarm_spawn", count=1, labels=["mute"], commitId=found["commit"])],
            lambda: [call("vers_swarm_teardown", agentIds=["good"])],
            lambda: [call("vers_swarm_status")],
            lambda: [say("done")],
        ][turn]()

    world.model.scripts["architect-half"] = architect
    run = world.new_run()
    swarm = build(run, warm_workers=1)
    building = Building(swarm, "@@architect-half")
    (seat,) = wait_until(
        lambda: [row.vm for row in world.fleet.machines(run) if row.purpose == "agent-2" and row.vm],
        60,
        "a seat",
    )
    wait_until(lambda: swarm._bench._free[0].ready and swarm._bench._free[0].ready.done(), 60, "it is warm")
    fault = {"route": "POST /vm/branch/by_commit/*", "kind": "before", "status": 403, "times": 2}
    httpx.post(f"{local_vers.base_url}/_local/faults", json=fault).raise_for_status()
    swarm.shell_of(ARCHITECT).run("touch /tmp/go")
    (first,) = wait_until(
        lambda: [row for row in calls_of(world, run, "vers_swarm_spawn") if row.result], 60, "the first spawn"
    )
    good, bad = json.loads(answer(first))["agents"]
    assert (good["vmId"], good["state"]) == (seat, "idle")
    assert (bad["vmId"], bad["state"]) == (None, "failed")
    assert "branching 1 from commit" in bad["reason"]

    pi = swarm.shell_of(AgentLabel("good"))
    pi.run("printf '#!/bin/sh\\necho no such luck >&2\\nexit 3\\n' >/usr/local/bin/pi.new && chmod 755 /usr/local/bin/pi.new "
           "&& mv /usr/local/bin/pi.new /usr/local/bin/pi")  # fmt: skip
    swarm.shell_of(ARCHITECT).run("touch /tmp/on")
    outcome = building.result()
    assert outcome.architect_state is AgentState.DONE, outcome.reason
    (mute,) = json.loads(answer(calls_of(world, run, "vers_swarm_spawn")[1]))["agents"]
    assert mute["state"] == "failed"
    assert "exit status 3: no such luck" in mute["reason"]
    assert answer(calls_of(world, run, "vers_swarm_teardown")[0]) == "Removed: good."
    listed = answer(calls_of(world, run, "vers_swarm_status")[0])
    assert "good (worker" in listed
    there = {vm.id for vm in world.provider.vms() if vm.labels.get("run") == run}
    assert there == {swarm.shell_of(ARCHITECT).vm}, "no machine of a worker that is not there"


def test_discover_follows_a_lost_worker_again(world: World, build: Build) -> None:
    """A machine that did not answer is found again with its pi, and works; an answer beyond 50 KB is cut, and the rest can be
    read.
    """
    world.model.scripts["architect-finds"] = turns(
        [call("vers_swarm_spawn", count=1, labels=[WORKER])],
        [call("bash", command="until [ -e /tmp/go ]; do sleep 0.1; done")],
        [call("vers_swarm_discover")],
        [call("vers_swarm_task", agentId=WORKER, task="@@long-words")],
        [call("vers_swarm_wait")],  # may end with the news of the loss
        [call("vers_swarm_wait")],
        [call("vers_swarm_read", agentId=WORKER)],
        [call("bash", command="tail -c 31 /root/.swarm/results/*.txt")],
        [say("done")],
    )
    world.model.scripts["long-words"] = turns([say(f"{WORDS} and that was all.")])
    run = world.new_run()
    swarm = build(run, warm_workers=1)
    building = Building(swarm, "@@architect-finds")
    wait_until(
        lambda: [row for row in calls_of(world, run, "vers_swarm_spawn") if row.result], 60, "a worker"
    )
    keeper = f"{PROGRAMS}/keeper.py"
    swarm.shell_of(WORKER).run(f"mv {keeper} {keeper}.away")
    wait_until(lambda: swarm._roster.view(WORKER).state is AgentState.LOST, 60, "it is lost")
    swarm.shell_of(WORKER).run(f"mv {keeper}.away {keeper}")
    swarm.shell_of(ARCHITECT).run("touch /tmp/go")
    outcome = building.result(90)
    assert {view.label: view.state for view in outcome.agents} == {
        "architect": AgentState.DONE, "server": AgentState.DONE,
    }  # fmt: skip
    assert "Found again: server." in answer(calls_of(world, run, "vers_swarm_discover")[0])
    cut = answer(calls_of(world, run, "vers_swarm_read")[0])
    assert len(cut.encode()) < 51_000
    assert "[cut after 50,000 of 55," in cut
    heard = [text for body in world.model.asked for text in results(body["messages"])]
    assert any("and that was all." in text and len(text) < 1000 for text in heard), (
        "the rest was read from its file"
    )
