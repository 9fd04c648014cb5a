"""What the templates of a finished build see: its pull request, its commit, its check run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from bot.core import words
from bot.core.authorship import Authors
from bot.core.models import AppKind, Artifact, Evidence, LeftOut, RunId, Tokens
from bot.core.procfile import how_to_run
from bot.core.snapshot import AgentLine, PhaseLine, Snapshot, agent_line, phase_lines
from bot.core.views import marker

FILES_SHOWN = 100
"""GitHub allows a body 65,536 characters; the page must stay below with room for the rest."""
LEFT_OUT_SHOWN = 50
SEAMS_SHOWN = 30


def exhibits_marks(run: RunId) -> tuple[str, str]:
    """What stands hidden around the place of picture and transcripts in a pull request's text."""
    return f"<!-- swarm-build:exhibits={run} -->", "<!-- /swarm-build:exhibits -->"


def live_marks(run: RunId) -> tuple[str, str]:
    """What stands hidden around the part of a pull request's text that says where it can be tried."""
    return f"<!-- swarm-build:live={run} -->", "<!-- /swarm-build:live -->"


@dataclass(frozen=True, slots=True)
class LiveView:
    """`github/live.md.j2`; without `url` the preview is gone, and `gone` says why."""

    url: str
    lives_until: str
    gone: str


@dataclass(frozen=True, slots=True)
class FileLine:
    """One file of the result."""

    path: str
    size: str
    executable: bool
    by: str
    """Who wrote it."""


@dataclass(frozen=True, slots=True)
class Seam:
    """A worker's file that the architect changed after it had collected it, and with which tools."""

    path: str
    worker: str
    tools: str


@dataclass(frozen=True, slots=True)
class Made:
    """What is known of the making of a result, beyond the files themselves."""

    authors: Authors = field(default_factory=Authors)
    deleted: Sequence[str] = ()
    closing: str = ""
    snapshot: str = ""
    shown_by: Mapping[int, str] = field(default_factory=dict)
    """Number of a requirement, from 1 -> what shows that it is met, in the architect's words."""


@dataclass(frozen=True, slots=True)
class Requirement:
    """What was asked for, and what shows that it is there; `evidence` is empty when nothing does yet."""

    text: str
    evidence: str


@dataclass(frozen=True, slots=True)
class PullRequestView:
    """`github/pull_request.md.j2`."""

    marker: str
    issue: int
    asked_by: str
    goal: str
    requirements: tuple[Requirement, ...]
    kind: AppKind
    evidence: Evidence
    log: str
    """The end of the app's or the check's output."""
    lives_until: str
    how_to_run: str
    """Shell commands, one a line."""
    tests_log: str
    """The end of what the result's own tests printed."""
    closing: str
    """The architect's last words. Untrusted."""
    seams: tuple[Seam, ...]
    deleted: tuple[str, ...]
    more_deleted: int
    snapshot: str
    """What the machines started from, as the provider names it."""
    begun: str
    ended: str
    files: tuple[FileLine, ...]
    more_files: int
    files_total: int
    bytes_total: str
    left_out: tuple[LeftOut, ...]
    more_left_out: int
    agents: tuple[AgentLine, ...]
    phases: tuple[PhaseLine, ...]
    model: str
    tokens_in: str
    tokens_out: str
    spent: str
    cap: str
    elapsed: str
    status_url: str
    warnings: tuple[str, ...]
    branch: str
    live: tuple[str, str]
    """Hidden marks around what changes with the preview."""
    exhibits: tuple[str, str]
    """Hidden marks around the place for a picture and transcripts, which come later."""
    picture: bool
    """Whether there will be one."""
    ci: bool
    """Whether the repository's workflows run on the commit."""


def pull_request_view(
    seen: Snapshot,
    *,
    now: float,
    evidence: Evidence,
    files: Sequence[Artifact],
    left_out: Sequence[LeftOut],
    model: str,
    cap_microusd: int,
    status_url: str,
    branch: str,
    lives_until: float | None = None,
    made: Made = Made(),
    whole: Sequence[Artifact] | None = None,
    picture: bool = False,
    ci: bool = False,
) -> PullRequestView:
    """The pull request's page.

    Args:
        seen: the build.
        now: seconds since the epoch, as is `lives_until`.
        lives_until: the latest time at which the preview is taken away; None without a preview.
        evidence: what happened on the clean machine.
        files: what is committed.
        whole: all files of the head, by which one sees how it is run; `files` if None.
        left_out: what is not, and why.
        model: the agents' model.
        cap_microusd: what the run may spend.
        status_url: address of the status page, or empty.
        branch: the pull request's head.
        picture: whether a picture of the preview will be taken.
        ci: whether the repository's workflows run on the commit.
        made: who wrote what, and what the architect says of it.
    """
    brief, used = seen.brief, seen.spent
    requirements = brief.requirements if brief else ()
    return PullRequestView(
        marker=marker(seen.run),
        issue=seen.request.issue,
        asked_by=seen.request.requested_by,
        goal=words.clip(brief.goal if brief else seen.request.title, 2_000),
        requirements=tuple(
            Requirement(words.one_line(text, 250), words.one_line(made.shown_by.get(number, ""), 200))
            for number, text in enumerate(requirements[:30], 1)
        ),
        kind=evidence.kind,
        evidence=evidence,
        log=words.last_lines(evidence.output, 50),
        lives_until=words.moment(lives_until) if lives_until else "",
        how_to_run="\n".join(how_to_run(files if whole is None else whole, evidence)),
        tests_log=words.last_lines(evidence.tests.output, 20) if evidence.tests else "",
        closing=words.clip(made.closing, 3_000),
        seams=tuple(
            Seam(words.clip(path, 120), made.authors.writer[path], ", ".join(tools) or "bash")
            for path, tools in sorted(made.authors.mended.items())[:SEAMS_SHOWN]
        ),
        deleted=tuple(words.clip(path, 120) for path in made.deleted[:LEFT_OUT_SHOWN]),
        more_deleted=max(0, len(made.deleted) - LEFT_OUT_SHOWN),
        snapshot=made.snapshot,
        begun=words.moment(seen.created_at),
        ended=words.moment(seen.ended_at or now),
        files=tuple(_file(each, made.authors) for each in files[:FILES_SHOWN]),
        more_files=max(0, len(files) - FILES_SHOWN),
        files_total=len(files),
        bytes_total=words.size(sum(len(each.content) for each in files)),
        left_out=tuple(
            LeftOut(words.clip(each.path, 120), words.one_line(each.reason, 150))
            for each in left_out[:LEFT_OUT_SHOWN]
        ),
        more_left_out=max(0, len(left_out) - LEFT_OUT_SHOWN),
        agents=tuple(agent_line(agent) for agent in seen.agents),
        phases=tuple(line for line in phase_lines(seen, now) if line.seconds),
        model=model,
        tokens_in=words.tokens(_read(used)),
        tokens_out=words.tokens(used.output),
        spent=words.dollars(used.cost_microusd),
        cap=words.dollars(cap_microusd),
        elapsed=words.duration(seen.seconds(now)),
        status_url=status_url,
        warnings=tuple(words.one_line(text, 300) for text in seen.warnings[-10:]),
        branch=branch,
        live=live_marks(seen.run),
        exhibits=exhibits_marks(seen.run),
        picture=picture and evidence.ok and bool(evidence.url),
        ci=ci,
    )


def _read(used: Tokens) -> int:
    return used.input + used.cache_read + used.cache_write


def _file(artifact: Artifact, authors: Authors) -> FileLine:
    return FileLine(
        words.clip(artifact.path, 120),
        words.size(len(artifact.content)),
        artifact.mode == 0o100755,
        authors.of(artifact.path),
    )


@dataclass(frozen=True, slots=True)
class CommitMessageView:
    """`github/commit_message.txt.j2`."""

    subject: str
    issue: int
    run: str
    requested_by: str
    agents: int
    files: int
    ci: bool
    """Whether workflows run on it."""


def commit_message_view(seen: Snapshot, *, files: int, ci: bool = False) -> CommitMessageView:
    """The commit that carries the result."""
    return CommitMessageView(
        subject=words.one_line(seen.title, 72),
        issue=seen.request.issue,
        run=seen.run,
        requested_by=seen.request.requested_by,
        agents=len(seen.agents),
        files=files,
        ci=ci,
    )


@dataclass(frozen=True, slots=True)
class CheckView:
    """`github/check.md.j2`: the summary of the check run on the commit."""

    evidence: Evidence
    log: str
    tests_log: str
    files: int
    left_out: tuple[LeftOut, ...]
    issue: int
    spent: str
    elapsed: str


def check_view(
    seen: Snapshot, *, now: float, evidence: Evidence, files: int, left_out: Sequence[LeftOut]
) -> CheckView:
    """What the check run says."""
    return CheckView(
        evidence=evidence,
        log=words.last_lines(evidence.output, 50),
        tests_log=words.last_lines(evidence.tests.output, 50) if evidence.tests else "",
        files=files,
        left_out=tuple(left_out),
        issue=seen.request.issue,
        spent=words.dollars(seen.spent.cost_microusd),
        elapsed=words.duration(seen.seconds(now)),
    )


@dataclass(frozen=True, slots=True)
class StaleView:
    """`github/stale.md.j2`: the preview shows an older commit than the branch has."""

    shown: str
    head: str
    login: str
    url: str
