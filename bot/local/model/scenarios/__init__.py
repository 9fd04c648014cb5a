"""The builds that the scripted model can play, and which part of one a request asks for.

A scenario is a folder of real files: `scenario.yaml` says what is done and said, `architect/` and one folder per
worker hold what they write. A scenario is recognised by its words in the prompt; the role by what the request is: a
forced `brief` tool, or the first words of the product's prompts.
"""

from functools import cache
from pathlib import Path

from bot.local.model.conversation import ARCHITECT_MARK, WORKER_MARK, Conversation
from bot.local.model.reply import Reply, Text
from bot.local.model.scenarios import architect, brief, worker
from bot.local.model.scenarios.scenario import UNKNOWN, Scenario, load_scenario

_FOLDER = Path(__file__).parent


@cache
def all_scenarios() -> tuple[Scenario, ...]:
    """Every scenario in this folder, by name."""
    return tuple(load_scenario(found.parent) for found in sorted(_FOLDER.glob("*/scenario.yaml")))


def recognise(prompt: str) -> Scenario | None:
    """The scenario whose words come first in the prompt."""
    starts = {each.name: found.start() for each in all_scenarios() if (found := each.words.search(prompt))}
    return min(
        (each for each in all_scenarios() if each.name in starts), key=lambda s: starts[s.name], default=None
    )


def answer(asked: Conversation) -> Reply:
    """What the model says next. The same for the same request."""
    scenario = recognise(asked.prompt)
    if asked.forced_tool == brief.TOOL:
        return brief.play(asked, scenario)
    if scenario is None:
        return (Text(UNKNOWN),)
    if WORKER_MARK in asked.prompt:
        return worker.play(asked, scenario)
    if ARCHITECT_MARK in asked.prompt:
        return architect.play(asked, scenario)
    return (
        Text(
            f"I play the scenario “{scenario.name}”, but this prompt is neither an architect's nor a worker's."
        ),
    )
