"""The machine that was measured on, and the versions that ran."""

import os
import platform
import re
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from bot.settings import Settings

_PACKAGES = ("swarm-build", "paramiko", "dbos", "flask", "waitress")


def about(settings: Settings, form: str) -> dict[str, Any]:
    """JSON-safe. The load is the machine's before the bench begins: on a machine at rest it is near 0."""
    return {
        "taken_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "form": form,
        "machine": {
            "cpu": _match(r"model name\s*: (.+)", "/proc/cpuinfo"),
            "cores": os.cpu_count(),
            "memory_gib": round(int(_match(r"MemTotal:\s*(\d+)", "/proc/meminfo") or 0) / (1 << 20), 1),
            "kernel": platform.release(),
            "load_before": round(os.getloadavg()[0], 2),
        },
        "versions": {
            "python": platform.python_version(),
            "pi": settings.pi_package,
            "openssh": _first_line(subprocess.run(["ssh", "-V"], capture_output=True, check=False).stderr),
            **{name: version(name) for name in _PACKAGES},
        },
    }


def _match(pattern: str, file: str) -> str:
    found = re.search(pattern, Path(file).read_text())
    return found[1] if found else ""


def _first_line(output: bytes) -> str:
    return output.decode(errors="replace").partition("\n")[0]
