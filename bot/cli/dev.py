"""`swarm-bot dev`: the whole product on this machine, for people who work on it; stays until Ctrl-C."""

import json
import shutil
import signal
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from bot.cli import wiring
from bot.cli.processes import children
from bot.cli.world import World, start_world
from bot.settings import Settings

LOOK_EVERY_S = 0.5


def develop(settings: Settings, *, rate: float, as_json: bool) -> None:
    """Start the stand-ins, web and worker, say where they are, and stay.

    Raises:
        Permanent: a program did not get ready, or ended; the message has the last lines of its log.
    """
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    settings.swarm_cache.mkdir(parents=True, exist_ok=True)
    state = Path(tempfile.mkdtemp(prefix="dev-", dir=settings.swarm_cache))
    tell: Callable[[str], None] = (lambda _text: None) if as_json else click.echo
    tell(wiring.model_line(settings, rate))
    try:
        with children(state / "logs") as processes:
            world = start_world(settings, state, processes, rate=rate, tell=tell)
            click.echo(json.dumps(addresses(world, state)) if as_json else _in_words(world, state))
            while not stop.wait(LOOK_EVERY_S):
                processes.check()
    finally:
        shutil.rmtree(state, ignore_errors=True)


def addresses(world: World, state: Path) -> dict[str, Any]:
    """Where everything is: web_url, state, and what each stand-in said when it was ready."""
    return {
        "web_url": world.web_url,
        "state": str(state),
        "github": dict(world.github),
        "vers": dict(world.vers),
        "model": dict(world.model) if world.model else None,
    }


def _in_words(world: World, state: Path) -> str:
    people = ", ".join(world.github["users"])
    rows = [
        ("builds", world.web_url),
        ("GitHub", f"{world.github['web_url']}  (people: {people})"),
        ("Vers", world.vers["base_url"]),
        ("model", world.model["base_url"] if world.model else world.settings.anthropic_base_url),
        ("database", world.settings.database_url),
        ("logs", str(state / "logs")),
    ]
    return "\n".join(f"{name:<10}{value}" for name, value in rows) + "\nCtrl-C ends everything."
