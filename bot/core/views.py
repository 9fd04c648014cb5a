"""What templates see: frozen views, and the pure functions that make them from what the journal holds."""

import re
from dataclasses import dataclass

from bot.core import words
from bot.core.decisions import Answer
from bot.core.models import RunId, RunState
from bot.core.snapshot import AgentLine, PhaseLine, Snapshot, agent_line, phase_lines


def marker(run: RunId) -> str:
    """The hidden first line of everything that we write about a build, by which we find it again."""
    return f"<!-- swarm-build:run={run} -->"


# Progress ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ProgressView:
    """`github/progress.md.j2`, and most of the status page."""

    marker: str
    run: RunId
    repo: str
    issue: int
    title: str
    requested_by: str
    state: RunState
    ended: bool
    headline: str
    mark: str
    phases: tuple[PhaseLine, ...]
    agents: tuple[AgentLine, ...]
    elapsed: str
    left: str
    """"about 2 min left", as builds here went lately."""
    spent: str
    cap: str
    status_url: str
    reason: str
    next_step: str
    warnings: tuple[str, ...]
    stopping: str
    pull_request: int | None
    pull_request_url: str
    draft: bool
    preview_url: str
    """Only when it was probed and answered, and still lives."""
    text_sha256: str
    """The start of the hash of the issue's text as it is built."""


_NEXT = {
    RunState.FAILED: "To try again, comment `/swarm rebuild`; words after it are handed to the swarm.",
    RunState.CANCELLED: "To start again, comment `/swarm build`.",
    RunState.DECLINED: "A maintainer can insist: comment `/swarm build`.",
    RunState.WAITING: "Answer below: comment `/swarm answer` and your words. Nothing runs meanwhile.",
}


def progress_view(seen: Snapshot, *, now: float, cap_microusd: int, status_url: str) -> ProgressView:
    """The progress of a build.

    Args:
        seen: the build.
        now: seconds since the epoch.
        cap_microusd: what the run may spend.
        status_url: address of its status page; empty when people cannot reach the web process.
    """
    published, evidence = seen.published, seen.evidence
    return ProgressView(
        marker=marker(seen.run),
        run=seen.run,
        repo=seen.request.repo.full_name,
        issue=seen.request.issue,
        title=seen.title,
        requested_by=seen.request.requested_by,
        state=seen.state,
        ended=seen.state.ended,
        headline="Waiting for approval" if _gated(seen) else words.HEADLINES[seen.state],
        mark=words.RUN_MARKS[seen.state],
        phases=phase_lines(seen, now),
        agents=tuple(agent_line(agent) for agent in seen.agents),
        elapsed=words.duration(seen.seconds(now)),
        left=_left(seen, now),
        spent=words.dollars(seen.spent.cost_microusd),
        cap=words.dollars(cap_microusd),
        status_url=status_url,
        reason=words.clip(seen.reason, 2_000),
        next_step=_next_step(seen),
        warnings=tuple(words.one_line(text, 300) for text in seen.warnings[-5:]),
        stopping="" if seen.state.ended else seen.stopping,
        pull_request=published.pull_request if published else None,
        pull_request_url=published.pull_request_url if published else "",
        draft=bool(published and published.draft),
        preview_url=evidence.url if evidence and evidence.ok and not seen.preview_ended else "",
        text_sha256=seen.request.text_sha256[:16],
    )


def _gated(seen: Snapshot) -> bool:
    return seen.gated and not seen.state.ended


def _left(seen: Snapshot, now: float) -> str:
    """Time left, from history; empty when there is none left to tell."""
    if seen.state.ended or seen.stopping:
        return ""
    if seen.usual_s is None or (left := seen.usual_s - seen.seconds(now)) <= 0:
        return "time left unknown"
    return f"about {words.duration(left)} left"


def _next_step(seen: Snapshot) -> str:
    if _gated(seen):
        return "Its specification is below: `/swarm approve`, or `/swarm revise` and your words."
    if seen.state is RunState.SUCCEEDED and seen.published:
        return f"Review #{seen.published.pull_request}; closing it takes the preview away."
    return _NEXT.get(seen.state, "")


# How it ended, and short answers ----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class DeclinedView:
    """`github/declined.md.j2`: the issue does not suit a swarm."""

    marker: str
    login: str
    reason: str
    spent: str


def declined_view(seen: Snapshot) -> DeclinedView:
    """Why a build was declined."""
    return DeclinedView(
        marker(seen.run),
        seen.request.requested_by,
        words.clip(seen.reason, 2_000),
        words.dollars(seen.spent.cost_microusd),
    )


@dataclass(frozen=True, slots=True)
class FailureView:
    """`github/failure.md.j2`: what failed, what was kept, what it cost, what to do next."""

    marker: str
    login: str
    phase: str
    reason: str
    troubled: tuple[AgentLine, ...]
    """Agents that ended badly; `doing` has the reason."""
    log: str
    kept: str
    """What is left of the work, in one sentence."""
    elapsed: str
    spent: str
    cap: str
    status_url: str


def failure_view(
    seen: Snapshot, *, now: float, cap_microusd: int, status_url: str, kept: str = "", log: str = ""
) -> FailureView:
    """Why a build failed; `log` is what the reader needs to see of the output, its last 50 lines are shown."""
    return FailureView(
        marker=marker(seen.run),
        login=seen.request.requested_by,
        phase=words.PHASES[seen.phase],
        reason=words.clip(seen.reason, 2_000),
        troubled=tuple(agent_line(agent) for agent in seen.agents if agent.reason),
        log=words.last_lines(log, 50),
        kept=kept or "Nothing: all machines of the build are deleted, and nothing was pushed.",
        elapsed=words.duration(seen.seconds(now)),
        spent=words.dollars(seen.spent.cost_microusd),
        cap=words.dollars(cap_microusd),
        status_url=status_url,
    )


@dataclass(frozen=True, slots=True)
class RefusalView:
    """`github/refusal.md.j2`: one polite sentence."""

    login: str
    why: str


def refusal_view(login: str, why: str) -> RefusalView:
    """Why somebody's request was not followed."""
    return RefusalView(login, why)


_COMMAND_WORD = re.compile(r"[a-z-]{1,20}")


@dataclass(frozen=True, slots=True)
class AnswerView:
    """The answers of `policy.Reply`: `github/help.md.j2` and the rest."""

    word: str
    """An unknown command, empty if it does not look like one, and which was probably meant (or empty)."""
    nearest: str
    why: str
    build: ProgressView | None
    """The build that it is about, if there is one."""
    doing: str
    trigger_label: str


def answer_view(answer: Answer, *, build: ProgressView | None, doing: str, trigger_label: str) -> AnswerView:
    """An answer to a command; `doing` is the phase of `build` in words."""
    return AnswerView(
        word=answer.word if _COMMAND_WORD.fullmatch(answer.word) else "",
        nearest=answer.nearest,
        why=words.one_line(answer.why, 300),
        build=build,
        doing=doing,
        trigger_label=trigger_label,
    )
