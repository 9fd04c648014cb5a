"""What is written on GitHub about a build: views of the journal, put into words by templates."""

from dataclasses import dataclass

from bot.core.codec import load
from bot.core.models import Evidence, LeftOut, RunId
from bot.core.plan import Plan
from bot.core.policy import branch_of
from bot.core.snapshot import Snapshot
from bot.core.views import ProgressView, commit_message_view, progress_view, pull_request_view
from bot.pipeline.journal.snapshot import snapshot
from bot.pipeline.rooms import Rooms


@dataclass(frozen=True, slots=True)
class Told:
    """A pull request in words."""

    title: str
    body: str
    commit_message: str


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
    """The progress comment as of now."""
    return rooms.texts.render("github/progress.md.j2", seen_progress(rooms, run))


def pull_request(rooms: Rooms, run: RunId) -> Told:
    """Title, body and commit message, once the evidence is in."""
    seen, facts = _seen(rooms, run), rooms.runs.get(run).result
    files = rooms.results.files(run)
    evidence = load(Evidence, facts["evidence"])
    plan = load(Plan, facts["plan"])
    alive = evidence.ok and bool(evidence.url)
    view = pull_request_view(
        seen,
        now=rooms.now(),
        evidence=evidence,
        files=files,
        left_out=load(list[LeftOut], facts["left_out"]),
        model=plan.model,
        cap_microusd=rooms.usage.cap_of(run),
        status_url=rooms.status_page(run),
        branch=branch_of(seen.request.issue),
        lives_until=rooms.now() + plan.preview_s if alive else None,
    )
    commit = commit_message_view(seen, files=len(files))
    return Told(
        title=seen.title,
        body=rooms.texts.render("github/pull_request.md.j2", view),
        commit_message=rooms.texts.render("github/commit_message.txt.j2", commit),
    )
