"""What a server of local machines could leave on a host, and how to see that it does not."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Snapshot:
    """Mounts and network links of the host's own namespaces."""

    mounts: frozenset[str]
    links: frozenset[str]

    @classmethod
    def take(cls) -> "Snapshot":
        """The host as it is now."""
        lines = Path("/proc/self/mounts").read_text().splitlines()
        return cls(
            frozenset(line.split()[1] for line in lines),
            frozenset(link.name for link in Path("/sys/class/net").iterdir()),
        )

    def left_by(self, run: str) -> list[str]:
        """What is there now and was not before, as words; `run` is the server's name in paths and cgroups."""
        now = Snapshot.take()
        left = [f"mount {name}" for name in now.mounts - self.mounts if run in name]
        left += [f"link {name}" for name in now.links - self.links if name.startswith("v")]
        left += [f"process {pid}" for pid in processes_of(run)]
        for folder in (Path("/sys/fs/cgroup"), *Path("/sys/fs/cgroup").glob("*/")):
            if (folder / "swarm-vers" / run).exists():
                left.append(f"cgroup {folder}/swarm-vers/{run}")
        return left


def processes_of(run: str) -> list[int]:
    """Processes that name this run in their command line, or whose root is a machine of it."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                arguments = (entry / "cmdline").read_bytes()
                mounts = (entry / "mounts").read_text()
            except OSError:
                continue  # ended meanwhile
            if run.encode() in arguments or run in mounts:
                found.append(int(entry.name))
    return found
