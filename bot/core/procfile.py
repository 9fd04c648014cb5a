"""How the result says that it is run: its Procfile, and the shell commands that follow from it for a person."""

import re
from collections.abc import Sequence

from bot.core.models import AppKind, Artifact, Evidence

_NAME = re.compile(r"[A-Za-z0-9_-]{1,32}")  # templates/vm/preview/app.py has the same


def how_to_run(files: Sequence[Artifact], evidence: Evidence) -> list[str]:
    """Shell commands that install and start what was built, or run its check; what the clean machine did, in short."""
    by_path = {each.path: each.content for each in files}
    install = []
    if "package.json" in by_path:
        install.append("npm install")
    if "requirements.txt" in by_path:
        install += ["python3 -m venv .venv && . .venv/bin/activate", "pip install -r requirements.txt"]
    match evidence.kind:
        case AppKind.WEB:
            processes = procfile(by_path.get("Procfile", b"").decode("utf-8", "replace"))
            return [*install, *(f"PORT=8080 {command}" for command in processes.values())]
        case AppKind.STATIC:
            return ["python3 -m http.server 8080"]
        case AppKind.NONE:
            return [*install, *([evidence.command] if evidence.command else [])]


def procfile(text: str) -> dict[str, str]:
    """Processes of a Procfile: name -> command. A line whose name is more than letters, digits, "-" and "_" is none."""
    found = {}
    for line in text.splitlines():
        name, colon, command = line.partition(":")
        if colon and _NAME.fullmatch(name.strip()) and command.strip():
            found[name.strip()] = command.strip()
    return found
