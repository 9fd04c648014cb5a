"""One cgroup per machine: limits and the freezer, on cgroup v2 or v1, whatever the host has. Standard library only.

Without a usable cgroup nothing is enforced and a pause falls back to signals; preflight says so.
"""

import contextlib
import os
import signal
import time
from pathlib import Path

PARENT = "swarm-vers"
_V1_NAMES = {
    "memory.max": (("memory", "memory.limit_in_bytes"),),
    "pids.max": (("pids", "pids.max"),),
}
_CONTROLLERS = ("memory", "pids", "freezer")
_FREEZE_LIMIT_S = 5.0


def hierarchies() -> dict[str, Path]:
    """Mount points by what they offer: "v2", and "memory", "pids", "freezer" of v1."""
    found: dict[str, Path] = {}
    for line in Path("/proc/mounts").read_text().splitlines():
        _, point, kind, options, *_ = line.split()
        if kind == "cgroup2":
            found["v2"] = Path(point)
        elif kind == "cgroup":
            found |= {name: Path(point) for name in _CONTROLLERS if name in options.split(",")}
    return found


def sweep(run: str) -> None:
    """Remove the cgroups of a server's machines. Their processes are dead already (or just dying)."""
    for point in hierarchies().values():
        for folder in (*(point / PARENT / run).glob("*/"), point / PARENT / run, point / PARENT):
            deadline = time.monotonic() + 2
            while folder.is_dir() and time.monotonic() < deadline:
                try:
                    folder.rmdir()
                except OSError:
                    if folder.name == PARENT:
                        break  # other servers' machines are in there
                    time.sleep(0.005)  # a killed process leaves its cgroup a moment later


class Cgroup:
    """The cgroup of one machine. Any process may make this object; the folders are the state."""

    def __init__(self, run: str, name: str) -> None:
        self._run, self._name = run, name
        self._folders: dict[str, Path] = {}
        for kind, point in hierarchies().items():
            folder = point / PARENT / run / name
            if folder.is_dir():
                self._folders[kind] = folder

    def make(self, limits: dict[str, str]) -> None:
        """Create the folders where the host lets us and set what can be enforced."""
        for kind, point in hierarchies().items():
            folder = point / PARENT / self._run / self._name
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError:
                continue  # read-only or not delegated
            self._folders[kind] = folder
            if kind == "v2":
                _enable_controllers(point, folder)
        for name, value in limits.items():
            for kind, file in (("v2", name), *_V1_NAMES.get(name, ())):
                if kind in self._folders and (self._folders[kind] / file).exists():
                    (self._folders[kind] / file).write_text(value)
                    break

    def join(self) -> None:
        """Put this process in."""
        for folder in self._folders.values():
            (folder / "cgroup.procs").write_text("0")

    def freeze(self, *, frozen: bool, pidfd: int) -> None:
        """Stop or continue all processes, and wait until it is so.

        Args:
            frozen: what to reach.
            pidfd: the machine's first process, for hosts without a freezer.
        """
        v2, v1 = self._folders.get("v2"), self._folders.get("freezer")
        if v2 and (v2 / "cgroup.freeze").exists():
            (v2 / "cgroup.freeze").write_text(str(int(frozen)))
            _wait_for(v2 / "cgroup.events", f"frozen {int(frozen)}")
        elif v1:
            state = "FROZEN" if frozen else "THAWED"
            (v1 / "freezer.state").write_text(state)
            _wait_for(v1 / "freezer.state", state)
        else:
            _signal_all(pidfd, signal.SIGSTOP if frozen else signal.SIGCONT, sweeps=3 if frozen else 1)

    def remove(self) -> None:
        """Remove the folders once the processes are gone."""
        for folder in self._folders.values():
            deadline = time.monotonic() + 2
            while folder.is_dir() and time.monotonic() < deadline:
                try:
                    folder.rmdir()
                except OSError:
                    time.sleep(0.005)  # a killed process leaves its cgroup a moment later


def _enable_controllers(point: Path, folder: Path) -> None:
    ancestors = [parent for parent in reversed(folder.parents) if parent == point or point in parent.parents]
    for ancestor in ancestors:
        for controller in ("memory", "pids"):
            # one at a time: the kernel refuses the whole line when one is missing
            with contextlib.suppress(OSError):
                (ancestor / "cgroup.subtree_control").write_text(f"+{controller}")


def _wait_for(file: Path, text: str) -> None:
    deadline = time.monotonic() + _FREEZE_LIMIT_S
    while text not in file.read_text():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{file} does not reach {text!r}")
        time.sleep(0.0005)


def _signal_all(pidfd: int, number: signal.Signals, sweeps: int) -> None:
    info = Path(f"/proc/self/fdinfo/{pidfd}").read_text()
    first = next(line.split()[1] for line in info.splitlines() if line.startswith("Pid:"))
    namespace = Path(f"/proc/{first}/ns/pid").readlink()
    for _ in range(sweeps):  # a process may fork during a sweep
        for pid in sorted(int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()):
            with contextlib.suppress(OSError):  # ended meanwhile
                if Path(f"/proc/{pid}/ns/pid").readlink() == namespace:
                    os.kill(pid, number)
