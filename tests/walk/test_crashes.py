"""`kill -9` of the worker in the middle of a build: after a restart exactly one pull request, and no machine left."""

import contextlib
import os
import signal
import time
from collections.abc import Callable

import pytest

from bot.core.errors import Transient
from bot.core.models import AgentLabel, Phase, RunId, VmId
from tests.waiting import wait_until
from tests.walk.conftest import Walk


def _in_phase(phase: Phase) -> Callable[[Walk, RunId], bool]:
    return lambda walk, run: walk.stores.runs.get(run).phase == phase


def _between_effect_and_answer(walk: Walk, run: RunId) -> bool:
    """The workers exist and pi has not been told yet."""
    calls = walk.stores.fleet.calls(run)
    return any(call.tool == "vers_swarm_spawn" and call.state in ("open", "done") for call in calls)


MOMENTS = {
    "prepare": _in_phase(Phase.PREPARE),
    "spawn": _between_effect_and_answer,
    "collect": _in_phase(Phase.COLLECT),
    "preview": _in_phase(Phase.PREVIEW),
    "publish": _in_phase(Phase.PUBLISH),
}


def _await_moment(walk: Walk, run: RunId, moment: Callable[[Walk, RunId], bool]) -> None:
    def come() -> bool:
        assert not walk.stores.runs.get(run).state.ended, "the build ended before the moment came"
        return moment(walk, run)

    wait_until(come, 120, "the moment has come", pause_s=0.005)


@pytest.mark.parametrize("moments", [("prepare", "collect", "publish"), ("spawn", "preview")], ids="-".join)
def test_a_worker_killed_again_and_again_leaves_one_pull_request_and_no_machine(
    walk: Walk, moments: tuple[str, ...]
) -> None:
    """No second prompt, no second spawn, no second pull request, no orphan."""
    number = walk.open("multiplayer-snake.md")
    walk.label(number)
    run = walk.run_of(number)
    for moment in moments:
        _await_moment(walk, run, MOMENTS[moment])
        walk.kill_worker()
        walk.world.start_worker()
    ended = walk.ended(run)
    assert ended.state == "succeeded", ended.reason
    assert len(walk.pull_requests(number)) == 1
    agents = walk.stores.fleet.agents(run)
    assert sorted(agent.agent for agent in agents) == ["architect", "client", "landing", "server"]
    ours = [each for each in walk.comments(number) if "swarm:issue=" in str(each["body"])]
    assert len(ours) == 1
    walk.close_pull_request(number)


def test_a_worker_agent_whose_pi_is_killed_does_not_hang_the_build(walk: Walk) -> None:
    """The architect is told within 60 s, and the build ends with a reason or a pull request."""
    number = walk.open("multiplayer-snake.md")
    walk.label(number)
    run = walk.run_of(number)

    def working() -> str | None:
        rows = walk.stores.fleet.agents(run)
        return next((row.vm for row in rows if row.agent == "client" and row.tasks and row.vm), None)

    vm = wait_until(working, 90, "the client works")
    shell = walk.shell(vm)
    shell.run("pkill -KILL -u agent", check=False)
    shell.close()
    killed_at = time.monotonic()
    wait_until(
        lambda: any(
            row.agent == "client" and row.state in ("failed", "lost") for row in walk.stores.fleet.agents(run)
        ),
        60,
        "the client's death is known",
    )
    assert time.monotonic() - killed_at < 60
    ended = walk.ended(run)
    assert ended.state in ("succeeded", "failed")
    assert ended.state == "succeeded" or ended.reason
    walk.close_pull_request(number)
    wait_until(lambda: walk.machines() == 0, 60, "no machine is left")


def test_a_line_that_is_cut_in_a_model_call_costs_nothing(walk: Walk) -> None:
    """The agent goes on, and the call that was under way is paid once."""
    number = walk.open("multiplayer-snake.md")
    walk.label(number)
    run = walk.run_of(number)

    def answering() -> VmId | None:
        if not any(call["agent"] == "client" and call["outcome"] == "open" for call in walk.ledger(run)):
            return None
        return next(row.vm for row in walk.stores.fleet.agents(run) if row.agent == "client")

    with walk.pace(150):
        vm = wait_until(answering, 90, "the client's model call is under way")
        shell = walk.shell(vm)
        # Every session on the machine ends as if the network had gone: no farewell from either side.
        with contextlib.suppress(Transient):  # ours is among them
            shell.run("pkill -KILL -f 'sshd: root'")
        shell.close()
    ended = walk.ended(run)
    assert ended.state == "succeeded", ended.reason
    calls = [call for call in walk.ledger(run) if call["agent"] == "client"]
    assert len(calls) == 3, "write, syntax check, last words: none of them twice"
    assert walk.stores.usage.by_agent(run)[AgentLabel("client")].output == sum(
        int(str(c["output_tokens"])) for c in calls
    )
    walk.close_pull_request(number)


def test_stopping_takes_the_machines_away(walk: Walk) -> None:
    """`/swarm stop` in the middle: cancelled, with the person's name, and no machine within 30 s."""
    number = walk.open("multiplayer-snake.md")
    walk.label(number)
    run = walk.run_of(number)
    _await_moment(walk, run, _in_phase(Phase.SWARM))
    walk.person("wendy").comment("acme/arcade", number, "/swarm stop")
    ended = walk.ended(run, 30)
    assert ended.state == "cancelled"
    assert "@wendy" in ended.reason
    wait_until(lambda: walk.machines() == 0, 10, "no machine is left")


def test_web_and_worker_end_on_sigterm(walk: Walk) -> None:
    """A deploy's SIGTERM ends the worker in seconds; the next one takes over."""
    child = walk.worker()
    os.kill(child.process.pid, signal.SIGTERM)
    assert child.process.wait(15) == 0
    walk.world.processes.all.remove(child)
    walk.world.start_worker()
