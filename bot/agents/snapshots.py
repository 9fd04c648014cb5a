"""The snapshots that a run made: written down before they exist, deleted when the run is over."""

from bot.core.errors import BotError
from bot.core.models import RunId
from bot.pipeline.journal.fleet import Fleet
from bot.vms.base import Provider


def delete_snapshots(provider: Provider, fleet: Fleet, run: RunId) -> list[BotError]:
    """Delete what a run snapshotted, also what an answer that was lost left behind; the failures, after all were tried."""
    failures: list[BotError] = []
    kept = fleet.commits(run)
    listed = {each.name: each.id for each in provider.commits()} if None in kept.values() else {}
    for name, commit in kept.items():
        try:
            if there := commit or listed.get(name):
                provider.delete_commit(there)
            fleet.commit_gone(name)
        except BotError as error:
            failures.append(error)
    return failures
