"""What comes round by the clock: webhooks that never reached us are asked for again, and any other sweep."""

import logging
import threading
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass

from bot.core.errors import BotError
from bot.github.app import GitHubApp
from bot.github.values import HookDelivery
from bot.pipeline.journal.runs import Runs

log = logging.getLogger(__name__)

ATTEMPTS = 5
"""A webhook that failed so often fails because of what it is, not because we were away."""

LOOK_BACK = 1000
"""Deliveries; a busy installation has fewer between two sweeps."""


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


@dataclass(frozen=True, slots=True)
class MissedWebhooks:
    """Asks GitHub for webhooks that it could not deliver: it tries each only once by itself, and keeps them three days.

    Source: https://docs.github.com/webhooks/using-webhooks/handling-failed-webhook-deliveries
    """

    github: GitHubApp
    runs: Runs

    def sweep(self) -> int:
        """How many were asked for again. The answers come as ordinary webhooks, under their old ids."""
        missed = self._missed(self.github.deliveries(LOOK_BACK))
        for each in missed:
            log.warning("webhook %s (%s.%s) was missed: asked for again", each.guid, each.event, each.action)
            self.github.redeliver(each.id)
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
            and not any(each.ok for each in tried)
            and not self.runs.has_delivery(guid)
        ]
