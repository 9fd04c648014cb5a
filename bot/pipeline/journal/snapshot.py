"""One build as people may see it, read from the journal: the same for comment, page, pull request and terminal."""

from bot.core.errors import translate
from bot.core.models import AgentView, Brief, Evidence, Phase, Published, RunId, Tokens
from bot.core.snapshot import Snapshot
from bot.pipeline.journal.database import DATABASE_ERRORS
from bot.pipeline.journal.fleet import AgentRow, Fleet
from bot.pipeline.journal.runs import RunEvent, Runs
from bot.pipeline.journal.usage import Usage


def snapshot(run: RunId, runs: Runs, fleet: Fleet, usage: Usage) -> Snapshot:
    """A build at this moment.

    Raises:
        NotFound: no such build.
        Transient: the database is down.
    """
    with translate(DATABASE_ERRORS, "reading the build"):
        found, events, used = runs.get(run), runs.events(run), usage.by_agent(run)
        evidence = found.fact("evidence", Evidence)
        gone = {machine.vm for machine in fleet.machines(run, live=False) if machine.state == "gone"}
        return Snapshot(
            run=run,
            request=found.request,
            state=found.state,
            phase=found.phase,
            reason=found.reason,
            created_at=found.created_at,
            ended_at=found.ended_at,
            entered=_entered(events),
            agents=tuple(_view(agent, used.get(agent.agent, Tokens())) for agent in fleet.agents(run)),
            spent=sum(used.values(), Tokens()),
            warnings=tuple(str(event.data.get("text", "")) for event in events if event.kind == "warning"),
            usual_s=None if found.state.ended else runs.usual_s(),
            stopping=runs.cancellation(run),
            brief=found.fact("brief", Brief),
            evidence=evidence,
            published=found.fact("published", Published),
            gated=(found.result.get("gate") or {}).get("since") is not None,
            preview_ended=bool(evidence and evidence.vm and evidence.vm in gone),
        )


def _entered(events: list[RunEvent]) -> dict[Phase, float]:
    entered: dict[Phase, float] = {}
    for event in events:
        if event.kind == "phase":
            entered.setdefault(Phase(event.data["phase"]), event.at)
    return entered


def _view(agent: AgentRow, used: Tokens) -> AgentView:
    return AgentView(
        agent.agent, agent.role, agent.vm, agent.state, agent.doing, agent.reason, used, agent.files, agent.heard_at
    )  # fmt: skip
