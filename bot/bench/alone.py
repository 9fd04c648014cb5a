"""One agent alone: one pi on one machine that writes all files, installs, tests and starts what it wrote."""

import time
from dataclasses import dataclass

from bot.bench.built import COMPARED_RATE, Built, Contender
from bot.bench.ground import Ground, Issue
from bot.bench.hand import Hand
from bot.bench.product import losses
from bot.cli.report import model_calls
from bot.core.errors import Permanent
from bot.core.models import AgentState
from bot.core.timeline import Command, Course
from bot.pipeline.preview import visit

APP_PORT = 3000


@dataclass(frozen=True, slots=True)
class AlonePrompt:
    """View of `prompts/alone.md.j2`."""

    title: str
    text: str


def build(ground: Ground, hand: Hand, issue: Issue, conditions: str) -> tuple[Built, Course]:
    """From the goal to the answering app, over the product's own lines; its machine is gone on return.

    Raises:
        Permanent: the agent failed, or its app does not answer.
    """
    began = time.time()
    run = hand.new_run(issue.title)
    swarm = hand.swarm(run)
    try:
        prompt = hand.rooms.texts.render("prompts/alone.md.j2", AlonePrompt(issue.title, issue.text))
        outcome = swarm.build(prompt)
        if outcome.architect_state is not AgentState.DONE or outcome.architect_vm is None:
            raise Permanent(f"the agent that built {issue.name} alone: {outcome.reason}")
        _, problem = visit(hand.rooms.provider.public_url(outcome.architect_vm, APP_PORT), lambda: None)
        seconds = time.time() - began
        if problem:
            raise Permanent(f"what one agent built of {issue.name} alone: {problem}")
    finally:
        swarm.teardown()
    course = Course(
        model_calls(ground.model, run),
        [Command(ran.agent, ran.started, ran.ended) for ran in outcome.commands],
        ttft_s=ground.model["ttft_s"],
    )
    return of_course(Contender.ALONE, course, course, ground, issue, conditions, seconds), course


def of_course(
    contender: Contender,
    work: Course,
    own: Course,
    ground: Ground,
    issue: Issue,
    conditions: str,
    seconds: float,
) -> Built:
    """The record of a contender's build; `work` is its course without copying, `own` the one that it went."""
    rate = ground.model["rate"]
    path_s = work.path(rate)
    return Built(
        contender,
        issue.name,
        issue.workers,
        rate,
        conditions,
        seconds,
        path_s,
        work.path(COMPARED_RATE),
        own_path_s=own.path(rate),
        output_tokens=sum(call.output_tokens for call in own.calls),
        lost=losses(own.chain(rate)),
    )
