"""The way of one build, and the only place that knows the order of its steps."""

import logging
from collections.abc import Callable
from functools import partial

from bot.core.errors import BotError, Cancelled, Declined, UserError
from bot.core.models import Phase, RunId, RunState
from bot.pipeline.engine import Steps
from bot.pipeline.job import Job
from bot.pipeline.rooms import Rooms

log = logging.getLogger(__name__)


def build(rooms: Rooms, steps: Steps, run: RunId, make_job: Callable[[Rooms, RunId], Job] = Job) -> None:
    """From an accepted trigger to a pull request, or to one terminal state with a reason; no machine left either way."""
    job = make_job(rooms, run)
    with job.reporting():
        state, reason = _outcome(lambda: _way(steps, job))
        try:
            steps.run("end", lambda: job.end(state, reason))
        except BotError as error:
            log.error("build %s: clean-up: %s", run, error)  # the reaper finishes what is left
        rooms.runs.end(run, state, reason)


def _way(steps: Steps, job: Job) -> None:
    order: tuple[tuple[Phase, Callable[[], None]], ...] = (
        (Phase.ADMIT, job.admit),
        (Phase.PREPARE, job.prepare),
        (Phase.SWARM, job.swarm),
        (Phase.COLLECT, job.collect),
        (Phase.PREVIEW, job.preview),
        (Phase.PUBLISH, job.publish),
        (Phase.DONE, job.finish),
    )
    for phase, step in order:
        steps.run(phase, partial(job.enter, phase, step))


def _outcome(way: Callable[[], None]) -> tuple[RunState, str]:
    try:
        way()
    except Cancelled as error:
        return RunState.CANCELLED, str(error)
    except Declined as error:
        return RunState.DECLINED, str(error)
    except UserError as error:
        return RunState.FAILED, str(error)
    except BotError as error:
        return RunState.FAILED, f"{type(error).__name__.lower()}: {error}"
    return RunState.SUCCEEDED, ""
