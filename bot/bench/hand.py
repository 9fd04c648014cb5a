"""Agents without the product's pipeline around them: a journal, a gateway and lines of our own, on the same stand-ins."""

import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from bot.agents.lines import Lines
from bot.agents.outside import Outside
from bot.agents.swarm import Swarm
from bot.bench.ground import Ground
from bot.cli import wiring
from bot.cli.place import operators_deployment
from bot.cli.serve import started_gateway
from bot.core.models import BuildRequest, CommitId, Options, Repo, RunId
from bot.pipeline.engine import Jobs
from bot.pipeline.folder import NoGitHub, plan_by_hand
from bot.pipeline.journal.database import open_database
from bot.pipeline.journal.migrate import migrate
from bot.pipeline.rooms import Rooms
from bot.settings import Settings

_LIMIT_S = 3600.0


@dataclass(frozen=True, slots=True)
class Hand:
    """What this process needs to hold agents."""

    settings: Settings
    kept: wiring.Stores
    lines: Lines
    rooms: Rooms
    golden: CommitId

    def new_run(self, why: str) -> RunId:
        """A row for a run that nobody asked for on GitHub."""
        run = RunId(f"bench-{secrets.token_hex(4)}")
        request = BuildRequest(Repo(f"here/{run}", 0, 0), 0, why, "", "bench", run, insist=True)
        self.kept.runs.create(run, request)
        return run

    def swarm(self, run: RunId) -> Swarm:
        """A swarm without machines that wait ahead."""
        plan = replace(plan_by_hand(self.rooms, Options()), warm_workers=0)
        return self.rooms.make_swarm(run, self.golden, time.time() + _LIMIT_S, plan, Outside())


@contextmanager
def hand(ground: Ground) -> Iterator[Hand]:
    """Open the journal, the gateway and the lines on the ground's stand-ins; they end with this context."""
    url = f"sqlite:///{ground.state}/hand-{secrets.token_hex(4)}.db"
    settings = ground.world.settings.model_copy(update={"database_url": url})
    database = open_database(url)
    migrate(database)
    database.dispose()
    kept = wiring.stores(settings)
    gateway, lines = started_gateway(settings, kept)
    try:
        rooms = wiring.rooms(
            settings, kept, lines, Jobs(url), github=NoGitHub(), label=operators_deployment(settings)
        )
        yield Hand(settings, kept, lines, rooms, rooms.golden.ensure(lambda _text: None))
    finally:
        gateway.close()
        kept.database.dispose()
