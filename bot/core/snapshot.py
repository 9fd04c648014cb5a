"""One build at one moment, as far as people may see it, and its lines as they are printed."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import pairwise

from bot.core import words
from bot.core.models import (
    AgentView,
    Brief,
    BuildRequest,
    Evidence,
    Phase,
    Published,
    RunId,
    RunState,
    Tokens,
)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All that people may see of one build at one moment."""

    run: RunId
    request: BuildRequest
    state: RunState
    phase: Phase
    reason: str
    created_at: float
    """Seconds since the epoch, like the times below."""
    ended_at: float | None
    entered: Mapping[Phase, float] = field(default_factory=dict)
    """When each phase was entered, for those that were."""
    agents: tuple[AgentView, ...] = ()
    spent: Tokens = field(default_factory=Tokens)
    """All calls of the run, those of the brief included."""
    warnings: tuple[str, ...] = ()
    stopping: str = ""
    """Who asked it to stop and why, while it has not yet."""
    brief: Brief | None = None
    evidence: Evidence | None = None
    published: Published | None = None
    gated: bool = False
    """Its specification waits for approval."""
    usual_s: float | None = None
    """How long builds that succeeded took here lately; None without any."""
    preview_ended: bool = False
    """The machine that was probed is gone."""

    @property
    def title(self) -> str:
        """What is being built, in one line."""
        return words.one_line(self.brief.title if self.brief else self.request.title, 120)

    def seconds(self, now: float) -> float:
        """From the trigger until the end, or until now."""
        return max(0.0, (self.ended_at or now) - self.created_at)


class Progress(StrEnum):
    """Where one phase is."""

    DONE = "done"
    CURRENT = "current"
    WAITING = "waiting"
    FAILED = "failed"
    """The build ended in it without success."""


PHASE_MARKS = {
    Progress.DONE: "✅",
    Progress.CURRENT: "⏳",
    Progress.WAITING: "▫️",
    Progress.FAILED: "❌",
}


@dataclass(frozen=True, slots=True)
class PhaseLine:
    """One phase of the list."""

    phase: Phase
    label: str
    progress: Progress
    mark: str
    seconds: str
    """How long it took or has been going on; empty if it was never entered."""


@dataclass(frozen=True, slots=True)
class AgentLine:
    """One agent of the table, ready to print."""

    label: str
    role: str
    state: str
    mark: str
    doing: str
    """What it does, or, once it failed, why."""
    files: str
    heard: str
    """The time of day at which it last began something else, UTC; empty for never."""
    tokens: str
    dollars: str


def phase_lines(seen: Snapshot, now: float) -> tuple[PhaseLine, ...]:
    """Every phase of a build in order, with its own time."""
    order = list(Phase)
    times = [(phase, seen.entered[phase]) for phase in order if phase in seen.entered]
    until = {phase: later for (phase, _), (_, later) in pairwise(times)}
    lines = []
    for phase in order:
        progress = _progress(seen, phase)
        begun = seen.entered.get(phase)
        spent = "" if begun is None else words.duration(until.get(phase, seen.ended_at or now) - begun)
        lines.append(PhaseLine(phase, words.PHASES[phase], progress, PHASE_MARKS[progress], spent))
    return tuple(lines)


def _progress(seen: Snapshot, phase: Phase) -> Progress:
    order = list(Phase)
    if seen.state is RunState.SUCCEEDED or order.index(phase) < order.index(seen.phase):
        return Progress.DONE
    if phase is not seen.phase or seen.state is RunState.QUEUED:
        return Progress.WAITING
    return Progress.FAILED if seen.state.ended else Progress.CURRENT


def agent_line(agent: AgentView) -> AgentLine:
    """An agent, ready to print."""
    used = agent.tokens
    return AgentLine(
        label=agent.label,
        role=agent.role,
        state=agent.state,
        mark=words.AGENT_MARKS[agent.state],
        doing=words.one_line(agent.reason or agent.doing, 80),
        files=str(agent.files or ""),
        heard=words.time_of_day(agent.heard_at) if agent.heard_at else "",
        tokens=words.tokens(used.input + used.output + used.cache_read + used.cache_write),
        dollars=words.dollars(used.cost_microusd),
    )
