"""`swarm-bot run`: a goal becomes a folder of files and a preview, by a swarm, without GitHub."""

import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bot.cli import wiring
from bot.cli.burying import bury_the_dead
from bot.cli.errand import Errand, errand
from bot.cli.living import lives
from bot.cli.place import as_json, settings_of, with_journal
from bot.cli.processes import children, swarm_bot
from bot.cli.tables import note, print_json
from bot.cli.world import child_environment
from bot.core.errors import UserError
from bot.core.models import AppKind, RunId
from bot.core.words import dollars
from bot.pipeline.folder import require_empty
from bot.settings import Settings, load_settings

_HOUR_S = 3600.0


@click.command("run")
@click.argument("goal")
@click.option(
    "--out", type=click.Path(path_type=Path), help="Where the files land; a new folder here without it."
)
@click.option(
    "--kind",
    type=click.Choice([str(kind) for kind in AppKind]),
    help="What to build; the brief says it without.",
)
@click.option(
    "--preview-minutes", type=float, default=None,
    help="How long the preview stays. Without it: until Ctrl-C on a terminal, PREVIEW_HOURS with --detach, else not at all.",
)  # fmt: skip
@click.option("--detach", is_flag=True, help="Go on in the background; prints its process, log and folder.")
@click.option(
    "--local", is_flag=True, help="On a local Vers; the model is scripted if there is no ANTHROPIC_API_KEY."
)
@click.option("--rate", default=80.0, show_default=True, help="Tokens per second of the scripted model.")
@click.option("--run-id", default="", hidden=True)
@as_json
def command(
    goal: str, *, out: Path | None, kind: str | None, preview_minutes: float | None, detach: bool, local: bool,
    rate: float, run_id: str, as_json: bool,
) -> None:  # fmt: skip
    """Build GOAL (`-`: read it from standard input) with a swarm, and collect the files into a folder."""
    text = sys.stdin.read() if goal == "-" else goal
    if not text.strip():
        raise UserError("There is no goal: say in a sentence or more what to build.")
    run = RunId(run_id or secrets.token_hex(6))
    folder = (out or Path(f"swarm-{run}")).absolute()
    require_empty(folder)
    if detach:
        words = ["--out", str(folder), "--rate", str(rate), *(["--kind", kind] if kind else [])]
        words += ["--local"] if local else []
        _send_off(load_settings(), run, folder, text, words, preview_minutes, as_json=as_json)
        return
    console = Console(stderr=as_json)
    console.print(wiring.model_line(load_settings(), rate), soft_wrap=True, markup=False)
    with settings_and_model(local=local, rate=rate) as given:
        settings = with_journal(given)
        hold_s = _hold_s(preview_minutes, console)
        wanted = AppKind(kind) if kind else None
        sys.exit(_run(settings, run, folder, text, wanted, hold_s, console, as_json=as_json))


def _run(
    settings: Settings, run: RunId, folder: Path, goal: str, kind: AppKind | None, hold_s: float, console: Console,
    *, as_json: bool,
) -> int:  # fmt: skip
    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGINT, _interrupt)
    if gone := bury_the_dead(settings, lives):
        note(f"deleted {gone} machines of builds that were killed")
    with errand(settings, run, folder, kind) as job:
        try:
            job.start(goal)
            try:
                job.watch(console)
            except KeyboardInterrupt:
                console.print("stopping; its machines are being deleted")
                job.cancel()
            report = job.report()
            _summary(console, report)
            if as_json:
                print_json(report)
            _hold(job, report, hold_s, console)
        finally:
            if not job.ended.is_set():
                job.cancel()
            job.end_preview()
    return 0 if report["state"] == "succeeded" and report["answered"] else 1


@contextmanager
def settings_and_model(*, local: bool, rate: float) -> Iterator[Settings]:
    """The settings to build with: those of the account, or a local Vers and, without a key, the scripted model."""
    with settings_of(local=local) as given, ExitStack() as undo:
        settings = given
        if local and not settings.anthropic_api_key.get_secret_value():
            logs = Path(undo.enter_context(tempfile.TemporaryDirectory(prefix="swarm-bot-")))
            processes = undo.enter_context(children(logs))
            words = swarm_bot("local", "model", "--rate", str(rate))
            model = processes.start("model", words, child_environment(settings)).ready
            changes = {"anthropic_base_url": model["base_url"], "anthropic_api_key": model["api_key"]}
            settings = Settings.model_validate({**settings.model_dump(exclude_unset=True), **changes})
        if not settings.anthropic_api_key.get_secret_value():
            raise UserError("ANTHROPIC_API_KEY is not set. With --local, a scripted model answers.")
        yield settings


def _send_off(
    settings: Settings, run: RunId, folder: Path, goal: str, words: list[str], minutes: float | None, *, as_json: bool
) -> None:  # fmt: skip
    hold = str(settings.preview_hours * 60 if minutes is None else minutes)
    log = settings.swarm_cache / "runs" / f"{run}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output, tempfile.TemporaryFile() as source:
        source.write(goal.encode())
        source.seek(0)
        process = subprocess.Popen(
            swarm_bot("run", "-", "--run-id", run, "--preview-minutes", hold, *words),
            stdin=source, stdout=output, stderr=output, start_new_session=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )  # fmt: skip
    told = {"run": run, "pid": process.pid, "log": str(log), "folder": str(folder)}
    if as_json:
        print_json(told)
    else:
        click.echo(
            f"build {run} goes on as process {process.pid}; its log is {log}\nthe files land in {folder}"
        )
        click.echo(f"kill {process.pid} ends it, its machines and its preview")


def _hold_s(minutes: float | None, console: Console) -> float:
    if minutes is not None:
        return minutes * 60
    return float("inf") if console.is_terminal and sys.stdin.isatty() else 0.0


def _hold(job: Errand, report: dict[str, Any], hold_s: float, console: Console) -> None:
    if not report["preview_url"] or hold_s <= 0:
        return
    until = "Ctrl-C" if hold_s > 24 * _HOUR_S * 365 else f"{hold_s / 60:g} minutes have passed, or Ctrl-C"
    console.print(f"The preview stays until {until}.")
    end = time.monotonic() + hold_s
    try:
        while time.monotonic() < end:
            time.sleep(min(1.0, end - time.monotonic()))
    except KeyboardInterrupt:
        console.print(f"taking the preview of {job.run} away")


def _summary(console: Console, report: dict[str, Any]) -> None:
    table = Table.grid(padding=(0, 2))
    agents = ", ".join(f"{each['label']} ({each['state']})" for each in report["agents"])
    rows = (
        ("result", report["state"]), ("reason", report["reason"]), ("folder", report["folder"]),
        ("files", len(report["files"])), ("preview", report["preview_url"]), ("agents", agents),
        ("cost", dollars(round(report["cost_usd"] * 1e6))), ("time", f"{report['seconds']:.1f} s"),
    )  # fmt: skip
    for name, value in rows:
        if value:
            table.add_row(Text(name, style="dim"), Text(str(value), overflow="fold"))
    console.print(table, soft_wrap=True)


def _interrupt(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt
