"""One build as people may see it, read from the journal: the same for comment, page, pull request and terminal."""

from typing import TypeVar

from bot.core.codec import load
from bot.core.errors import translate
from bot.core.models import AgentLabel, AgentView, Brief, Evidence, Phase, Published, RunId, Tokens
from bot.core.snapshot import Snapshot
from bot.pipeline.journal.database import DATABASE_ERRORS
from bot.pipeline.journal.fleet import AgentRow, Fleet
from bot.pipeline.journal.runs import Run, RunEvent, Runs
from bot.pipeline.journal.usage import Usage

T = TypeVar("T")


def snapshot(run: RunId, runs: Runs, fleet: Fleet, usage: Usage) -> Snapshot:
    """A build at this moment.

    Raises:
        NotFound: no such build.
        Transient: the database is down.
    """
    with translate(DATABASE_ERRORS, "reading the build"):
        found, why = runs.get(run), runs.cancellation(run)
        return _snapshot(found, why, runs.events(run), fleet.agents(run), usage.by_agent(run))


def _snapshot(
    run: Run, stopping: str, events: list[RunEvent], agents: list[AgentRow], used: dict[AgentLabel, Tokens]
) -> Snapshot:
    entered: dict[Phase, float] = {}
    for event in events:
        if event.kind == "phase":
            entered.setdefault(Phase(event.data["phase"]), event.at)
    return Snapshot(
        run=run.id,
        request=run.request,
        state=run.state,
        phase=run.phase,
        reason=run.reason,
        created_at=run.created_at,
        ended_at=run.ended_at,
        entered=entered,
        agents=tuple(_view(agent, used.get(agent.agent, Tokens())) for agent in agents),
        spent=sum(used.values(), Tokens()),
        warnings=tuple(str(event.data.get("text", "")) for event in events if event.kind == "warning"),
        stopping=stopping,
        brief=_fact(run, "brief", Brief),
        evidence=_fact(run, "evidence", Evidence),
        published=_fact(run, "published", Published),
    )


def _view(agent: AgentRow, used: Tokens) -> AgentView:
    return AgentView(agent.agent, agent.role, agent.vm, agent.state, agent.doing, agent.reason, used)


def _fact(run: Run, name: str, kind: type[T]) -> T | None:
    data = run.result.get(name)
    return None if data is None else load(kind, data)
