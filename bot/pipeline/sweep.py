"""What comes round by the clock: webhooks that never reached us are asked for again, and any other sweep."""

import logging
import threading
from collections import defaultdict
from collections.abc import Callable

from bot.core.errors import BotError
from bot.github.app import GitHubApp
from bot.github.values import HookDelivery
from bot.pipeline.journal.runs import Runs

log = logging.getLogger(__name__)

REFUSALS = 5
"""A webhook that we have refused so often is refused for what it is."""
ATTEMPTS = 100
"""One that nobody takes in half a day or more is given up."""
KEPT_S = 3 * 86_400.0
"""GitHub keeps deliveries so long; after that nothing can be asked for."""
_OVERLAP_S = 3_600.0
_MOST = 10_000


def run_every(stop: threading.Event, every_s: float, name: str, sweep: Callable[[], object]) -> None:
    """Do it at once and then every `every_s` seconds, in a thread of its own, until `stop`. Errors end one round."""

    def rounds() -> None:
        while True:
            try:
                sweep()
            except BotError as error:
                log.warning("%s ended early: %s", name, error)
            except Exception:
                log.exception("%s broke", name)
            if stop.wait(every_s):
                return

    threading.Thread(target=rounds, name=name, daemon=True).start()


class MissedWebhooks:
    """Asks GitHub for webhooks that it could not deliver: it tries each only once by itself, and keeps them three days.

    Source: https://docs.github.com/webhooks/using-webhooks/handling-failed-webhook-deliveries
    """

    def __init__(self, github: GitHubApp, runs: Runs, now: Callable[[], float]) -> None:
        self._github = github
        self._runs = runs
        self._now = now
        self._since = 0.0

    def sweep(self) -> int:
        """How many were asked for again. The answers come as ordinary webhooks, under their old ids.

        It looks back to the last sweep after which nothing was missing, at first as far as GitHub does.
        """
        began = self._now()
        since = max(self._since, began - KEPT_S)
        missed = self._missed(self._github.deliveries(_MOST, since))
        for each in missed:
            log.warning("webhook %s (%s.%s) was missed: asked for again", each.guid, each.event, each.action)
            try:
                self._github.redeliver(each.id)
            except BotError as error:  # the others are still worth asking for
                log.warning("webhook %s: %s", each.guid, error)
        if not missed:
            self._since = began - _OVERLAP_S
        return len(missed)

    def _missed(self, deliveries: list[HookDelivery]) -> list[HookDelivery]:
        """The newest attempt of each that never arrived, the oldest first."""
        attempts: defaultdict[str, list[HookDelivery]] = defaultdict(list)
        for each in deliveries:
            attempts[each.guid].append(each)
        return [
            tried[0]
            for guid, tried in reversed(attempts.items())
            if len(tried) < ATTEMPTS
            and sum(400 <= each.status_code < 500 for each in tried) < REFUSALS
            and not any(each.ok for each in tried)
            and not self._runs.has_delivery(guid)
        ]
