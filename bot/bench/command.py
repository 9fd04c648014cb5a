"""`swarm-bot bench`: what it is asked for, the ground it measures on, and where its results go."""

import os
import shutil
import signal
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import FrameType

from rich.console import Console

from bot.bench import results as kept
from bot.bench.about import about
from bot.bench.form import Form, Part
from bot.bench.ground import ground
from bot.bench.plot import can_plot, plot
from bot.bench.results import Results
from bot.bench.session import Session, main_issue
from bot.bench.table import show
from bot.cli.tables import print_json
from bot.settings import Settings


def bench(
    settings: Settings, form: Form, parts: Collection[Part], issues: Path, out: Path, *, as_json: bool
) -> int:
    """Measure, print, write; 0 if everything that was asked for could be measured.

    Args:
        settings: the operator's.
        form: how much is measured.
        parts: which of it. If that is not all, what `out` holds already is kept.
        issues: the folder of the example issues.
        out: gets bench.json and bench.png.
        as_json: the last line of standard output is one JSON object.
    """
    console = Console(stderr=as_json, width=None if os.isatty(2 if as_json else 1) else 200)
    tell = partial(console.print, markup=False, highlight=False, soft_wrap=True)
    if not can_plot():
        tell("There will be no picture, because matplotlib is missing: `make bench` installs it.")
    issue = main_issue(form, issues)
    before = kept.stored(out) if set(parts) != set(Part) else None
    results = before if before and before.main == issue.name else Results(issue.name)
    results.about = about(settings, form.name)
    with _interruptible(), _folder(settings.swarm_cache) as state, ground(settings, state, tell) as stands:
        Session(stands, form, issue, results, out, tell).run(parts)
    tell("")
    show(console, results)
    written = [out / kept.FILE, *([plot(results, out)] if can_plot() else [])]
    tell(f"written: {', '.join(map(str, written))}")
    if as_json:
        print_json(results.summary())
    return 1 if results.failures else 0


@contextmanager
def _folder(cache: Path) -> Iterator[Path]:
    """For databases, repositories and logs; gone afterwards."""
    cache.mkdir(parents=True, exist_ok=True)
    state = Path(tempfile.mkdtemp(prefix="bench-", suffix=f"-{os.getpid()}", dir=cache))
    try:
        yield state
    finally:
        shutil.rmtree(state, ignore_errors=True)


@contextmanager
def _interruptible() -> Iterator[None]:
    """SIGTERM is Ctrl-C: everything that was started ends."""
    former = signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, former)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
