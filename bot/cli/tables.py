"""What an operator's command prints: a table for people, or one JSON value for scripts."""

import json
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

_WIDE = 200
"""Columns where nobody looks: nothing is cut in a pipe."""


def console() -> Console:
    """For people, on standard output."""
    return Console() if sys.stdout.isatty() else Console(width=_WIDE)


def print_json(value: Any) -> None:
    """One line on standard output."""
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


def print_rows(
    rows: Sequence[Mapping[str, Any]], columns: Sequence[str], *, as_json: bool, empty: str
) -> None:
    """All fields of all rows as a JSON array, or these columns of them as a table; `empty` when there are none."""
    if as_json:
        print_json(list(rows))
    elif not rows:
        console().print(empty, style="dim", markup=False)
    else:
        table = Table(box=None, padding=(0, 2), header_style="dim")
        for column in columns:
            table.add_column(column, overflow="fold")
        for row in rows:
            table.add_row(*(Text(_plain(row.get(column))) for column in columns))
        console().print(table)


def print_fact(text: str, value: Mapping[str, Any], *, as_json: bool) -> None:
    """A sentence, or the same as a JSON object."""
    if as_json:
        print_json(value)
    else:
        console().print(text, markup=False, highlight=False, soft_wrap=True)


def note(text: str) -> None:
    """A line for people that is no result: on standard error, so that scripts do not read it."""
    Console(stderr=True).print(text, style="dim", markup=False, highlight=False, soft_wrap=True)


def age(created_at: str, now: float) -> str:
    """How long ago an RFC 3339 time was, in the largest whole unit; "" if it is not known."""
    if not created_at:
        return ""
    seconds = max(0, int(now - datetime.fromisoformat(created_at).timestamp()))
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def _plain(value: Any) -> str:
    return "" if value is None else "yes" if value is True else "no" if value is False else str(value)
