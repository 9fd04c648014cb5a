"""A bench's results as tables for people."""

from collections.abc import Iterable

from rich.console import Console
from rich.table import Table
from rich.text import Text

from bot.bench.built import Built, Contender
from bot.bench.results import Results

NAMES = {
    Contender.PRODUCT: "Swarm Build",
    Contender.ALONE: "one agent alone",
    Contender.GUIDE: "the guide's way",
}


def show(console: Console, results: Results) -> None:
    """Print what there is."""
    for table in (_builds(results), _lines(results), _ready(results), _held(results)):
        if table.row_count:
            console.print(table)
            console.print()
    for what, why in results.failures.items():
        console.print(Text(f"not measured: {what}: {why}", style="red"))


def _builds(results: Results) -> Table:
    table = _table(
        "Builds (T: wall time; T_LB: the longest path of model and commands in that run; ratio: T / T_LB)",
        "who", "builds", "workers", "tokens/s", "Vers", "T", "T_LB", "ratio", "tokens", "",
    )  # fmt: skip
    fitted = [found for who in Contender if (found := results.compared(who)) and found.fitted]
    for each in sorted([*results.built, *fitted], key=_order):
        alone = each.contender is Contender.ALONE
        table.add_row(
            NAMES[each.contender], each.issue, "0" if alone else str(each.workers), f"{each.rate:g}", each.conditions,
            f"{each.seconds:.1f} s", f"{each.path_s:.1f} s", f"{each.ratio:.3f}", str(each.output_tokens),
            "by the fit" if each.fitted else "",
        )  # fmt: skip
    return table


def _order(each: Built) -> tuple[object, ...]:
    return (
        each.issue != "snake",
        each.issue,
        each.conditions,
        -each.rate,
        list(Contender).index(each.contender),
    )


def _lines(results: Results) -> Table:
    table = _table("T = a + b · T_LB, over the token rates that were run", "who", "a", "b", "points")
    for who in Contender:
        if line := results.fit(who):
            table.add_row(NAMES[who], f"{line.a_s:.2f} s", f"{line.beta:.3f}", str(line.points))
    return table


def _ready(results: Results) -> Table:
    table = _table("Spawn to ready, machines branched for it", "agents", "seconds")
    for count, seconds in sorted(results.ready_s.items()):
        table.add_row(str(count), f"{seconds:.2f}")
    return table


def _held(results: Results) -> Table:
    held = [each for _, each in sorted(results.held.items())]
    table = _table("Agents on one process", "", *(str(each.agents) for each in held))
    rows: Iterable[tuple[str, Iterable[str]]] = (
        ("ready in", (f"{each.ready_s:.2f} s" for each in held)),
        ("command to acknowledgement, p50 / p99", (_pair(each.ack_ms) for each in held)),
        ("event on the machine to the bot, p50 / p99", (_pair(each.event_ms) for each in held)),
        ("one task each, side by side", (f"{each.work_s:.1f} s" for each in held)),
        ("bytes on the wire per KB of model output", (f"{each.bytes_per_kb:.0f}" for each in held)),
        ("bot, per agent", (f"{each.bot_mib:.1f} MiB, {each.bot_cpu_s:.2f} s CPU per task" for each in held)),
        (
            "machine, per agent",
            (f"{each.machine_mib:.0f} MiB, {each.machine_cpu_s:.1f} s CPU" for each in held),
        ),
    )
    for name, cells in rows if held else ():
        table.add_row(name, *cells)
    return table


def _pair(quantiles: object) -> str:
    return " / ".join(f"{value:g}" for value in dict(quantiles).values()) + " ms"  # type: ignore[call-overload]


def _table(title: str, *columns: str) -> Table:
    table = Table(
        title=title, title_justify="left", title_style="bold", box=None, padding=(0, 2), header_style="dim"
    )
    for column in columns:
        table.add_column(column)
    return table
