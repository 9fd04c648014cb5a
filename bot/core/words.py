"""How numbers, states and phases are put for people, in comments, pages and terminals alike."""

from collections.abc import Mapping
from datetime import UTC, datetime

from bot.core.models import AgentState, Phase, RunState

PHASES: Mapping[Phase, str] = {
    Phase.ADMIT: "Take the order",
    Phase.PREPARE: "Read the issue",
    Phase.SWARM: "Build with the swarm",
    Phase.COLLECT: "Collect and inspect the files",
    Phase.PREVIEW: "Start it on a clean machine",
    Phase.PUBLISH: "Open the pull request",
    Phase.DONE: "Clean up",
}

HEADLINES: Mapping[RunState, str] = {
    RunState.QUEUED: "Waiting for its turn",
    RunState.RUNNING: "Building",
    RunState.SUCCEEDED: "Built",
    RunState.FAILED: "The build failed",
    RunState.CANCELLED: "The build was stopped",
    RunState.DECLINED: "Not a job for a swarm",
    RunState.WAITING: "Waiting for an answer",
}

RUN_MARKS: Mapping[RunState, str] = {
    RunState.QUEUED: "🕓",
    RunState.RUNNING: "🐝",
    RunState.SUCCEEDED: "✅",
    RunState.FAILED: "❌",
    RunState.CANCELLED: "⏹️",
    RunState.DECLINED: "💬",
    RunState.WAITING: "❓",
}

AGENT_MARKS: Mapping[AgentState, str] = {
    AgentState.STARTING: "🕓",
    AgentState.IDLE: "💤",
    AgentState.WORKING: "🔨",
    AgentState.DONE: "✅",
    AgentState.FAILED: "❌",
    AgentState.STALLED: "⚠️",
    AgentState.LOST: "📡",
}


def dollars(microusd: int) -> str:
    """Millionths of a dollar as "$0.42"; what is spent but below a cent as "<$0.01"."""
    if 0 < microusd < 5_000:
        return "<$0.01"
    return f"${microusd / 1e6:,.2f}"


def tokens(count: int) -> str:
    """A number of tokens: "812", "12.3k", "1.20M"."""
    if count < 1_000:
        return str(count)
    if count < 999_950:
        return f"{count / 1e3:.1f}k"
    return f"{count / 1e6:.2f}M"


def duration(seconds: float) -> str:
    """A span of time: "8 s", "3 min 05 s", "2 h 10 min"."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min"


def clock(seconds: float) -> str:
    """A span of time as a stopwatch shows it: "0:08", "3:05", "2:10:00"."""
    whole = max(0, round(seconds))
    minutes = f"{whole // 60 % 60}:{whole % 60:02}"
    return minutes if whole < 3600 else f"{whole // 3600}:{minutes:0>5}"


def size(count_bytes: int) -> str:
    """A file's size: "812 B", "4.2 KiB", "1.5 MiB"."""
    if count_bytes < 1024:
        return f"{count_bytes} B"
    if count_bytes < 1024 * 1023.95:
        return f"{count_bytes / 1024:.1f} KiB"
    return f"{count_bytes / 1024**2:.1f} MiB"


def moment(at: float) -> str:
    """Seconds since the epoch as "2026-11-23 12:04:05 UTC"."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def time_of_day(at: float) -> str:
    """As "10:33:20", UTC."""
    return moment(at).split(" ")[1]


def clip(text: str, limit: int) -> str:
    """At most `limit` characters, the last one an ellipsis if something was cut."""
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"


def one_line(text: str, limit: int) -> str:
    """`clip`, with every run of white space as one space."""
    return clip(" ".join(text.split()), limit)


def last_lines(text: str, lines: int, limit: int = 8_000) -> str:
    """The end of a log: at most so many lines and characters."""
    return "\n".join(text.rstrip().splitlines()[-lines:])[-limit:]
