"""One build without GitHub, in this process: gateway, steps and journal, shown while it runs, ended in any case."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.live import Live

from bot.cli import wiring
from bot.cli.living import process_facts
from bot.cli.place import operators_deployment
from bot.cli.serve import started_gateway
from bot.cli.show import build_screen, phase_line
from bot.core.codec import load
from bot.core.models import AppKind, BriefResult, BuildRequest, Evidence, Phase, Repo, RunId
from bot.core.words import PHASES
from bot.pipeline.build import build
from bot.pipeline.clean import CleanMachine
from bot.pipeline.engine import Jobs, Steps
from bot.pipeline.folder import FolderJob, NoGitHub
from bot.pipeline.journal.snapshot import snapshot
from bot.pipeline.rooms import Rooms
from bot.settings import Settings

LOOK_EVERY_S = 0.2
_TITLE_CHARACTERS = 100
LABELS = {**PHASES, Phase.PREPARE: "Read the goal", Phase.PUBLISH: "Write the files into the folder"}


@dataclass(slots=True)
class Errand:
    """A build under way. Its machines go when it ends; the preview's goes with `end_preview`."""

    run: RunId
    folder: Path
    rooms: Rooms
    kept: wiring.Stores
    vers_url: str
    """Remembered, so that its machines are looked for in the right place if this process is killed."""
    ended: threading.Event = field(default_factory=threading.Event)

    def request(self, goal: str) -> BuildRequest:
        """The goal as a build knows its orders: title and text, from nobody's repository."""
        title = goal.strip().splitlines()[0].lstrip("# ").strip()[:_TITLE_CHARACTERS]
        repo = Repo(f"here/{self.run}", 0, 0)
        return BuildRequest(repo, 0, title, goal.strip(), "operator", self.run, insist=True)

    def start(self, goal: str) -> None:
        """Begin."""
        self.kept.runs.create(self.run, self.request(goal))
        self.kept.runs.keep(self.run, **process_facts(), vers=self.vers_url)
        threading.Thread(target=self._build, name=f"errand-{self.run}", daemon=True).start()

    def _build(self) -> None:
        try:
            build(
                self.rooms,
                Steps(durable=False),
                self.run,
                lambda rooms, run: FolderJob(rooms, run, self.folder),
            )
        finally:
            self.ended.set()

    def cancel(self) -> None:
        """Ask it to stop, and wait until it has: its machines are gone then."""
        self.kept.runs.cancel(self.run, "operator", "it was interrupted")
        self.ended.wait()

    def watch(self, console: Console) -> None:
        """Show it until it has ended."""
        told: set[Phase] = set()
        over = False
        with Live(console=console, refresh_per_second=4, transient=False) as live:
            while not over:
                # Not `Thread.join`: interrupted in it, Python 3.11 takes a living thread for ended.
                over = self.ended.wait(LOOK_EVERY_S)
                seen = snapshot(self.run, self.kept.runs, self.kept.fleet, self.kept.usage)
                if console.is_terminal:
                    notes = [str(e.data["text"]) for e in self.kept.runs.events(self.run) if e.kind == "note"]
                    cap = self.kept.usage.cap_microusd
                    live.update(
                        build_screen(seen, now=time.time(), cap_microusd=cap, notes=notes, labels=LABELS)
                    )
                    continue
                for phase, at in seen.entered.items():
                    if phase not in told:
                        told.add(phase)
                        console.print(phase_line(phase, at - seen.created_at, LABELS), markup=False)

    def report(self) -> dict[str, Any]:
        """What came of it, JSON-safe."""
        row = self.kept.runs.get(self.run)
        seen = snapshot(self.run, self.kept.runs, self.kept.fleet, self.kept.usage)
        evidence = load(Evidence, row.result["evidence"]) if "evidence" in row.result else None
        return {
            "run": self.run,
            "state": str(row.state),
            "reason": row.reason or (evidence.problem if evidence else ""),
            "folder": row.result.get("folder", ""),
            "files": row.result.get("files", []) if "folder" in row.result else [],
            "answered": bool(evidence and evidence.ok),
            "preview_url": evidence.url if evidence and evidence.ok else "",
            "agents": [
                {"label": a.label, "role": str(a.role), "state": str(a.state), "vm_id": a.vm}
                for a in seen.agents
            ],
            "cost_usd": round(seen.spent.cost_microusd / 1e6, 6),
            "seconds": round((row.result.get("published_at") or row.ended_at or 0) - row.created_at, 2),
        }

    def end_preview(self) -> None:
        """Delete the preview's machine, if there is one."""
        if "golden" in self.kept.runs.get(self.run).result:
            CleanMachine.of(self.rooms, self.run).delete()


@contextmanager
def errand(settings: Settings, run: RunId, folder: Path, kind: AppKind | None) -> Iterator[Errand]:
    """Everything that one build needs, in this process.

    Args:
        settings: with a database that is ready.
        run: its id.
        folder: where the files land.
        kind: what to build, whatever the brief says; None leaves it to the brief.
    """
    kept = wiring.stores(settings)
    gateway, lines = started_gateway(settings, kept)
    jobs = Jobs(settings.database_url)
    try:
        label = operators_deployment(settings)
        rooms = wiring.rooms(settings, kept, lines, jobs, github=NoGitHub(), label=label)
        yield Errand(run, folder, _of_kind(rooms, kind), kept, settings.vers_url)
    finally:
        gateway.close()
        kept.database.dispose()


def _of_kind(rooms: Rooms, kind: AppKind | None) -> Rooms:
    if kind is None:
        return rooms
    read = rooms.read_issue

    def read_issue(*given: Any) -> BriefResult:
        result = read(*given)
        return replace(result, brief=replace(result.brief, kind=kind))

    return replace(rooms, read_issue=read_issue)
