"""Which process does a build or serves a swarm, and whether it lives."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

Lives = Callable[[Mapping[str, Any]], bool]
"""Whether the process lives that these facts of a run name."""
_STATE, _STARTED = 0, 19
"""Fields of /proc/{pid}/stat, counted from behind the name: a letter, and clock ticks since the computer was started."""


def process_facts() -> dict[str, Any]:
    """This process, as a run's facts name it."""
    return {"pid": os.getpid(), "pid_began": _began(os.getpid())}


def lives(facts: Mapping[str, Any]) -> bool:
    """Whether the process lives that these facts name, and not another that was given its number."""
    pid = int(facts.get("pid", 0))
    if pid <= 0 or _stat(pid)[_STATE : _STATE + 1] == ["Z"]:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # it is somebody else's
    began, now = facts.get("pid_began", ""), _began(pid)
    return not began or not now or began == now


def _began(pid: int) -> str:
    """When a process was started, in words that no other of this number has; empty where there is no /proc."""
    fields = _stat(pid)
    return f"{_boot()} {fields[_STARTED]}" if fields else ""


def _stat(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return []


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""
