"""What people say to a swarm while it works, as the swarm asks for it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bot.core.models import AgentLabel
from bot.vms.base import Shell


@dataclass(frozen=True, slots=True)
class Message:
    """Words for the architect; told once per id."""

    id: str
    text: str


def _nobody_waits(_call: str, _labels: Sequence[str], _spec: str, _ending: Callable[[], bool]) -> str:
    return ""


def _nobody_looks(_agent: AgentLabel, _shell: Shell) -> None:
    """Leave the machine as it is."""


@dataclass(frozen=True, slots=True)
class Outside:
    """The people around a swarm. By default there are none.

    Attributes:
        before_spawn: (tool call, workers' labels, SPEC.md, whether the build is ending) -> "" when the workers may start, or
            what the architect has to do first. May take hours; raises `Cancelled` when the build is ending.
        messages: what the architect is to be told, all that there ever were; asked for every second.
        paused_s: how long the swarm had to wait for people so far, which does not count against its time.
        farewell: called in the background with an agent and the line to its machine, before the architect's removal of it
            takes effect.
    """

    before_spawn: Callable[[str, Sequence[str], str, Callable[[], bool]], str] = _nobody_waits
    messages: Callable[[], Sequence[Message]] = tuple
    paused_s: Callable[[], float] = float
    farewell: Callable[[AgentLabel, Shell], None] = _nobody_looks
