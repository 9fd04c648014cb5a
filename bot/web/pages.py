"""The pages that people look at: recent builds, and one build while it happens. Read only, rendered on the server."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from flask import Blueprint, Response, abort, jsonify

from bot.core import words
from bot.core.errors import NotFound, translate
from bot.core.models import AgentLabel, RunId, RunState
from bot.core.snapshot import Snapshot
from bot.core.texts import Texts
from bot.core.views import ProgressView, progress_view
from bot.core.visible import visible_line, visible_text
from bot.pipeline.journal.database import DATABASE_ERRORS
from bot.pipeline.journal.fleet import Fleet
from bot.pipeline.journal.runs import RunEvent, Runs, elapsed_s
from bot.pipeline.journal.snapshot import snapshot
from bot.pipeline.journal.transcripts import Transcripts
from bot.pipeline.journal.usage import Usage

EVENTS_SHOWN = 300
BUILDS_SHOWN = 50
STRANGER = (
    "sandbox allow-scripts; default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
    "img-src data:; font-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""For a page that agents had a hand in: its scripts run, in an origin of nobody's, and reach nothing."""


@dataclass(frozen=True, slots=True)
class Desk:
    """What the pages read."""

    runs: Runs
    fleet: Fleet
    usage: Usage
    transcripts: Transcripts
    texts: Texts
    now: Callable[[], float]
    site: str
    """Where people look at issues: "https://github.com"."""
    trigger_label: str


@dataclass(frozen=True, slots=True)
class EventLine:
    """One line of a build's history."""

    after: str
    """Time since the trigger."""
    moment: str
    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class BuildPage:
    """`web/build.html.j2` and its moving part, `web/build_live.html.j2`."""

    build: ProgressView
    text: str
    """What the model reads of the issue and of what people said."""
    images: tuple[str, ...]
    """Addresses of the attached images that it sees."""
    issue_url: str
    repo_url: str
    begun: str
    spent_microusd: int
    cap_microusd: int
    tokens_in: str
    tokens_out: str
    requirements: tuple[str, ...]
    problem: str
    transcripts: tuple[AgentLabel, ...]
    """Agents whose transcript there is."""
    events: tuple[EventLine, ...]
    poll: str


@dataclass(frozen=True, slots=True)
class BuildLine:
    """One build in the list."""

    run: RunId
    title: str
    repo: str
    issue: int
    state: RunState
    headline: str
    phase: str
    requested_by: str
    begun: str
    elapsed: str
    reason: str
    """Why it ended without a pull request."""
    pull_request: int | None
    pull_request_url: str
    preview_url: str


@dataclass(frozen=True, slots=True)
class IndexPage:
    """`web/index.html.j2` and its moving part, `web/index_live.html.j2`."""

    builds: tuple[BuildLine, ...]
    trigger_label: str
    poll: str


@dataclass(frozen=True, slots=True)
class ProblemPage:
    """`web/problem.html.j2`."""

    status: int
    sentence: str
    poll: str = ""


def site_of(github_url: str) -> str:
    """Where people look at what a REST API serves: api.github.com is apart, others are below or beside their pages."""
    url = github_url.rstrip("/").removesuffix("/api/v3")
    return "https://github.com" if url == "https://api.github.com" else url


def pages(desk: Desk) -> Blueprint:
    """The routes."""
    routes = Blueprint("pages", __name__)

    @routes.get("/")
    def index() -> str:
        return desk.texts.render("web/index.html.j2", _index(desk))

    @routes.get("/builds.json")
    def index_now() -> Response:
        return jsonify(ended=False, html=desk.texts.render("web/index_live.html.j2", _index(desk)))

    @routes.get("/builds/<run>")
    def build(run: str) -> str:
        return desk.texts.render("web/build.html.j2", _build(desk, RunId(run)))

    @routes.get("/builds/<run>.json")
    def build_now(run: str) -> Response:
        page = _build(desk, RunId(run))
        return jsonify(
            run=page.build.run,
            state=page.build.state,
            ended=page.build.ended,
            html=desk.texts.render("web/build_live.html.j2", page),
        )

    @routes.get("/builds/<run>/transcripts/<agent>")
    def transcript(run: str, agent: str) -> Response:
        with translate(DATABASE_ERRORS, "reading the transcript"):
            page = desk.transcripts.page(RunId(run), agent)
        if page is None:
            abort(404, "There is no such transcript, or it was kept for as long as they are.")
        return Response(page, mimetype="text/html", headers={"Content-Security-Policy": STRANGER})

    return routes


# One build --------------------------------------------------------------------------------------------


def _text(seen: Snapshot, facts: Mapping[str, Any]) -> str:
    request = seen.request
    said = [f"@{each['author']}: {each['text']}" for each in facts.get("remarks", ())]
    parts = (visible_line(request.title), visible_text(request.body), *said, visible_text(request.feedback))
    return "\n\n".join(part for part in parts if part)


def _build(desk: Desk, run: RunId) -> BuildPage:
    try:
        with translate(DATABASE_ERRORS, "reading the build"):
            seen = snapshot(run, desk.runs, desk.fleet, desk.usage)
            events, transcripts = desk.runs.events(run), desk.transcripts.pages(run)
    except NotFound:
        abort(404, "No such build.")
    repo_url = f"{desk.site}/{seen.request.repo.full_name}"
    facts = desk.runs.get(run).result
    read = seen.spent.input + seen.spent.cache_read + seen.spent.cache_write
    return BuildPage(
        build=progress_view(seen, now=desk.now(), cap_microusd=desk.usage.cap_of(run), status_url=""),
        text=_text(seen, facts),
        images=tuple(facts.get("images", ())),
        issue_url=f"{repo_url}/issues/{seen.request.issue}",
        repo_url=repo_url,
        begun=words.moment(seen.created_at),
        spent_microusd=seen.spent.cost_microusd,
        cap_microusd=desk.usage.cap_of(run),
        tokens_in=words.tokens(read),
        tokens_out=words.tokens(seen.spent.output),
        requirements=seen.brief.requirements if seen.brief else (),
        problem=_problem(seen),
        transcripts=tuple(transcripts),
        events=tuple(event_line(each, seen.created_at) for each in reversed(events[-EVENTS_SHOWN:])),
        poll=f"/builds/{run}.json",
    )


def _problem(seen: Snapshot) -> str:
    return seen.evidence.problem if seen.evidence and not seen.evidence.ok else ""


def event_line(event: RunEvent, begun: float) -> EventLine:
    """A line of history in words; a kind that this version does not know is shown by its name."""
    say = _SAY.get(event.kind)
    text = say(event.data) if say else event.kind
    return EventLine(
        after=words.clock(event.at - begun),
        moment=words.moment(event.at),
        kind=event.kind,
        text=words.one_line(text, 300),
    )


def _agent(data: Mapping[str, Any]) -> str:
    details = data.get("reason") or data.get("doing") or ""
    return f"{data.get('label', '?')}: {data.get('state', '?')}" + (f", {details}" if details else "")


def _phase(data: Mapping[str, Any]) -> str:
    named = {str(phase): label for phase, label in words.PHASES.items()}
    return named.get(str(data.get("phase")), str(data.get("phase")))


def _ended(data: Mapping[str, Any]) -> str:
    headlines = {str(state): headline for state, headline in words.HEADLINES.items()}
    headline = headlines.get(str(data.get("state")), str(data.get("state")))
    return f"{headline}: {data['reason']}" if data.get("reason") else headline


_SAY: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "phase": _phase,
    "agent": _agent,
    "state": _ended,
    "note": lambda data: str(data.get("text", "")),
    "warning": lambda data: str(data.get("text", "")),
    "collected": lambda data: (
        "collected: " + ", ".join(f"{len(f)} of {who}" for who, f in data["files"].items())
    ),
    "step": lambda data: f"{data.get('name', '?')} took {float(data.get('seconds', 0)):.1f} s",
}


# All builds -------------------------------------------------------------------------------------------


def _index(desk: Desk) -> IndexPage:
    now = desk.now()
    with translate(DATABASE_ERRORS, "reading the builds"):
        recent = desk.runs.recent(BUILDS_SHOWN)
        living = {machine.vm for machine in desk.fleet.machines()}
    lines = []
    for run in recent:
        published, evidence = run.result.get("published") or {}, run.result.get("evidence") or {}
        brief = run.result.get("brief") or {}
        lines.append(
            BuildLine(
                run=run.id,
                title=words.one_line(brief.get("title") or run.request.title, 120),
                repo=run.request.repo.full_name,
                issue=run.request.issue,
                state=run.state,
                headline=words.HEADLINES[run.state],
                phase="" if run.state is not RunState.RUNNING else words.PHASES[run.phase],
                requested_by=run.request.requested_by,
                begun=words.moment(run.created_at),
                elapsed=words.duration(elapsed_s(run, now)),
                reason="" if run.state is RunState.SUCCEEDED else words.one_line(run.reason, 200),
                pull_request=published.get("pull_request"),
                pull_request_url=published.get("pull_request_url", ""),
                preview_url=evidence.get("url", "")
                if evidence.get("ok") and evidence.get("vm") in living
                else "",
            )
        )
    return IndexPage(tuple(lines), desk.trigger_label, "/builds.json")
