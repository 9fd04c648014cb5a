"""`swarm-bot demo`: the main job on one machine, from a label to a pull request with a live preview."""

import json
import os
import shutil
import signal
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from rich.console import Console
from rich.live import Live

from bot.cli import wiring
from bot.cli.processes import children
from bot.cli.report import report_of
from bot.cli.show import build_screen, phase_line, summary
from bot.cli.world import Person, World, machines_left, start_world
from bot.core.errors import BotError, Permanent
from bot.core.models import Phase, RunId
from bot.core.snapshot import Snapshot
from bot.pipeline.journal.snapshot import snapshot
from bot.settings import Settings

REPOSITORY = "acme/arcade"
PERSON = "alice"
LOOK_EVERY_S = 0.2
QUEUE_LIMIT_S = 60.0
END_LIMIT_S = 60.0


class Interrupted(Exception):  # it is no error
    """Ctrl-C or SIGTERM."""


@dataclass(slots=True)
class Demo:
    """One demo. `console` is for people, `out` for the one line of JSON."""

    settings: Settings
    issue: Path
    rate: float
    console: Console
    report: dict[str, Any] = field(default_factory=lambda: {"state": "failed", "reason": "it did not start"})

    def run(self, *, once: bool) -> int:
        """The whole demo; 0 only if the build succeeded and its evidence is good."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, _interrupt)
        self.console.print(wiring.model_line(self.settings, self.rate), soft_wrap=True, markup=False)
        self.settings.swarm_cache.mkdir(parents=True, exist_ok=True)
        state = Path(
            tempfile.mkdtemp(prefix="demo-", suffix=f"-{os.getpid()}", dir=self.settings.swarm_cache)
        )
        try:
            with children(state / "logs") as processes:
                with self.console.status("") as status:
                    world = start_world(
                        self.settings,
                        state,
                        processes,
                        rate=self.rate,
                        tell=lambda text: status.update(text[:100]),
                    )
                self._play(world)
                summary(self.console, self.report)
                if not once:
                    self._stay(world)
                self.report["vms_left"] = self._close(world)
        except Interrupted:
            self.console.print("stopped; everything is being ended")
        except BotError as error:
            self.report["reason"] = str(error)
            self.console.print(f"{type(error).__name__}: {error}", style="red", markup=False)
        finally:
            shutil.rmtree(state, ignore_errors=True)
        return 0 if self.report["state"] == "succeeded" and self.report["answered"] else 1

    def _play(self, world: World) -> None:
        alice = Person(world.github, PERSON)
        title, _, text = self.issue.read_text().partition("\n")
        number, issue_url = alice.open_issue(REPOSITORY, title.lstrip("# ").strip(), text.strip())
        self.console.print(f"issue         {issue_url}", markup=False, soft_wrap=True)
        labelled_at = time.time()
        alice.label(REPOSITORY, number, world.settings.trigger_label)
        stores = wiring.stores(world.settings)
        run = self._await_run(world, stores, number)
        self._watch(world, stores, run)
        self.report = report_of(world, stores, run, issue_url=issue_url, labelled_at=labelled_at)

    def _await_run(self, world: World, stores: wiring.Stores, number: int) -> RunId:
        end = time.monotonic() + QUEUE_LIMIT_S
        while time.monotonic() < end:
            world.processes.check()
            if builds := stores.runs.of_issue(REPOSITORY, number):
                return builds[0].id
            time.sleep(LOOK_EVERY_S)
        raise Permanent(
            f"no build of issue {number} was queued within {QUEUE_LIMIT_S:g} s; see the web's and worker's log"
        )

    def _watch(self, world: World, stores: wiring.Stores, run: RunId) -> None:
        told: set[Phase] = set()
        with Live(console=self.console, refresh_per_second=4, transient=False) as live:
            while True:
                world.processes.check()
                seen = snapshot(run, stores.runs, stores.fleet, stores.usage)
                if self.console.is_terminal:
                    notes = [str(e.data["text"]) for e in stores.runs.events(run) if e.kind == "note"]
                    cap = stores.usage.cap_of(run)
                    live.update(build_screen(seen, now=time.time(), cap_microusd=cap, notes=notes))
                else:
                    self._tell(seen, told)
                if seen.state.ended:
                    return
                time.sleep(LOOK_EVERY_S)

    def _tell(self, seen: Snapshot, told: set[Phase]) -> None:
        for phase, at in seen.entered.items():
            if phase not in told:
                told.add(phase)
                self.console.print(phase_line(phase, at - seen.created_at), markup=False)

    def _stay(self, world: World) -> None:
        self.console.print("\nOpen the preview and play. Ctrl-C ends everything.")
        while True:
            world.processes.check()
            time.sleep(LOOK_EVERY_S)

    def _close(self, world: World) -> int:
        """Close the pull request as its reviewer would; how many machines are left when the bot has cleaned up."""
        if number := self.report.get("pull_request"):
            Person(world.github, PERSON).close_pull_request(REPOSITORY, number)
        end = time.monotonic() + END_LIMIT_S
        while (left := machines_left(world.vers)) and time.monotonic() < end:
            time.sleep(LOOK_EVERY_S)
        return left


def print_json(report: dict[str, Any]) -> None:
    """The report as one line on standard output."""
    print(json.dumps(report), flush=True)  # noqa: T201  # the one thing that is for scripts


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise Interrupted
