"""Files on a clean machine: the one way in which a build, and whoever asks for its preview again, starts them."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from bot.core.models import Artifact, Brief, Evidence
from bot.core.plan import Plan
from bot.pipeline.clean import CleanMachine
from bot.pipeline.preview import Preview
from bot.pipeline.rooms import Rooms


def _never() -> None:
    return


def show(
    rooms: Rooms,
    machine: CleanMachine,
    plan: Plan,
    brief: Brief,
    files: Sequence[Artifact],
    check_cancelled: Callable[[], None] = _never,
) -> Evidence:
    """Start and probe files on a machine on which nothing has run yet. See `Preview.show` for errors."""
    shell = machine.take()
    try:
        return Preview(
            shell,
            rooms.provider,
            registry=rooms.lines.registry(shell.vm),
            tools=rooms.preview_tools,
            start_limit_s=rooms.limits.start_seconds,
            now=lambda: datetime.fromtimestamp(rooms.now(), UTC).isoformat(timespec="seconds"),
            check_cancelled=check_cancelled,
            setup=plan.app,
            folder=plan.bounds.target,
        ).show(files, brief.kind, plan.app.test or brief.check)
    finally:
        shell.close()
