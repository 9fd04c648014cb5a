"""The layer picture of ARCHITECTURE.md, as a test: who may import whom, and who owns which third-party package."""

import ast
from functools import cache
from pathlib import Path

import pytest

BOT = Path(__file__).parents[1] / "bot"
MAX_LINES = 400

# From the bottom up. A module may import what stands below it, and its own room.
LAYERS = (
    {"core"},
    {"vms.base", "settings", "serving", "patience"},
    {"pipeline.journal", "pipeline.engine", "gateway", "github", "vms", "local"},
    {"agents"},
    {"pipeline", "web"},
    {"cli"},
    {"bench"},
    {"cli.main"},
    {"__main__"},
)
# The web edge only stores and enqueues.
WEB_SEES = {"core", "web", "pipeline.journal", "pipeline.engine"}
# Agents live without GitHub.
AGENTS_NEVER_SEE = {"github", "local", "gateway"}
OWNERS = {
    "flask": {"web", "gateway", "local", "cli.wiring"},
    "waitress": {"serving"},
    "github": {"github"},
    "paramiko": {"vms"},
    "httpx": {"vms", "github", "gateway", "pipeline.preview", "local", "cli", "bench"},
    "anthropic": {"pipeline.brief"},
    "dbos": {"pipeline.engine"},
    "sqlalchemy": {"pipeline.journal", "pipeline.engine"},
    "alembic": {"pipeline.journal"},
    "jinja2": {"core.texts"},
    "cryptography": {"github", "web.setup", "local", "vms"},
    "pydantic_settings": {"settings"},
    "click": {"cli", "local"},
    "rich": {"cli", "bench"},
    "detect_secrets": {"agents.transcripts"},
    "matplotlib": {"bench"},
}
IO = {"os", "socket", "ssl", "subprocess", "threading", "time", "urllib", "http", "random", "secrets", "uuid"}
PURE = ("core", "agents.rpc")


@cache
def modules() -> dict[str, Path]:
    """Dotted name below `bot` -> file."""
    return {
        ".".join(path.relative_to(BOT).with_suffix("").parts): path
        for path in BOT.rglob("*.py")
        if path.name != "__init__.py" and "migrations" not in path.parts
    }


@cache
def imports(path: Path) -> frozenset[str]:
    """Every name that a module imports, as "package.module" and "package.module.name"."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: absolute imports only"
            names |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module or ""}
    return frozenset(names)


def inside(name: str) -> set[str]:
    """The modules of ours that a module imports."""
    return {n[4:] for n in imports(modules()[name]) if n.startswith("bot.") and n[4:] in modules()}


def within(name: str, rooms: set[str]) -> bool:
    """Whether a module lies in one of these rooms."""
    return any(name == room or name.startswith(room + ".") for room in rooms)


def layer_and_room(name: str) -> tuple[int, str]:
    """Its layer, and the longest room of the table that it lies in."""
    found = [(i, room) for i, row in enumerate(LAYERS) for room in row if within(name, {room})]
    assert found, f"{name} lies in no room of the picture"
    return max(found, key=lambda pair: len(pair[1]))


@pytest.mark.parametrize("name", sorted(modules()))
def test_imports_point_down(name: str) -> None:
    """A module sees only what lies below it and its own room; the web edge and the agents see less."""
    layer, room = layer_and_room(name)
    for target in inside(name):
        target_layer, target_room = layer_and_room(target)
        assert target_layer < layer or target_room == room, f"{name} may not import {target}"
        if room == "web":
            assert within(target, WEB_SEES), f"the web edge may not see {target}"
        if room == "agents":
            assert not within(target, AGENTS_NEVER_SEE), f"agents may not see {target}"


@pytest.mark.parametrize("name", sorted(modules()))
def test_third_parties_have_owners(name: str) -> None:
    """A third-party package is imported only in the rooms that own it."""
    for target in imports(modules()[name]):
        owners = OWNERS.get(target.partition(".")[0])
        assert owners is None or within(name, owners), (
            f"{target} belongs to {sorted(owners or ())}, not to {name}"
        )


@pytest.mark.parametrize("name", sorted(n for n in modules() if within(n, set(PURE))))
def test_core_does_no_io(name: str) -> None:
    """The pure modules import nothing that reads the world."""
    assert not {target.partition(".")[0] for target in imports(modules()[name])} & IO


@pytest.mark.parametrize("name", sorted(n for n in modules() if n != "settings"))
def test_only_settings_reads_the_environment(name: str) -> None:
    """`os.environ` and `os.getenv` appear in `settings` alone; the command line hands environments on to children."""
    source = modules()[name].read_text()
    if not within(name, {"cli"}):
        assert "os.environ" not in source
        assert "os.getenv" not in source


def test_no_cycles() -> None:
    """No module imports itself by way of others."""
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, " -> ".join((*trail, name))
        if name not in done:
            for target in inside(name):
                visit(target, (*trail, name))
            done.add(name)

    for name in modules():
        visit(name, ())


def test_no_module_outgrows_its_purpose() -> None:
    """A module over 400 lines wants to be two."""
    sizes = {name: path.read_text().count("\n") for name, path in modules().items()}
    assert not {name: size for name, size in sizes.items() if size > MAX_LINES}
