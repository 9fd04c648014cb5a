"""The builds that the scripted model can play, and which part of one a request asks for.

A scenario is a folder of real files: `scenario.yaml` says what is done and said, `architect/` and one folder per
worker hold what they write. A scenario is recognised by its words in the prompt; the role by what the request is: a
forced `brief` tool, or the first words of the prompts. Beside the product's architect and workers there are those whom
it is measured against: an agent that builds alone, and an architect who works as the guide says. They write the same files.
"""

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

from bot.local.model.conversation import ALONE_MARK, ARCHITECT_MARK, GUIDE_MARK, WORKER_MARK, Conversation
from bot.local.model.reply import Reply, Text
from bot.local.model.scenarios import alone, architect, brief, guide, worker
from bot.local.model.scenarios.board import boards
from bot.local.model.scenarios.scenario import UNKNOWN, Scenario, load_scenario

_FOLDER = Path(__file__).parent
_ROLES: Mapping[str, Callable[[Conversation, Scenario], Reply]] = {
    WORKER_MARK: worker.play,
    ALONE_MARK: alone.play,
    GUIDE_MARK: guide.play,
    ARCHITECT_MARK: architect.play,
}
"""What the first words of a prompt make of the model. The guide's architect has those of the product's, too."""


@cache
def all_scenarios() -> tuple[Scenario, ...]:
    """Every scenario in this folder, by name."""
    return tuple(load_scenario(found.parent) for found in sorted(_FOLDER.glob("*/scenario.yaml")))


def recognise(prompt: str) -> Scenario | None:
    """The scenario whose words come first in the prompt."""
    known = (*all_scenarios(), *boards())
    starts = {each.name: found.start() for each in known if (found := each.words.search(prompt))}
    return min((each for each in known if each.name in starts), key=lambda s: starts[s.name], default=None)


def answer(asked: Conversation) -> Reply:
    """What the model says next. The same for the same request."""
    scenario = recognise(asked.prompt)
    if asked.forced_tool == brief.TOOL:
        return brief.play(asked, scenario)
    if scenario is None:
        return (Text(UNKNOWN),)
    for mark, play in _ROLES.items():
        if mark in asked.prompt:
            return play(asked, scenario)
    said = f"I play the scenario “{scenario.name}”, but this prompt is of none of its roles."
    return (Text(said),)
