"""The way of one build, and the only place that knows the order of its steps."""

import logging
from collections.abc import Callable
from functools import partial

from bot.core.errors import BotError, Cancelled, Declined, Unclear, UserError
from bot.core.models import Phase, RunId, RunState
from bot.pipeline.engine import Steps
from bot.pipeline.job import Job
from bot.pipeline.rooms import Rooms

log = logging.getLogger(__name__)

GITHUB_PATIENCE_S = 1800.0
"""What was built and paid for waits half an hour for GitHub, and so does the last word."""


def build(rooms: Rooms, steps: Steps, run: RunId, make_job: Callable[[Rooms, RunId], Job] = Job) -> None:
    """From an accepted trigger to a pull request, or to one terminal state with a reason; no machine left either way."""
    if rooms.runs.get(run).state.ended:  # stopped while it was queued
        return
    job = make_job(rooms, run)
    with job.reporting() as conclude:
        state, reason = _outcome(lambda: _way(steps, job))
        try:
            if state is RunState.SUCCEEDED:  # with the pull request open, a machine that stays is no failure
                steps.run(Phase.DONE, partial(job.enter, Phase.DONE, job.finish))
            else:
                steps.run("end", partial(job.end, reason))
        except BotError as error:
            log.error("build %s: clean-up: %s", run, error)  # the reaper finishes what is left
        steps.run("ended", lambda: rooms.runs.end(run, state, reason))
        try:
            steps.run("told", conclude, patience_s=GITHUB_PATIENCE_S)
        except BotError as error:
            log.error("build %s: the last word: %s", run, error)


def _way(steps: Steps, job: Job) -> None:
    order: tuple[tuple[Phase, Callable[[], None]], ...] = (
        (Phase.ADMIT, job.admit),
        (Phase.PREPARE, job.prepare),
        (Phase.SWARM, job.swarm),
        (Phase.COLLECT, job.collect),
        (Phase.PREVIEW, job.preview),
        (Phase.PUBLISH, job.publish),
    )
    for phase, step in order:
        patience_s = GITHUB_PATIENCE_S if phase is Phase.PUBLISH else None
        steps.run(phase, partial(job.enter, phase, step), patience_s=patience_s, look=job.check_cancelled)


def _outcome(way: Callable[[], None]) -> tuple[RunState, str]:
    try:
        way()
    except Cancelled as error:
        return RunState.CANCELLED, str(error)
    except Declined as error:
        return RunState.DECLINED, str(error)
    except Unclear as error:
        return RunState.WAITING, str(error)
    except UserError as error:
        return RunState.FAILED, str(error)
    except BotError as error:
        return RunState.FAILED, f"{type(error).__name__.lower()}: {error}"
    return RunState.SUCCEEDED, ""
