"""How an issue stands, from the journal: what a decision about it needs to know."""

from bot.core.models import Phase, RunId, RunState
from bot.core.policy import Concern, Standing
from bot.pipeline.clean import PURPOSE
from bot.pipeline.journal.runs import Run, Runs
from bot.pipeline.rooms import Rooms

_AFTER_THE_SWARM = (Phase.COLLECT, Phase.PREVIEW, Phase.PUBLISH, Phase.DONE)


def builds_of(runs: Runs, concern: Concern) -> list[Run]:
    """The builds of the issue that an event is about, newest first; for a pull request, of the issue that it was built for."""
    repo, number = concern.repo.full_name, concern.number
    if not concern.on_pull_request:
        return runs.of_issue(repo, number)
    issue = next(
        (
            run.request.issue
            for run in runs.of_repo(repo)
            if (run.result.get("published") or {}).get("pull_request") == number
        ),
        None,
    )
    return runs.of_issue(repo, issue) if issue is not None else []


def standing_of(rooms: Rooms, concern: Concern, builds: list[Run], delivery: str) -> Standing:
    """How the issue stands; a build that this very delivery started counts as not there yet."""
    builds = [run for run in builds if run.request.delivery != delivery]
    active = next(
        (run for run in builds if not run.state.ended and not rooms.runs.cancellation(run.id)), None
    )
    published = next((run for run in builds if "published" in run.result), None)
    return Standing(
        active=active.id if active else None,
        latest=builds[0].id if builds else None,
        published=published.id if published else None,
        preview=next((run.id for run in builds if _shown(rooms, run.id)), None),
        listens=bool(active and active.phase not in _AFTER_THE_SWARM),
        gated=bool(active and (active.result.get("gate") or {}).get("since") is not None),
        asked=bool(builds and builds[0].state is RunState.WAITING),
        ours=bool(builds) or not concern.on_pull_request,
    )


def _shown(rooms: Rooms, run: RunId) -> bool:
    return any(
        row.vm is not None and row.keep_until is not None and row.purpose.startswith(PURPOSE)
        for row in rooms.fleet.machines(run)
    )
