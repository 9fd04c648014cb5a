"""The scripted model as reader of an issue."""

from bot.core.codec import dump
from bot.local.model.conversation import Conversation
from bot.local.model.reply import Call, Reply
from bot.local.model.scenarios.scenario import UNKNOWN, Scenario

TOOL = "brief"
"""Name of the tool by which the product asks for a brief."""
DECIDE_MARK = "Ask no questions"
"""Words of the product's prompt when questions were answered."""


def play(asked: Conversation, scenario: Scenario | None) -> Reply:
    """The brief, as a call of the `brief` tool. What was asked before and refused is in `asked.exchanges`."""
    if scenario is None:
        return (Call(TOOL, _declined()),)
    if len(asked.exchanges) < scenario.wrong_briefs:
        return (Call(TOOL, {"title": scenario.brief.title, "kind": "a surprise", "fits": "perhaps"}),)
    no_questions: dict[str, object] = {"questions": []} if DECIDE_MARK in asked.prompt else {}
    return (Call(TOOL, dump(scenario.brief) | no_questions),)


def _declined() -> dict[str, object]:
    return {
        "title": "Not an example issue",
        "goal": "unknown",
        "requirements": ["unknown"],
        "stack": "unknown",
        "components": [{"label": "unknown", "produces": "nothing"}],
        "kind": "none",
        "fits": False,
        "reason": UNKNOWN,
        "check": "",
    }
