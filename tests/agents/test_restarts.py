"""The worker process ends in the middle of a tool call, and another goes on: every effect once. And calls that take long."""

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from bot.agents.outside import Outside
from bot.core.errors import Transient
from bot.core.models import AgentLabel, AgentState
from tests.agents.building import ARCHITECT, Build, Building, answer, calls_of, turns
from tests.agents.conftest import World
from tests.agents.scripted import Block, call, results, say, user_texts
from tests.agents.test_vmtools import made
from tests.waiting import wait_until

WORKER = AgentLabel("pool-1-1")


def test_in_the_middle_of_a_pool_and_of_a_command(world: World, build: Build) -> None:
    """The pool hands no item out twice, and what the architect ran on another machine has run on and is answered; then the
    pool's worker is lost, and the one in its place makes again what went with it.
    """
    given: list[str] = []
    found: dict[str, str] = {}
    count = "echo once >>count; until [ -e /tmp/go ]; do sleep 0.1; done; wc -l <count"

    def architect(turn: int, messages: list[dict[str, Any]]) -> list[Block]:
        if turn == 1:
            found["vm"] = made(messages)
        return [
            lambda: [call("vers_vm_create", mem_size_mib=512, fs_size_mib=1024)],
            lambda: [call("vers_vm_use", vmId=found["vm"])],
            lambda: [
                call("bash", command=count),
                call("vers_swarm_pool", items=["a", "b", "c"], task="@@pool-item <<{item}>>", size=1),
            ],
            lambda: [say("\n".join(results(messages)))],
        ][turn]()

    def worker(turn: int, messages: list[dict[str, Any]]) -> list[Block]:
        item = [text for _, text in user_texts(messages) if "@@pool-item" in text][-1].split("<<")[1][0]
        if turn:
            return [say(f"made {item}")]
        given.append(item)
        pause = "true" if item == "a" else f"until [ -e /tmp/{item} ]; do sleep 0.1; done"
        return [call("bash", command=f"{pause}; echo {item} >{item}.txt")]

    world.model.scripts["architect-pauses"] = architect
    world.model.scripts["pool-item"] = worker
    run = world.new_run()
    first = build(run, warm_workers=1)
    dying = Building(first, "@@architect-pauses")
    wait_until(lambda: given == ["a", "b"], 60, "the second item is under way")
    wait_until(lambda: calls_of(world, run, "vm_exec"), 60, "and so is the command")
    scratch = first._machines.shell(next(iter(first._machines.of_scratch().values())))
    wait_until(lambda: scratch.run("cat /root/workspace/count", check=False).text, 20, "it has begun")
    first.close()
    with pytest.raises(Transient):
        dying.result()
    assert {row.result for row in world.fleet.calls(run) if row.tool in ("vm_exec", "vers_swarm_pool")} == {
        None
    }

    second = build(run, warm_workers=1)
    building = Building(second, "@@architect-pauses")
    wait_until(lambda: second._roster.watch(WORKER), 60, "the worker is watched again")
    second.shell_of(WORKER).run("touch /tmp/b")
    second._machines.shell(scratch.vm).run("touch /tmp/go")
    wait_until(lambda: given == ["a", "b", "c"], 60, "the third item is under way")
    lost = second.shell_of(WORKER).vm
    world.provider.delete(lost)
    wait_until(
        lambda: (
            (there := second._roster.view(WORKER).vm) not in (None, lost)
            and (watch := second._roster.watch(WORKER))
            and watch.vm == there
            and watch.knows("pool-1-2")
        ),
        60,
        "the worker is replaced, and the one in its place is at the second item",
    )
    second.shell_of(WORKER).run("touch /tmp/b /tmp/c")
    outcome = building.result(90)
    assert outcome.architect_state is AgentState.DONE, outcome.reason
    (pool,) = calls_of(world, run, "vers_swarm_pool")
    assert "3 of 3 items done, 0 failed, 0 left." in answer(pool)
    assert "3 files were copied into /root/workspace." in answer(pool)
    assert set(given[3:]) <= {"a", "b", "c"}, "what the gateway remembers is not asked again"
    assert "\n1\n" in f"\n{outcome.last_text}\n", "the command ran once, and its output arrived"
    names = second.shell_of(ARCHITECT).run("ls /root/workspace").text.split()
    assert {"a.txt", "b.txt", "c.txt"} <= set(names)


def test_a_call_of_45_minutes(world: World, build: Build) -> None:
    """While a tool call is open, its agent is at work however long it takes, and in the end it is answered."""
    ahead_s: list[float] = [0.0]
    release = threading.Event()

    def held(_call: str, _labels: Any, _spec: str, ending: Callable[[], bool]) -> str:
        wait_until(lambda: release.is_set() or ending(), 60, "somebody decides")
        return "Think again."

    world.model.scripts["architect-held"] = turns([call("vers_swarm_spawn", count=1)], [say("I think.")])
    run = world.new_run()
    swarm = build(
        run, Outside(before_spawn=held), now=lambda: time.time() + ahead_s[0], warm_workers=0,
        run_deadline=time.time() + 7200, stall_s=60.0,
    )  # fmt: skip
    building = Building(swarm, "@@architect-held")
    wait_until(lambda: calls_of(world, run, "vers_swarm_spawn"), 60, "the call is open")
    for _ in range(3):
        ahead_s[0] += 15 * 60
        swarm.look()
        assert swarm._roster.view(ARCHITECT).state is AgentState.WORKING
    release.set()
    outcome = building.result()
    assert (outcome.architect_state, outcome.last_text) == (AgentState.DONE, "I think.")
    assert answer(calls_of(world, run, "vers_swarm_spawn")[0]) == "Think again."
