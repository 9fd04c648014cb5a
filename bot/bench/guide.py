"""A build the guide's way: its swarm, its prompt, and the program copied back through the model."""

import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from bot.agents.progress import ToolRun
from bot.bench.alone import APP_PORT, of_course
from bot.bench.built import Built, Contender
from bot.bench.ground import Ground, Issue
from bot.bench.guide_swarm import GuideSwarm
from bot.bench.hand import Hand
from bot.cli import wiring
from bot.cli.report import model_calls
from bot.core.errors import Permanent
from bot.core.models import AgentLabel, AgentState
from bot.core.timeline import ARCHITECT, Command, Course, ModelCall, Task, Wait
from bot.pipeline.preview import visit

_LIMIT_S = 1800.0
_COPYING = ("read", "vers_vm_use", "vers_vm_local")


@dataclass(frozen=True, slots=True)
class GuidePrompt:
    """View of `prompts/guide.md.j2`."""

    title: str
    text: str
    golden: str


def build(ground: Ground, hand: Hand, issue: Issue, conditions: str) -> tuple[Built, Course]:
    """From the goal to the answering app; its machines are gone on return.

    Raises:
        Permanent: the architect failed, or its app does not answer.
    """
    files = wiring.templates()
    run = hand.new_run(issue.title)
    prompt = GuidePrompt(issue.title, issue.text, hand.golden)
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        swarm = GuideSwarm(hand, run, ground.model, files / "vm", files / "bench", Path(folder))
        try:
            began = time.time()
            swarm.spawn([ARCHITECT])
            swarm.task(ARCHITECT, hand.rooms.texts.render("prompts/guide.md.j2", prompt))
            swarm.wait([ARCHITECT], _LIMIT_S)
            architect = swarm.agents[ARCHITECT]
            if architect.progress.state is not AgentState.DONE:
                raise Permanent(f"the guide's architect of {issue.name}: {architect.progress.reason}")
            _, problem = visit(hand.rooms.provider.public_url(architect.vm, APP_PORT), lambda: None)
            seconds = time.time() - began
            if problem:
                raise Permanent(
                    f"what the guide's swarm built of {issue.name}: {problem}; {architect.progress.last_text}"
                )
        finally:
            swarm.close()
    own = _course(swarm, model_calls(ground.model, run), ground.model["ttft_s"])
    work = _without_copying(own, swarm)
    return of_course(Contender.GUIDE, work, own, ground, issue, conditions, seconds), work


def _course(swarm: GuideSwarm, calls: list[ModelCall], ttft_s: float) -> Course:
    commands = [
        Command(AgentLabel(label), ran.started_s, ran.ended_s)
        for label, agent in swarm.agents.items()
        for ran in agent.progress.tool_runs
        if not ran.name.startswith("vers_")
    ]
    runs = swarm.agents[ARCHITECT].progress.tool_runs
    tasks = [Task(AgentLabel(ran.agents[0]), ran.started_s) for ran in _named(runs, "vers_swarm_task")]
    waits = [
        Wait(tuple(map(AgentLabel, ran.agents)), ran.started_s, ran.ended_s)
        for ran in _named(runs, "vers_swarm_wait")
    ]
    return Course(calls, commands, tasks, waits, ttft_s=ttft_s)


def _named(runs: Iterable[ToolRun], name: str) -> list[ToolRun]:
    return [ran for ran in runs if ran.name == name]


def _without_copying(course: Course, swarm: GuideSwarm) -> Course:
    """The course without the architect's calls that did nothing but fetch workers' files and write them again."""
    theirs = {
        path for label, agent in swarm.agents.items() if label != ARCHITECT for path in agent.progress.files
    }
    runs = swarm.agents[ARCHITECT].progress.tool_runs
    calls = [call for call in course.calls if call.agent == ARCHITECT]
    copying: set[ModelCall] = set()
    copies: set[tuple[float, float]] = set()
    for call, end in zip(calls, [*(call.started for call in calls[1:]), float("inf")], strict=True):
        asked = [ran for ran in runs if call.started < ran.started_s < end]
        if asked and all(_copies(ran, theirs) for ran in asked):
            copying.add(call)
            copies |= {(ran.started_s, ran.ended_s) for ran in asked}
    return replace(
        course,
        calls=[call for call in course.calls if call not in copying],
        commands=[ran for ran in course.commands if (ran.started, ran.ended) not in copies],
    )


def _copies(ran: ToolRun, theirs: set[str]) -> bool:
    return ran.name in _COPYING or (ran.name == "write" and ran.doing.removeprefix("write ") in theirs)
