"""`swarm-bot demo`: the main job on one machine, from a label to a pull request with a live preview."""

import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import httpx
from rich.console import Console
from rich.live import Live

from bot.cli import wiring
from bot.cli.processes import Child, Children, children, swarm_bot
from bot.cli.show import build_screen, summary
from bot.core.errors import BotError, Permanent, UserError
from bot.core.models import RunId
from bot.settings import Settings

REPOSITORY = "acme/arcade"
PERSON = "alice"
DEFAULT_RATE = 80.0
TRIGGER_LIMIT_S = 60.0


@dataclass(frozen=True, slots=True)
class World:
    """The running stand-ins and processes of one demo."""

    settings: Settings
    github: Mapping[str, Any]
    vers: Mapping[str, Any]
    model: Mapping[str, Any] | None
    """None with a real model."""
    web_url: str
    processes: Children


class Interrupted(Exception):  # noqa: N818  # it is no error
    """Ctrl-C or SIGTERM."""


def run_demo(
    settings: Settings, *, issue: Path, once: bool, as_json: bool, rate: float, console: Console, out: Console
) -> int:
    """The whole demo; the exit status: 0 only if the build succeeded and the preview answered."""
    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGINT, _interrupt)
    console.print(wiring.model_line(settings, rate))
    state = Path(tempfile.mkdtemp(prefix="demo-", dir=_made(settings.swarm_cache)))
    report: dict[str, Any] = {"state": "failed", "vms_left": None}
    try:
        with children(state / "logs") as processes, console.status("starting the stand-ins") as status:
            world = start_world(settings, state, processes, rate, lambda text: status.update(text))
            status.stop()
            report = _play(world, issue, console)
            summary(console, report)
            if not once:
                _stay(world, console)
            report["vms_left"] = _end_build(world, report)
    except Interrupted:
        console.print("stopping")
    except BotError as error:
        console.print(f"[red]{error}[/red]")
    finally:
        shutil.rmtree(state, ignore_errors=True)
    if as_json:
        out.print_json(json.dumps(report), indent=None)
    return 0 if report["state"] == "succeeded" and report.get("answered") and report["vms_left"] in (0, None) else 1
