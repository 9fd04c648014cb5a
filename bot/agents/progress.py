"""What an agent has done and does, folded from its events. Pure: the same file gives the same progress after any restart."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from bot.agents.rpc import (
    READY_ID,
    Exited,
    GoesOn,
    Outcome,
    Queued,
    Response,
    Restarted,
    RunEnded,
    RunStarted,
    Said,
    Settled,
    Stamped,
    ToolEnded,
    ToolStarted,
)
from bot.core.models import AgentState

_DOING_LIMIT = 120


@dataclass(frozen=True, slots=True)
class OpenTool:
    """A tool call that has begun. `agents` are those that a swarm tool names; `started_s` is the machine's monotonic time."""

    name: str
    doing: str
    path: str
    agents: tuple[str, ...]
    started_s: float


@dataclass(frozen=True, slots=True)
class ToolRun:
    """A tool call that is over. Times are the machine's monotonic seconds."""

    name: str
    doing: str
    agents: tuple[str, ...]
    started_s: float
    ended_s: float


@dataclass(frozen=True, slots=True)
class AgentProgress:
    """All that an agent's event file says of it, so far.

    Attributes:
        accepted: prompts that pi took, by their command ids.
        running: between `agent_start` and `agent_end`.
        ending: an `agent_end` of a version that does not say what follows; see `settle`.
        settled: nothing follows by itself since the last accepted prompt.
        finished: for each prompt that came to its end, the last words and, if it failed, why.
        restarts: how often pi was killed and went on.
        steering: messages that pi hands over as soon as the open tool calls have ended.
        doing: one line for people, made of untrusted text.
        at_s: stamp of the last line.
    """

    ready: bool = False
    accepted: tuple[str, ...] = ()
    answered: tuple[str, ...] = ()
    running: bool = False
    ending: bool = False
    settled: bool = False
    finished: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    restarts: int = 0
    steering: int = 0
    outcome: Outcome | None = None
    doing: str = ""
    open_tools: Mapping[str, OpenTool] = field(default_factory=dict)
    tool_runs: tuple[ToolRun, ...] = ()
    files: tuple[str, ...] = ()
    last_text: str = ""
    exit_status: int | None = None
    at_s: float = 0.0

    @property
    def state(self) -> AgentState:
        """What the events alone say. Stalled and lost are for whoever watches the line."""
        if self.exit_status is not None:
            return AgentState.FAILED
        if not self.ready:
            return AgentState.STARTING
        if self.settled:
            good = self.outcome is not None and self.outcome.stop_reason == "stop"
            return AgentState.DONE if good else AgentState.FAILED
        return AgentState.WORKING if self.accepted or self.running else AgentState.IDLE

    @property
    def reason(self) -> str:
        """Why the agent failed, as pi says it; empty otherwise."""
        if self.exit_status is not None:
            return f"pi ended with exit status {self.exit_status}"
        return self.outcome.sentence if self.settled and self.outcome else ""


def settle(progress: AgentProgress) -> AgentProgress:
    """The end that `ending` promised: nothing followed within the caller's grace period."""
    return _settled(progress) if progress.ending else progress


def _settled(progress: AgentProgress) -> AgentProgress:
    trouble = progress.outcome.sentence if progress.outcome else "it ended without an outcome"
    ended = dict.fromkeys(progress.accepted, (progress.last_text, trouble))
    return replace(
        progress,
        running=False,
        ending=False,
        settled=True,
        open_tools={},
        doing="",
        finished={**ended, **progress.finished},
    )


def fold(progress: AgentProgress, stamped: Stamped) -> AgentProgress:  # noqa: C901, PLR0911 - one case per event
    """What is known after one more event."""
    progress = replace(progress, at_s=stamped.at_s)
    match stamped.event:
        case Response() as response:
            return _fold_response(progress, response)
        case RunStarted():
            return replace(progress, running=True, ending=False, settled=False, doing="thinking")
        case RunEnded(outcome, will_retry):
            ending = will_retry is None
            return replace(progress, running=False, ending=ending, outcome=outcome, open_tools={})
        case Settled():
            return _settled(progress)
        case GoesOn(why):
            return replace(progress, ending=False, doing=why)
        case Said(text):
            return replace(progress, last_text=text or progress.last_text, doing="thinking")
        case ToolStarted() as tool:
            return _fold_tool(progress, tool)
        case ToolEnded(tool_id, ok):
            return _fold_tool_end(progress, tool_id, ok=ok)
        case Queued(steering):
            return replace(progress, steering=steering)
        case Restarted():
            return replace(
                progress, running=False, ending=False, open_tools={}, steering=0,
                restarts=progress.restarts + 1, doing="started again after it was killed",
            )  # fmt: skip
        case Exited(status):
            return replace(progress, running=False, exit_status=status, open_tools={})
        case _:
            return progress


def _fold_response(progress: AgentProgress, response: Response) -> AgentProgress:
    if response.id == READY_ID:
        return replace(progress, ready=True)
    if response.command != "prompt":
        return progress
    if not progress.running:
        progress = settle(progress)  # an older version takes the next prompt before we have waited for more
    progress = replace(progress, answered=(*progress.answered, response.id))
    if response.ok:
        accepted = (*progress.accepted, response.id)
        return replace(progress, accepted=accepted, settled=False, outcome=None)
    if progress.running:
        return progress
    return replace(progress, settled=True, outcome=Outcome("error", response.error))


def _fold_tool(progress: AgentProgress, tool: ToolStarted) -> AgentProgress:
    path = _word(tool.args, "path")
    about = path or _word(tool.args, "command")
    doing = " ".join(f"{tool.name} {about}".split())[:_DOING_LIMIT]
    opened = OpenTool(tool.name, doing, path, _agents(tool.args), progress.at_s)
    return replace(progress, doing=doing, open_tools={**progress.open_tools, tool.id: opened})


def _fold_tool_end(progress: AgentProgress, tool_id: str, *, ok: bool) -> AgentProgress:
    still_open = dict(progress.open_tools)
    tool = still_open.pop(tool_id, None)
    if tool is None:
        return progress
    files = progress.files
    if ok and tool.name in ("write", "edit") and tool.path and tool.path not in files:
        files = (*files, tool.path)
    ran = ToolRun(tool.name, tool.doing, tool.agents, tool.started_s, progress.at_s)
    doing = next((each.doing for each in still_open.values()), "thinking")
    return replace(
        progress, open_tools=still_open, tool_runs=(*progress.tool_runs, ran), files=files, doing=doing
    )


def _word(args: Mapping[str, Any], name: str) -> str:
    value = args.get(name)
    return value if isinstance(value, str) else ""


def _agents(args: Mapping[str, Any]) -> tuple[str, ...]:
    several = args.get("agentIds")
    named = several if isinstance(several, list) else [args.get("agentId")]
    return tuple(name for name in named if isinstance(name, str))
