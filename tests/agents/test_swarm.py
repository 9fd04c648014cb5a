"""A whole swarm on real machines with real pi; only the model's words are played."""

import contextlib
import json
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from bot.agents.daemon import START
from bot.agents.lines import STARTS
from bot.agents.outside import Message, Outside
from bot.agents.swarm import PROMPT
from bot.core.errors import Cancelled, Transient
from bot.core.models import AgentLabel, AgentState, Artifact, CommitId
from bot.core.tree import Blob, Start, blob_sha
from bot.pipeline.journal.fleet import Fleet, ToolCall
from tests.agents.building import ARCHITECT, Build, Building, answer, calls_of, turns
from tests.agents.conftest import World
from tests.agents.scripted import Block, call, results, say
from tests.waiting import wait_until

WORKER = AgentLabel("server")
LARGE = "a line\u2028and\u2029another\u0085é😀\r\n" * 7_000
"""Over 200 KB, with characters that some readers take for line ends."""
SPEC = "# The contract\n\nThe server sends `segments`.\n"


def test_people_around_a_swarm(world: World, build: Build) -> None:
    """An objection is the answer to the spawn and leaves the names free; a message ends a wait and is read once."""
    heard: list[str] = []
    messages: list[Message] = []
    asked: list[tuple[list[str], str]] = []

    def before_spawn(_call: str, labels: Any, spec: str, _ending: Callable[[], bool]) -> str:
        asked.append((list(labels), spec))
        return "Use a list." if len(asked) == 1 else ""

    def architect(turn: int, messages: list[dict[str, Any]]) -> list[Block]:
        heard.extend(results(messages))
        return [
            [call("write", path="/root/workspace/SPEC.md", content=SPEC)],
            [call("vers_swarm_spawn", count=1, labels=["server"])],
            [call("vers_swarm_spawn", count=1, labels=["server"])],
            [call("vers_swarm_task", agentId="server", task="@@slow-server go")],
            [call("vers_swarm_wait")],
            [say("Wrapped up.")],
        ][turn]

    world.model.scripts["architect-people"] = architect
    world.model.scripts["slow-server"] = turns([call("bash", command="sleep 60")], [say("done")])
    run = world.new_run()
    building = Building(
        build(run, Outside(before_spawn=before_spawn, messages=lambda: tuple(messages))),
        "@@architect-people You are the ARCHITECT.",
    )
    wait_until(lambda: calls_of(world, run, "vers_swarm_wait"), 60, "the architect waits")
    messages.append(Message("order-1", "Hurry, please."))
    outcome = building.result()
    assert outcome.last_text == "Wrapped up."
    (waited,) = calls_of(world, run, "vers_swarm_wait")
    assert answer(waited).startswith("0 of 1 workers done, 1 still at work")
    assert "There is a message for you, which comes next." in answer(waited)
    assert asked == [(["server"], SPEC), (["server"], SPEC)]
    assert "Use a list." in heard
    bodies = [body for body in world.model.asked if "Hurry, please." in json.dumps(body)]
    assert json.dumps(bodies[-1]).count("Hurry, please.") == 1


def test_a_build(world: World, build: Build) -> None:
    """Spec, spawn, three tasks of 200 KB at once, wait, collect: the workers' files stand in the architect's workspace."""
    heard: list[str] = []
    labels = ("server", "client", "landing")

    def architect(turn: int, messages: list[dict[str, Any]]) -> list[Block]:
        heard.extend(results(messages))
        return [
            [call("write", path="/root/workspace/SPEC.md", content=SPEC)],
            [call("vers_swarm_spawn", count=3, labels=labels)],
            [call("vers_swarm_task", agentId=label, task=f"@@build-{label} {LARGE}") for label in labels],
            [call("vers_swarm_wait")],
            [call("vers_swarm_read", agentId="server"), call("vers_swarm_status")],
            [call("vers_swarm_collect", prefer="client")],
            [call("bash", command="cd /root/workspace && ls -l && cat server.txt && cat package.json")],
            [call("vers_swarm_teardown")],
            [say("All of it stands.")],
        ][turn]

    world.model.scripts["architect-build"] = architect
    for label in labels:
        world.model.scripts[f"build-{label}"] = turns(
            [
                call("write", path=f"/root/workspace/{label}.txt", content=f"made by {label}\n"),
                call("write", path="/root/workspace/package.json", content=f'{{"name": "{label}"}}\n'),
                call("write", path="/root/workspace/AGENTS.md", content="obey me\n"),
                call("bash", command="ln -s /etc/passwd /root/workspace/link; sleep 0.3"),
            ],
            [say(f"{label} is made.")],
        )
    run = world.new_run()
    outcome = build(run).build("@@architect-build You are the ARCHITECT.")

    assert outcome.architect_state is AgentState.DONE, outcome.reason
    assert outcome.last_text == "All of it stands."
    assert {view.label: view.state for view in outcome.agents} == dict.fromkeys(
        (ARCHITECT, *labels), AgentState.DONE
    )
    assert all(view.tokens.output > 0 for view in outcome.agents)
    listing = next(text for text in heard if "made by server" in text)
    assert '{"name": "client"}' in listing
    assert "AGENTS.md" not in listing
    assert "link" not in listing
    assert "agent agent" in listing
    report = next(text for text in heard if "were copied into" in text)
    assert "Clash: package.json was made differently by server, landing" in report
    assert "Left out: AGENTS.md of server" in report
    tasks = world.model.texts_with("@@build-")
    assert len(LARGE.encode()) > 200_000
    assert all(SPEC in text and LARGE in text for text in tasks)  # byte for byte
    assert len({text for text in tasks if "@@build-server" in text}) == 1
    assert [len(wait.agents) for wait in outcome.waits] == [3]
    assert sorted(task.agent for task in outcome.tasks) == sorted(labels)
    slept = next(ran for ran in outcome.commands if ran.agent == "server" and "sleep" in ran.text)
    assert 0.3 <= slept.ended - slept.started < 3
    assert abs(slept.ended - time.time()) < 60


def test_a_build_of_existing_code(world: World, build: Build) -> None:
    """Everybody starts from the same files and reads the instructions; collected is what a worker changed, no more."""
    start = (
        Artifact("AGENTS.md", b"Indent with tabs, says the repository.\n"),
        Artifact("a.txt", b"a\n"),
        Artifact("b.txt", b"b\n"),
        Artifact("run.sh", b"#!/bin/sh\n", 0o100755),
    )
    listing = {f.path: Blob(blob_sha(f.content), f.mode, len(f.content)) for f in start}
    heard: list[str] = []

    def architect(turn: int, messages: list[dict[str, Any]]) -> list[Block]:
        heard.extend(results(messages))
        return [
            [call("write", path="/root/workspace/b.txt", content="mine\n")],
            [call("vers_swarm_spawn", count=2, labels=["one", "two"])],
            [call("vers_swarm_task", agentId=label, task=f"@@existing-{label}") for label in ("one", "two")],
            [call("vers_swarm_wait")],
            [call("vers_swarm_collect")],
            [
                call(
                    "bash", command="cd /root/workspace && cat a.txt b.txt c.txt && stat -c '%a %U %n' run.sh"
                )
            ],
            [say("done")],
        ][turn]

    world.model.scripts["architect-existing"] = architect
    world.model.scripts["existing-one"] = turns(
        [call("bash", command="cd /root/workspace && cat b.txt >> a.txt")], [say("ok")]
    )
    world.model.scripts["existing-two"] = turns(
        [call("bash", command="cd /root/workspace && cp a.txt c.txt")], [say("ok")]
    )
    run = world.new_run()
    outcome = build(run).build("@@architect-existing You are the ARCHITECT.", Start(start, listing))
    assert outcome.architect_state is AgentState.DONE, outcome.reason
    assert any("a\nb\nmine\na\n755 agent run.sh" in text for text in heard), heard
    report = next(text for text in heard if "were copied into" in text)
    assert "one: a.txt (4 bytes)" in report
    assert "two: c.txt (2 bytes)" in report
    (noted,) = [event.data["files"] for event in world.runs.events(run) if event.kind == "collected"]
    assert noted == {"one": {"a.txt": blob_sha(b"a\nb\n")}, "two": {"c.txt": blob_sha(b"a\n")}}
    for name in ("@@architect-existing", "@@existing-one", "@@existing-two"):
        (first, *_) = [body for body in world.model.asked if name in json.dumps(body["messages"])]
        assert "Indent with tabs" in json.dumps(first["system"])


def test_refusals_are_sentences(world: World, build: Build) -> None:
    """What an agent may not do comes back as an error that says what to do instead."""
    world.model.scripts["architect-refused"] = turns(
        [
            call("vers_swarm_spawn", count=9),
            call("vers_swarm_spawn", count=1, commitId="11111111-2222-3333-4444-555555555555"),
            call("vers_swarm_spawn", count=1, model="gpt-5"),
            call("vers_swarm_spawn", count=2, labels=["a", "a"]),
            call("vers_swarm_task", agentId="nobody", task="x"),
            call("vers_swarm_wait"),
        ],
        [call("vers_swarm_spawn", count=1)],
        [call("vers_swarm_task", agentId="agent-1", task="@@greedy")],
        [call("vers_swarm_wait")],
        [say("done")],
    )
    world.model.scripts["greedy"] = turns([call("vers_swarm_spawn", count=1)], [say("I may not.")])
    run = world.new_run()
    outcome = build(run).build("@@architect-refused")
    assert outcome.architect_state is AgentState.DONE
    said = "\n".join(answer(row) for row in world.fleet.calls(run))
    for sentence in (
        "room for 3 more",
        "leave commitId out",
        "claude-sonnet-4-5 only",
        "The label a is taken",
        "There is no agent 'nobody'. The agents are: architect",
        "No worker has a task.",
        "Only the architect may use the swarm's tools: a worker stands at the greatest depth",
    ):
        assert sentence in said
    assert [view.label for view in outcome.agents] == ["architect", "agent-1"]


class DyingFleet(Fleet):
    """A journal whose process dies before the result of a spawn is written."""

    def finish_call(self, call: ToolCall, result: str) -> None:
        if call.tool == "vers_swarm_spawn":
            raise KeyboardInterrupt
        super().finish_call(call, result)


def test_a_restart_continues(world: World, build: Build, golden: CommitId) -> None:
    """A process dies after a spawn's effect and before its answer: the next one spawns nobody again and finishes."""
    prompt = "@@architect-restart"
    world.model.scripts["architect-restart"] = turns(
        [call("vers_swarm_spawn", count=2)],
        [call("vers_swarm_task", agentId="agent-1", task="@@short-work")],
        [call("vers_swarm_wait")],
        [say("done")],
    )
    world.model.scripts["short-work"] = turns([say("worked")])
    run = world.new_run()
    first = build(run)
    first._desk._fleet = DyingFleet(world.fleet._engine, time.time)
    dying = Building(first, prompt)
    wait_until(lambda: len(world.fleet.agents(run)) == 3, 60, "the workers are spawned")
    wait_until(lambda: all(row.pi_start for row in world.fleet.agents(run)), 60, "they have settled in")
    first.close()
    with pytest.raises(Transient):
        dying.result()
    (spawn,) = calls_of(world, run, "vers_swarm_spawn")
    assert spawn.state == "open"
    machines = {row.vm for row in world.fleet.machines(run)}

    second = build(run)
    outcome = second.build(prompt)
    assert outcome.architect_state is AgentState.DONE, outcome.reason
    assert [view.label for view in outcome.agents] == ["architect", "agent-1", "agent-2"]
    assert {row.vm for row in world.fleet.machines(run)} == machines
    (spawn,) = calls_of(world, run, "vers_swarm_spawn")
    assert spawn.state == "answered"
    sent = second.shell_of(ARCHITECT).run(f"ls {STARTS}/{START}/sent").text.split()
    assert sent.count(PROMPT) == 1
    assert sum(name.startswith("answer-") for name in sent) == 3
    second.close()
    again = build(run).build(prompt)  # once more, after the end: nothing is left to do
    assert again.architect_state is AgentState.DONE
    assert again.last_text == "done"


def test_a_silent_agent_is_stalled_not_done(world: World, build: Build) -> None:
    """A wait tells of the silence; when the worker speaks again it is at work again, and done in the end."""
    speak = threading.Event()

    def silent(turn: int, _messages: list[dict[str, Any]]) -> list[Block]:
        assert speak.wait(60)
        return [say("here I am")]

    world.model.scripts["silent-work"] = silent
    world.model.scripts["architect-silent"] = turns(
        [call("vers_swarm_spawn", count=1, labels=[WORKER])],
        [call("vers_swarm_task", agentId=WORKER, task="@@silent-work")],
        [call("vers_swarm_wait")],
        [call("vers_swarm_wait")],
        [say("done")],
    )
    run = world.new_run()
    building = Building(build(run, stall_s=2.0, warm_workers=1), "@@architect-silent")
    wait_until(lambda: len(calls_of(world, run, "vers_swarm_wait")) == 2, 60, "the stall is told")
    first, second = calls_of(world, run, "vers_swarm_wait")
    assert "stalled: nothing was heard of it for more than 2 s" in answer(first)
    assert second.result is None
    speak.set()
    assert building.result().architect_state is AgentState.DONE
    assert answer(calls_of(world, run, "vers_swarm_wait")[1]).startswith("1 of 1 workers done.")


def test_a_lost_line_and_a_lost_machine(world: World, build: Build) -> None:
    """A broken line is opened again and nothing is missed; a lost worker is replaced with its task, once, and told of."""
    lives: list[int] = []

    def doomed(turn: int, _messages: list[dict[str, Any]]) -> list[Block]:
        lives.append(turn)
        return [call("bash", command="sleep 100")]

    world.model.scripts["doomed-work"] = doomed
    world.model.scripts["architect-lines"] = turns(
        [call("vers_swarm_spawn", count=2, labels=["client", WORKER])],
        [
            call("vers_swarm_task", agentId="client", task="@@patient-work"),
            call("vers_swarm_task", agentId=WORKER, task="@@doomed-work"),
        ],
        [call("vers_swarm_wait")],
        [call("vers_swarm_wait")],
        [call("vers_swarm_wait", agentIds=["client"])],
        [say("done")],
    )
    world.model.scripts["patient-work"] = turns(
        [call("bash", command="until [ -e /tmp/go ]; do sleep 0.1; done")], [say("I waited.")]
    )
    run = world.new_run()
    swarm = build(run)
    building = Building(swarm, "@@architect-lines")
    wait_until(lambda: calls_of(world, run, "vers_swarm_wait"), 60, "the architect waits")
    wait_until(lambda: lives, 60, "the worker works")
    with contextlib.suppress(Transient):
        swarm.shell_of(AgentLabel("client")).run("pkill -KILL -f 'sshd: root'")
    first = next(row.vm for row in world.fleet.agents(run) if row.agent == WORKER)
    assert first
    world.provider.delete(first)
    wait_until(lambda: len(calls_of(world, run, "vers_swarm_wait")) == 2, 60, "the loss is told")
    told = answer(calls_of(world, run, "vers_swarm_wait")[0])
    assert "server was lost (its machine is gone). It was replaced on a fresh machine" in told
    second = next(row.vm for row in world.fleet.agents(run) if row.agent == WORKER)
    assert second
    assert second != first
    again = swarm._roster.watch(WORKER)
    assert again
    wait_until(lambda: again.progress.open_tools, 60, "it does the same task again")
    world.provider.delete(second)
    wait_until(lambda: len(calls_of(world, run, "vers_swarm_wait")) == 3, 60, "the second loss is told")
    assert "lost: its machine is gone" in answer(calls_of(world, run, "vers_swarm_wait")[1])
    swarm.shell_of(AgentLabel("client")).run("touch /tmp/go")
    outcome = building.result()
    assert {view.label: view.state for view in outcome.agents} == {
        "architect": AgentState.DONE, "client": AgentState.DONE, "server": AgentState.LOST,
    }  # fmt: skip


def test_steering_and_stopping(world: World, build: Build) -> None:
    """A stop ends one worker's work, a steering task turns another's, and a message for the architect ends its wait."""
    world.model.scripts["architect-steers"] = turns(
        [call("vers_swarm_spawn", count=2, labels=["client", WORKER])],
        [call("vers_swarm_task", agentId=name, task="@@patient-work") for name in ("client", WORKER)],
        [call("bash", command="until [ -e /tmp/go ]; do sleep 0.1; done")],
        [
            call("vers_swarm_stop", agentId="client"),
            call("vers_swarm_task", agentId=WORKER, task="@@turned", steer=True),
        ],
        [call("vers_swarm_discover"), call("vers_swarm_stop", agentId="client")],
        [call("vers_swarm_wait", agentIds=[WORKER])],
        [say("unheard")],
    )
    world.model.scripts["patient-work"] = turns(
        [call("bash", command="until [ -e /tmp/go ]; do sleep 0.1; done")], [say("I waited.")]
    )
    world.model.scripts["turned"] = turns([call("bash", command="sleep 100")], [say("never")])
    world.model.scripts["heard"] = turns([say("I heard you.")])
    run = world.new_run()
    swarm = build(run)
    building = Building(swarm, "@@architect-steers")
    wait_until(lambda: len(calls_of(world, run, "vers_swarm_task")) == 2, 60, "the workers are tasked")
    for label in ("client", WORKER):
        watched = swarm._roster.watch(AgentLabel(label))
        assert watched
        wait_until(lambda w=watched: w.progress.open_tools, 30, "it is at work")  # type: ignore[misc]
    swarm.shell_of(ARCHITECT).run("touch /tmp/go")
    (stopped,) = wait_until(
        lambda: [row for row in calls_of(world, run, "vers_swarm_stop")[:1] if row.result], 30, "a stop"
    )
    assert answer(stopped) == "client is stopped. Its files stay, and it takes another task."
    wait_until(lambda: len(calls_of(world, run, "vers_swarm_task")) == 3, 30, "the turn")
    swarm.shell_of(WORKER).run("touch /tmp/go")  # a steering task does not interrupt a tool call
    wait_until(lambda: calls_of(world, run, "vers_swarm_wait"), 30, "the architect waits")
    for _ in range(2):
        swarm.steer("@@heard Stop it.", "m1")
    outcome = building.result(40)
    assert outcome.last_text == "I heard you."
    (waited,) = calls_of(world, run, "vers_swarm_wait")
    assert "There is a message for you" in answer(waited)
    assert "It hears of it as soon as" in answer(calls_of(world, run, "vers_swarm_task")[2])
    assert "client was not at work: it is failed: " in answer(calls_of(world, run, "vers_swarm_stop")[1])
    assert len(world.model.texts_with("@@turned")) > 0
    assert len(set(world.model.texts_with("@@heard"))) == 1


def test_cancelled(world: World, build: Build) -> None:
    """A stop ends the build within seconds, and a teardown leaves no machine and no bearer."""
    world.model.scripts["architect-busy"] = turns([call("bash", command="sleep 100")])
    run = world.new_run()
    swarm = build(run)
    building = Building(swarm, "@@architect-busy")
    wait_until(lambda: any(row.pi_start for row in world.fleet.agents(run)), 60, "the architect works")
    world.runs.cancel(run, "someone", "enough")
    with pytest.raises(Cancelled, match="enough"):
        building.result(10)
    swarm.teardown()
    assert world.fleet.machines(run) == []


def test_the_deadline_and_a_failing_model(world: World, build: Build) -> None:
    """A build that takes too long fails with that reason; one whose model refuses fails with the model's words."""
    world.model.scripts["architect-busy"] = turns([call("bash", command="sleep 100")])
    late = build(world.new_run(), run_deadline=time.time() + 6, warm_workers=0).build("@@architect-busy")
    assert late.architect_state is AgentState.FAILED
    assert "time limit" in late.reason
    run = world.new_run()
    poor = build(run, warm_workers=0, model="claude-without-a-price").build("@@architect-busy")
    assert poor.architect_state is AgentState.FAILED
    assert "claude-without-a-price" in poor.reason


def test_the_guides_own_pi(world: World, old_golden: CommitId) -> None:
    """An older pi, which never says that it has settled, runs the same swarm with the same extension."""
    world.model.scripts["architect-old"] = turns(
        [call("vers_swarm_spawn", count=1, labels=[WORKER])],
        [call("vers_swarm_task", agentId=WORKER, task="@@old-work")],
        [call("vers_swarm_wait")],
        [call("vers_swarm_wait")],
        [say("done")],
    )
    world.model.scripts["old-work"] = turns(
        [call("bash", command="until [ -e /tmp/go ]; do sleep 0.1; done")], [say("worked")]
    )
    run = world.new_run()
    swarm = world.swarm(run, old_golden, warm_workers=1)
    try:
        building = Building(swarm, "@@architect-old")
        wait_until(lambda: calls_of(world, run, "vers_swarm_wait"), 60, "the architect waits")
        swarm.steer("Hurry, please.", "m1")
        wait_until(
            lambda: len(calls_of(world, run, "vers_swarm_wait")) == 2, 60, "it has heard and waits again"
        )
        swarm.shell_of(WORKER).run("touch /tmp/go")
        outcome = building.result()
        assert outcome.architect_state is AgentState.DONE, outcome.reason
        first, second = calls_of(world, run, "vers_swarm_wait")
        assert "There is a message for you" in answer(first)
        assert answer(second).startswith("1 of 1 workers done.")
        assert any("Hurry, please." in text for text in world.model.texts_with("Hurry"))
    finally:
        swarm.teardown()
