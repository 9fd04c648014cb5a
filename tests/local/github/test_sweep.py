"""The sweep for missed webhooks, against GitHub's list of deliveries."""

from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from bot.github.app import GitHubApp
from bot.github.door import Patience
from bot.local.github.server import Running
from bot.pipeline.journal.database import metadata, open_database
from bot.pipeline.journal.runs import Runs
from bot.pipeline.sweep import KEPT_S, REFUSALS, MissedWebhooks
from tests.local.github.conftest import Receiver, Rest

ISSUES = "/repos/acme/arcade/issues"


class Away:
    """An App that GitHub sends webhooks to, and the sweep that looks for them."""

    def __init__(self, hub: Running, folder: Path) -> None:
        self.app = GitHubApp(
            api_url=hub.base_url,
            app_id=hub.app_id,
            private_key_pem=hub.private_key_file.read_text(),
            patience=Patience(attempts=1),
        )
        engine = open_database(f"sqlite:///{folder}/journal.db")
        metadata.create_all(engine)
        self.late_s = 0.0
        clock = hub.world.clock
        self._sweep = MissedWebhooks(
            self.app, Runs(engine, lambda: 0.0), lambda: clock().timestamp() + self.late_s
        )
        self._hub = hub

    def sweep(self) -> int:
        found = self._sweep.sweep()
        assert self._hub.wait_for_webhooks()
        return found


@pytest.fixture
def away(hub: Running, tmp_path: Path) -> Iterator[Away]:
    made = Away(hub, tmp_path)
    yield made
    made.app.close()


def test_what_nobody_took_is_asked_for_until_somebody_does(
    hub: Running, receiver: Receiver, rest: Callable[[str], Rest], away: Away
) -> None:
    """However often the sweep came while the web process was away."""
    receiver.answer = 502
    rest("alice")("POST", ISSUES, {"title": "x"})
    assert hub.wait_for_webhooks()
    assert [away.sweep() for _ in range(REFUSALS + 3)] == [1] * (REFUSALS + 3)
    receiver.answer = 202
    assert away.sweep() == 1
    assert away.sweep() == 0


def test_what_we_refuse_is_given_up(
    hub: Running, receiver: Receiver, rest: Callable[[str], Rest], away: Away
) -> None:
    """It would be refused for ever."""
    receiver.answer = 400
    rest("alice")("POST", ISSUES, {"title": "x"})
    assert hub.wait_for_webhooks()
    assert [away.sweep() for _ in range(REFUSALS + 1)] == [1] * (REFUSALS - 1) + [0, 0]


def test_one_that_cannot_be_had_again_does_not_hide_the_others(
    hub: Running, receiver: Receiver, rest: Callable[[str], Rest], away: Away
) -> None:
    """GitHub refuses the first; the second arrives in the same round."""
    receiver.answer = 502
    for title in "ab":
        rest("alice")("POST", ISSUES, {"title": title})
    assert hub.wait_for_webhooks()
    receiver.answer = 202
    fault = {
        "method": "POST",
        "path_regex": r"/app/hook/deliveries/\d+/attempts",
        "status": 422,
        "kind": "before",
    }
    httpx.post(f"{hub.web_url}/_local/faults", json=fault).raise_for_status()
    assert away.sweep() == 2
    assert away.sweep() == 1
    assert away.sweep() == 0


def test_what_github_no_longer_keeps_is_not_asked_for(
    hub: Running, receiver: Receiver, rest: Callable[[str], Rest], away: Away
) -> None:
    """After three days."""
    receiver.answer = 502
    rest("alice")("POST", ISSUES, {"title": "x"})
    assert hub.wait_for_webhooks()
    away.late_s = KEPT_S + 60
    assert away.sweep() == 0
