"""What a killed process left at the provider: the machines and snapshots of its build or swarm, found by their rows."""

import logging
import time
from urllib.parse import urlsplit

from bot.agents.snapshots import delete_snapshots
from bot.agents.strays import Strays, snapshots_of
from bot.cli import wiring
from bot.cli.living import Lives
from bot.cli.place import at_local, running_local
from bot.core.errors import BotError, NotFound, UserError
from bot.core.models import CommitId, RunId
from bot.pipeline.journal.fleet import Fleet, VmRow
from bot.pipeline.journal.runs import Run
from bot.settings import Settings
from bot.vms.base import Provider

log = logging.getLogger(__name__)

_LOOPBACK = ("127.0.0.1", "::1", "localhost")


def bury_the_dead(settings: Settings, lives: Lives) -> int:
    """Delete the machines and snapshots of builds whose process was killed; how many machines went. What cannot be deleted
    now is tried next time.
    """
    kept = wiring.stores(settings)
    vers = wiring.provider(settings)

    def is_dead(run: RunId) -> bool:
        try:
            facts = kept.runs.get(run).result
        except NotFound:
            return False  # an image is built on it, or a person has it
        return facts.get("vers") == settings.vers_url and not lives(facts)

    gone = 0
    for run in dict.fromkeys([row.run for row in kept.fleet.machines()] + kept.fleet.runs_with_commits()):
        if is_dead(run):
            went, failures = _delete(vers, kept.fleet, run)
            gone += went
            for failure in failures:
                log.warning("a machine or snapshot of build %s: %s", run, failure)
    vers.close()
    kept.database.dispose()
    return gone


def bury(settings: Settings, kept: wiring.Stores, run: Run) -> None:
    """Delete all that one run left whose process was killed.

    Raises:
        UserError: it was made on another Vers than that of the settings.
        BotError: the first failure, after everything was tried.
    """
    there = _settings_for(settings, str(run.result.get("vers", settings.vers_url)))
    if there is None:
        for row in kept.fleet.machines(run.id):
            _is_gone(kept.fleet, row)
        return
    with wiring.provider(there) as vers:
        _, failures = _delete(vers, kept.fleet, run.id)
    if failures:
        raise failures[0]


def _settings_for(settings: Settings, url: str) -> Settings | None:
    """Settings that lead to this Vers; None if it was a local one, which has ended and its machines with it."""
    if url == settings.vers_url:
        return settings
    if address := running_local(settings.swarm_cache, url):
        return at_local(settings, address)
    if urlsplit(url).hostname in _LOOPBACK:
        return None
    raise UserError(
        f"It was made on {url}, where the present settings do not lead: set VERS_URL and VERS_API_KEY as they were."
    )


def _delete(vers: Provider, fleet: Fleet, run: RunId) -> tuple[int, list[BotError]]:
    gone, failures = 0, []
    rows = fleet.machines(run)
    for row in rows:
        if row.vm is not None:
            try:
                vers.delete(row.vm)
                _is_gone(fleet, row)
                gone += 1
            except BotError as error:
                failures.append(error)
    try:
        for stray in Strays(run, _image(fleet, run, rows), vers, fleet, time.time).find():
            vers.delete(stray)
            gone += 1
    except BotError as error:
        failures.append(error)
    for row in rows:
        if row.vm is None and time.time() - row.created_at > 2 * vers.answer_limit_s:
            _is_gone(fleet, row)  # until then a machine may still come of it
    try:
        failures += delete_snapshots(vers, fleet, run)
    except BotError as error:
        failures.append(error)
    return gone, failures


def _image(fleet: Fleet, run: RunId, rows: list[VmRow]) -> CommitId | None:
    """The image that machines were to be made of which have no answer."""
    own = snapshots_of(fleet, run)
    return next((row.commit for row in rows if row.vm is None and row.commit not in {*own, ""}), None)


def _is_gone(fleet: Fleet, row: VmRow) -> None:
    if row.vm is None:
        fleet.abandon(row.intent)
    else:
        fleet.gone(row.vm)
