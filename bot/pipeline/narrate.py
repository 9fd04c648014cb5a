"""What is written on GitHub about a build: views of the journal, put into words by templates."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bot.agents.outcome import SwarmOutcome
from bot.core.artifacts import MORE
from bot.core.authorship import ARCHITECT, Authors, Tool, authors
from bot.core.codec import load
from bot.core.models import Artifact, Evidence, LeftOut, Published, RunId, RunState
from bot.core.plan import Plan
from bot.core.policy import branch_of
from bot.core.pull_views import Made, check_view, commit_message_view, pull_request_view
from bot.core.snapshot import Snapshot
from bot.core.views import ProgressView, declined_view, failure_view, progress_view
from bot.core.words import one_line
from bot.github.values import Annotation, CheckAction, CheckConclusion, CheckReport
from bot.pipeline.journal.snapshot import snapshot
from bot.pipeline.rooms import Rooms

REBUILD = CheckAction("Rebuild", "Build this issue anew", "rebuild")


@dataclass(frozen=True, slots=True)
class Told:
    """A pull request in words."""

    title: str
    body: str
    commit_message: str
    check: CheckReport


def _seen(rooms: Rooms, run: RunId) -> Snapshot:
    return snapshot(run, rooms.runs, rooms.fleet, rooms.usage)


def seen_progress(rooms: Rooms, run: RunId) -> ProgressView:
    """How far a build is."""
    return progress_view(
        _seen(rooms, run),
        now=rooms.now(),
        cap_microusd=rooms.usage.cap_of(run),
        status_url=rooms.status_page(run),
    )


def progress(rooms: Rooms, run: RunId) -> str:
    """The progress comment as of now; of a build that failed or was declined, why and what next."""
    seen = _seen(rooms, run)
    cap, status, now = rooms.usage.cap_of(run), rooms.status_page(run), rooms.now()
    if seen.state is RunState.FAILED:
        log = seen.evidence.output if seen.evidence and not seen.evidence.ok else ""
        view = failure_view(
            seen, now=now, cap_microusd=cap, status_url=status, kept=_kept(rooms, seen), log=log
        )
        return rooms.texts.render("github/failure.md.j2", view)
    if seen.state is RunState.DECLINED:
        return rooms.texts.render("github/declined.md.j2", declined_view(seen))
    return rooms.texts.render("github/progress.md.j2", seen_progress(rooms, run))


def _kept(rooms: Rooms, seen: Snapshot) -> str:
    """What is left after a failure, in one sentence."""
    if seen.published:
        return f"Pull request #{seen.published.pull_request} is open; the machines of the build are deleted."
    for earlier in rooms.runs.of_issue(seen.request.repo.full_name, seen.request.issue):
        if earlier.id != seen.run and "published" in earlier.result:
            number = load(Published, earlier.result["published"]).pull_request
            return f"Pull request #{number} of an earlier build is as it was; nothing of this one was pushed."
    return ""


def pull_request(rooms: Rooms, run: RunId, whole: list[Artifact]) -> Told:
    """Title, body, commit message and check, once the evidence is in; `whole` are all files of the head."""
    seen, facts = _seen(rooms, run), rooms.runs.get(run).result
    files, now = rooms.results.files(run), rooms.now()
    evidence, left_out = load(Evidence, facts["evidence"]), load(list[LeftOut], facts["left_out"])
    plan = load(Plan, facts["plan"])
    alive = evidence.ok and bool(evidence.url)
    view = pull_request_view(
        seen,
        now=now,
        evidence=evidence,
        files=files,
        whole=whole,
        left_out=left_out,
        model=plan.model,
        cap_microusd=rooms.usage.cap_of(run),
        status_url=rooms.status_page(run),
        branch=branch_of(seen.request.issue),
        lives_until=now + plan.preview_s if alive else None,
        picture=rooms.camera is not None,
        ci=plan.ci,
        made=_made(rooms, run, facts, files),
    )
    commit = commit_message_view(seen, files=len(files), ci=plan.ci)
    check = check_view(seen, now=now, evidence=evidence, files=len(files), left_out=left_out)
    return Told(
        title=seen.title,
        body=rooms.texts.render("github/pull_request.md.j2", view),
        commit_message=rooms.texts.render("github/commit_message.txt.j2", commit),
        check=CheckReport(
            title=_verdict(evidence, left_out),
            summary=rooms.texts.render("github/check.md.j2", check),
            conclusion=_conclusion(evidence, left_out),
            details_url=rooms.status_page(run),
            actions=[REBUILD],
            annotations=[
                Annotation(each.path, f"Left out: {each.reason}") for each in left_out if each.path != MORE
            ],
        ),
    )


def _conclusion(evidence: Evidence, left_out: list[LeftOut]) -> CheckConclusion:
    if not evidence.complete:
        return CheckConclusion.FAILURE
    return CheckConclusion.NEUTRAL if left_out else CheckConclusion.SUCCESS


def _verdict(evidence: Evidence, left_out: list[LeftOut]) -> str:
    if not evidence.ok:
        return one_line(evidence.problem or "It does not work on a clean machine", 120)
    if not evidence.complete:
        return "It runs, and its tests fail"
    proven = "Its check passed" if not evidence.url else "The preview answered"
    return f"{proven}; {len(left_out)} left out" if left_out else proven


def _made(rooms: Rooms, run: RunId, facts: Mapping[str, Any], files: tuple[Artifact, ...]) -> Made:
    outcome = load(SwarmOutcome, facts["outcome"])
    return Made(
        authors=_authors(rooms, run, outcome, files),
        deleted=facts.get("deleted", ()),
        closing=outcome.last_text,
        snapshot=facts["golden"],
        shown_by={int(number): text for number, text in facts.get("claims", {}).items()},
    )


def _authors(rooms: Rooms, run: RunId, outcome: SwarmOutcome, files: tuple[Artifact, ...]) -> Authors:
    collected = [
        (event.at, event.data["files"]) for event in rooms.runs.events(run) if event.kind == "collected"
    ]
    tools = [
        Tool(each.tool, each.text, each.ended)
        for each in outcome.commands
        if each.agent == ARCHITECT and each.tool in ("write", "edit")
    ]
    return authors(collected, files, tools)
