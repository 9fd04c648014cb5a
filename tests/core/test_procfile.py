"""How the result is run."""

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
