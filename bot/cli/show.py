"""The terminal's view of a build: live while it runs, a summary at its end."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from bot.core import words
from bot.core.models import Phase
from bot.core.snapshot import Progress, Snapshot, agent_line, phase_lines

_STYLE = {
    Progress.DONE: "green",
    Progress.CURRENT: "bold cyan",
    Progress.WAITING: "dim",
    Progress.FAILED: "bold red",
}


def build_screen(
    seen: Snapshot,
    *,
    now: float,
    cap_microusd: int,
    notes: list[str],
    labels: Mapping[Phase, str] = words.PHASES,
) -> RenderableType:
    """Phases, a row per agent, money and time."""
    phases = Table.grid(padding=(0, 2))
    for line in phase_lines(seen, now):
        style = _STYLE[line.progress]
        phases.add_row(line.mark, Text(labels[line.phase], style=style), Text(line.seconds, style=style))
    agents = Table(box=None, padding=(0, 2), header_style="dim")
    for column in ("agent", "state", "doing", "tokens", "cost"):
        agents.add_column(column, justify="right" if column in ("tokens", "cost") else "left", no_wrap=True)
    for row in map(agent_line, seen.agents):
        agents.add_row(f"{row.mark} {row.label}", row.state, row.doing, row.tokens, row.dollars)
    parts: list[RenderableType] = [phases]
    if seen.agents:
        parts += [Text(), agents]
    parts += [Text(note, style="yellow") for note in (*seen.warnings[-2:], *notes[-1:])]
    title = f"{seen.title} · {words.duration(seen.seconds(now))}"
    money = f"{words.dollars(seen.spent.cost_microusd)} of {words.dollars(cap_microusd)}"
    return Panel(Group(*parts), title=title, subtitle=money, border_style="cyan", padding=(1, 2))


def phase_line(phase: Phase, at_s: float, labels: Mapping[Phase, str] = words.PHASES) -> str:
    """One line per phase, for output that is no terminal."""
    return f"{at_s:6.1f} s  {labels[phase]}"


def summary(console: Console, report: Mapping[str, Any]) -> None:
    """What came of it, with the addresses to open."""
    table = Table.grid(padding=(0, 2))
    rows = [
        ("result", report["state"]),
        ("issue", report.get("issue_url", "")),
        ("pull request", report.get("pull_request_url", "")),
        ("preview", report.get("preview_url", "")),
        ("files", f"{len(report.get('files', []))}, SPEC.md has {report.get('spec_bytes', 0)} bytes"),
        ("agents", ", ".join(f"{each['label']} ({each['state']})" for each in report.get("agents", []))),
    ]
    if report.get("reason"):
        rows.append(("reason", report["reason"]))
    seconds = report.get("seconds", {})
    if seconds.get("overhead_ratio"):
        told = f"{seconds['total']:.1f} s; the longest chain of model and commands {seconds['critical_path']:.1f} s"
        rows.append(("time", f"{told}; ratio {seconds['overhead_ratio']:.2f}"))
    elif seconds.get("total"):
        rows.append(("time", f"{seconds['total']:.1f} s"))
    for name, value in rows:
        if value:
            table.add_row(Text(name, style="dim"), Text(str(value), overflow="fold"))
    console.print(table, soft_wrap=True)
