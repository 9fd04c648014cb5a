"""The ground that is measured on: the whole product beside its stand-ins, whose speed and distance can be turned."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx

from bot.bench.built import Conditions
from bot.cli import wiring
from bot.cli.processes import children
from bot.cli.world import World, start_world
from bot.core.errors import Permanent
from bot.local.model.scenarios.board import title as board_title
from bot.settings import Settings

REPOSITORY = "acme/arcade"
PERSON = "alice"
FAST = 8000.0
"""Tokens per second while something else than the model is measured."""
_MOST_AGENTS = 64


@dataclass(frozen=True, slots=True)
class Issue:
    """What is built."""

    name: str
    title: str
    text: str
    workers: int


def snake(issues: Path) -> Issue:
    """The demo's issue: three workers, an npm package to install, a seam to mend."""
    title, _, text = (issues / "multiplayer-snake.md").read_text().partition("\n")
    return Issue("snake", title.lstrip("# ").strip(), text.strip(), 3)


def board(size: int) -> Issue:
    """So many independent parts of one length, one worker each."""
    named = board_title(size)
    return Issue(f"board-{size}", named, f"{named}, one program for each, on one page.", size)


@dataclass(frozen=True, slots=True)
class Ground:
    """A running world. `rate` and `conditions` are what it has at the moment."""

    world: World
    stores: wiring.Stores
    state: Path
    model: dict[str, Any]
    """base_url, api_key, and the present rate and ttft_s."""

    def at_rate(self) -> World:
        """The world as its model speaks now."""
        return replace(self.world, model=self.model)

    def set_rate(self, tokens_per_s: float) -> None:
        """Another speed of the scripted model, from its next answer on."""
        sent = httpx.post(f"{self.model['base_url']}/_local/pace", json={"rate": tokens_per_s})
        self.model.update(sent.raise_for_status().json())

    def set_conditions(self, conditions: Conditions) -> None:
        """Other delays and another round trip of the local Vers.

        Raises:
            Permanent: it does not take them.
        """
        order: Mapping[str, Any] = {
            "delays": dict(conditions.delays),
            "round_trip_ms": conditions.round_trip_ms,
        }
        answer = httpx.put(f"{self.world.vers['base_url']}/_local/conditions", json=order)
        if answer.is_error:
            raise Permanent(
                f"the local Vers refused its conditions: {answer.status_code} {answer.text[:200]}"
            )


@contextmanager
def ground(settings: Settings, state: Path, tell: Callable[[str], None]) -> Iterator[Ground]:
    """Start everything; it ends with this context.

    Args:
        settings: the operator's; the model is scripted even if there is a key, because the same tokens are compared.
        state: a folder for databases, repositories and logs; the caller deletes it.
        tell: gets a sentence per step.

    Raises:
        Permanent: a program did not get ready.
    """
    changes = {"anthropic_api_key": "", "max_agents": _MOST_AGENTS, "run_budget_usd": 1000.0}
    scripted = Settings.model_validate({**settings.model_dump(), **changes})
    with children(state / "logs") as processes:
        world = start_world(scripted, state, processes, rate=FAST, tell=tell)
        if world.model is None:
            raise Permanent("the scripted model was not started")
        stores = wiring.stores(world.settings)
        try:
            yield Ground(world, stores, state, dict(world.model))
        finally:
            stores.database.dispose()
