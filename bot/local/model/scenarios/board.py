"""Boards of independent tiles: one build in several sizes, so that what the number of workers does can be measured.

Each worker writes one tile of the same length; the architect's share does not depend on their number.
"""

from functools import cache
from pathlib import Path
from re import IGNORECASE
from re import compile as pattern

from bot.core.models import AgentLabel, AppKind, Brief, Component
from bot.local.model.scenarios.scenario import Part, Scenario

SIZES = (1, 2, 3, 5, 8)
MOST = 64
"""Tiles of the largest board; of that one, only workers are played."""
_TEXTS = Path(__file__).parent / "board"
_COLUMNS, _ROWS = 6, 4
_MOST_COMPONENTS = 6
"""Of a brief; the architect spawns a worker for each tile even so."""


@cache
def boards() -> tuple[Scenario, ...]:
    """A scenario for each size."""
    return tuple(board(size) for size in (*SIZES, MOST))


def title(size: int) -> str:
    """The issue that asks for it, in a line."""
    return f"A board of {size} tile{'s' * (size > 1)}"


def board(size: int) -> Scenario:
    """The build of one size."""
    labels = [AgentLabel(f"tile-{number}") for number in range(1, size + 1)]
    named = title(size)
    return Scenario(
        name=f"board-{size}",
        words=pattern(rf"\bboard of {size} tiles?\b", IGNORECASE),
        brief=Brief(
            title=named,
            goal=f"{named}, each drawn by a program of its own, on one page",
            requirements=("Every tile is on the page", "A check compares every tile with the specification"),
            stack="Node.js without dependencies; no build step",
            components=tuple(Component(label, f"tiles/{label}.js") for label in labels[:_MOST_COMPONENTS]),
            kind=AppKind.WEB,
            fits=True,
            reason="",
        ),
        wrong_briefs=0,
        parts=tuple(_part(number, named, label) for number, label in enumerate(labels, 1)),
        files={
            name: _text(name).replace("COUNT", str(size))
            for name in ("SPEC.md", "check.js", "server.js", "Procfile")
        },
        check="node check.js",
        mends=(),
        closing=f"{named} is ready. `node check.js` compares every tile with the specification. Run it with `node server.js`.",
    )


def _part(number: int, named: str, label: AgentLabel) -> Part:
    path = f"tiles/{label}.js"
    task = f"You build `{path}` of “{named}”, exactly as SPEC.md describes a tile."
    return Part(label, task, f"node --check {path}", {path: _tile(number)})


def _tile(number: int) -> str:
    cells = [
        f"  {{ x: {x}, y: {y}, shade: {(x + y + number) % 10}, word: 'row {y}, column {x} of tile {number}, one of twenty-four cells that this tile has' }},"
        for y in range(_ROWS)
        for x in range(_COLUMNS)
    ]
    return _text("tile.js").replace("NUMBER", str(number)).replace("  // cells\n", "\n".join(cells) + "\n")


def _text(name: str) -> str:
    return (_TEXTS / name).read_text()
