"""How the result is run."""

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from bot.core.models import AppKind, Artifact, Evidence
from bot.core.procfile import how_to_run, procfile


def test_procfile() -> None:
    """Comments and lines that are no process are passed over."""
    assert procfile("# web: no\nweb: node a:b\n\nnonsense\nworker:  python w.py \n:x\nempty:\n") == {
        "web": "node a:b",
        "worker": "python w.py",
    }


def test_how_to_run() -> None:
    """Dependencies by what is there, then every process with a port, or the check."""
    node = (Artifact("package.json", b"{}"), Artifact("Procfile", b"web: node server.js\n"))
    assert how_to_run(node, Evidence(AppKind.WEB, ok=True)) == ["npm install", "PORT=8080 node server.js"]
    python = (Artifact("requirements.txt", b"pytest\n"),)
    assert how_to_run(python, Evidence(AppKind.NONE, ok=True, command="pytest -q")) == [
        "python3 -m venv .venv && . .venv/bin/activate",
        "pip install -r requirements.txt",
        "pytest -q",
    ]
    assert how_to_run((), Evidence(AppKind.STATIC, ok=True)) == ["python3 -m http.server 8080"]
    assert how_to_run((), Evidence(AppKind.WEB, ok=False)) == []


HOSTILE = "web: run\n../../etc/cron.d/x: evil\na/b: c\n" + "x" * 33 + ": y\nweb.1: z\nok_2-B: fine\n"


def preview_tool() -> ModuleType:
    """The program that runs inside the clean machine."""
    path = Path(__file__).parents[2] / "templates/vm/preview/app.py"
    spec = importlib.util.spec_from_file_location("preview_app", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_names_that_lead_elsewhere_are_no_processes(tmp_path: Path) -> None:
    """A name is part of a log's path, which root opens: here and on the machine the same names are passed over."""
    (tmp_path / "Procfile").write_text(HOSTILE)
    started, odd = preview_tool().processes(str(tmp_path), "web", 8080)
    assert started == procfile(HOSTILE) == {"web": "run", "ok_2-B": "fine"}
    assert odd == ["../../etc/cron.d/x", "a/b", "x" * 33, "web.1"]


def test_a_link_in_the_place_of_a_log_is_not_followed(tmp_path: Path) -> None:
    """Neither written nor read; an ordinary log is both, by the command that takes its place."""
    tool = preview_tool()
    (tmp_path / "web.log").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere").write_text("secret")
    for act in (tool.open_log, tool.tail):
        with pytest.raises(OSError, match="symbolic"):
            act(tmp_path / "web.log")
    program = (
        f"import importlib.util, pathlib; s = importlib.util.spec_from_file_location('app', {tool.__file__!r}); "
        f"m = importlib.util.module_from_spec(s); s.loader.exec_module(m); m.LOGS = pathlib.Path({str(tmp_path)!r}); "
        "m.into('worker', 'sh', '-c', 'echo out; echo err >&2')"
    )
    for _ in range(2):
        subprocess.run([sys.executable, "-c", program], check=True)
    assert tool.tail(tmp_path / "worker.log") == "out\nerr\nout\nerr"
