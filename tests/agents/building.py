"""A swarm at work in a thread, and what its tool calls came to."""

import json
import threading
from collections.abc import Callable

from bot.agents.outcome import SwarmOutcome
from bot.agents.swarm import Swarm
from bot.core.errors import BotError
from bot.core.models import AgentLabel, RunId
from bot.pipeline.journal.fleet import ToolCall
from tests.agents.conftest import World
from tests.agents.scripted import Block, Script

Build = Callable[..., Swarm]
ARCHITECT = AgentLabel("architect")


class Building:
    """A build in a thread of its own, as a worker process runs it."""

    def __init__(self, swarm: Swarm, prompt: str) -> None:
        self.swarm = swarm
        self.outcome: SwarmOutcome | None = None
        self.error: BotError | None = None
        self._prompt = prompt
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self.outcome = self.swarm.build(self._prompt)
        except BotError as error:
            self.error = error

    def result(self, timeout_s: float = 60.0) -> SwarmOutcome:
        """What the build came to."""
        self._thread.join(timeout_s)
        if self.error:
            raise self.error
        assert self.outcome is not None, "the build goes on"
        return self.outcome


def turns(*blocks: list[Block]) -> Script:
    """A script that says these, one after the other."""
    return lambda turn, _messages: blocks[min(turn, len(blocks) - 1)]


def calls_of(world: World, run: RunId, tool: str) -> list[ToolCall]:
    """The rows of a tool's calls."""
    return [row for row in world.fleet.calls(run) if row.tool == tool]


def answer(row: ToolCall) -> str:
    """The text that a call was answered with."""
    text = json.loads(row.result or "{}")["text"]
    assert isinstance(text, str)
    return text
