"""What this host lacks for the local machines, each with its cure. Nothing is guessed: every step is tried in a child."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bot.local.vers.cgroups import PARENT, hierarchies
from bot.local.vers.syscalls import (
    MACHINE_NAMESPACES,
    Clone,
    Mount,
    configure_network,
    mount,
    mount_overlay,
    unshare,
)

_PROGRAMS = {
    "ip": "iproute2",
    "unshare": "util-linux",
    "setpriv": "util-linux",
    "mmdebstrap": "mmdebstrap",
    "cp": "coreutils",
}
_FREE_MIB = 4096
_FOREIGN_FILE_SYSTEMS = {"nfs", "fuseblk", "v9fs", "9p", "cifs", "smb2", "vfat", "msdos", "ntfs"}
_IN_CONTAINER = "in a container, start it with --privileged"


@dataclass(frozen=True, slots=True)
class Check:
    """One finding.

    Attributes:
        message: what was found, one sentence.
        cure: what to do about it; empty when `ok`.
        required: whether nothing works without it.
    """

    name: str
    ok: bool
    message: str
    cure: str
    required: bool


def checks(cache: Path) -> list[Check]:
    """All checks, in about 0.1 s. The cache folder is made if it is missing and tried out; nothing else is touched."""
    linux = sys.platform == "linux"
    cure = "run it on Linux: a machine, a virtual machine (Lima, WSL2) or a privileged container"
    found = [_check("Linux", cure, None if linux else f"this is {sys.platform}")]
    if not linux:
        return found
    root = os.geteuid() == 0
    found.append(_check("root", "run it as root or with sudo", None if root else "not running as root"))
    missing = {name: package for name, package in _PROGRAMS.items() if not shutil.which(name)}
    found.append(
        _check(
            "programs",
            f"apt-get install --no-install-recommends {' '.join(sorted(set(missing.values())))}",
            f"missing: {', '.join(sorted(missing))}" if missing else None,
        )
    )
    ipv6 = None if Path("/proc/sys/net/ipv6").is_dir() else "the kernel has no IPv6"
    found.append(_check("IPv6", "take ipv6.disable=1 off the kernel's command line", ipv6))
    if not root:
        return found  # what follows would only repeat that
    found += [*_cache_checks(cache), *_kernel_checks(), _cgroup_check()]
    return found


def _check(name: str, cure: str, problem: str | None, *, required: bool = True) -> Check:
    return Check(name, problem is None, problem or "fine", cure if problem else "", required)


def _cache_checks(cache: Path) -> list[Check]:
    try:
        cache.mkdir(parents=True, exist_ok=True)
        trial = Path(tempfile.mkdtemp(prefix=".trial-", dir=cache))
    except OSError as error:
        return [_check("cache folder", "set SWARM_CACHE to a folder that can be written", str(error))]
    try:
        kind = subprocess.run(
            ["stat", "-f", "-c", "%T", str(cache)], capture_output=True, text=True, check=False
        ).stdout.strip()
        problem = f"{cache} is on {kind}" if kind in _FOREIGN_FILE_SYSTEMS else None
        place = "set SWARM_CACHE to a folder on ext4, xfs, btrfs or tmpfs (in a container: on a volume)"
        free_mib = shutil.disk_usage(cache).free >> 20
        few = f"only {free_mib} MiB are free at {cache}" if free_mib < _FREE_MIB else None
        overlay_cure = f"modprobe overlay; or {place}"
        return [
            _check("cache folder", place, problem),
            _check("overlayfs", overlay_cure, _failure(lambda: _try_overlay(trial))),
            _check("free disk", f"make room: the images need about {_FREE_MIB} MiB", few, required=False),
        ]
    finally:
        shutil.rmtree(trial, ignore_errors=True)


def _kernel_checks() -> list[Check]:
    return [
        _check("namespaces", _IN_CONTAINER, _failure(lambda: unshare(MACHINE_NAMESPACES))),
        _check("veth", "modprobe veth; or a kernel with CONFIG_VETH and IPv6", _failure(_try_network)),
        _check("fresh /proc", _IN_CONTAINER, _failure(_try_proc)),
    ]


def _private_mounts() -> None:
    unshare(Clone.NEWNS)
    mount(None, "/", None, Mount.REC | Mount.PRIVATE)


def _try_overlay(folder: Path) -> None:
    _private_mounts()
    for name in "luwm":
        (folder / name).mkdir()
    os.chdir(folder)
    mount_overlay(["l"], "m", "u", "w")
    (folder / "m" / "file").write_text("x")


def _try_network() -> None:
    unshare(Clone.NEWNET)
    configure_network(
        "link set lo up", "link add t0 type veth peer name t1", "addr add fd00:1::1/128 dev lo nodad"
    )


def _try_proc() -> None:
    _private_mounts()
    unshare(Clone.NEWPID)
    problem = _failure(lambda: mount("proc", "/proc", "proc"))  # the first child is pid 1
    if problem:
        raise OSError(problem)


def _failure(trial: Callable[[], None]) -> str | None:
    """Run a trial in a child of its own; None, or what went wrong."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            trial()
            status = 0
        except BaseException as error:  # noqa: BLE001  # a forked child must end here whatever happens
            os.write(write, str(error).encode()[:2000])
        finally:
            os._exit(status)
    os.close(write)
    with os.fdopen(read, "rb") as said:
        text = said.read().decode("utf-8", "replace").strip()
    _, status = os.waitpid(child, 0)
    return None if status == 0 else text or "failed without a message"


def _cgroup_check() -> Check:
    usable = {name for name, point in hierarchies().items() if _writable(point)}
    v2 = _v2_controllers()
    lacks = [
        what
        for what, there in {
            "memory limits": "memory" in usable | v2,
            "process limits": "pids" in usable | v2,
            "a freezer (a pause then stops processes one by one)": bool(usable & {"v2", "freezer"}),
        }.items()
        if not there
    ]
    cure = "mount /sys/fs/cgroup writable (in a container: --privileged)"
    return _check("cgroups", cure, f"not enforced: {', '.join(lacks)}" if lacks else None, required=False)


def _writable(point: Path) -> bool:
    try:
        (point / PARENT).mkdir(exist_ok=True)
        trial = Path(tempfile.mkdtemp(prefix="trial-", dir=point / PARENT))
        trial.rmdir()
        if not any(entry.is_dir() for entry in (point / PARENT).iterdir()):
            (point / PARENT).rmdir()
    except OSError:
        return False
    return True


def _v2_controllers() -> set[str]:
    point = hierarchies().get("v2")
    if point is None or not _writable(point):
        return set()
    return set((point / "cgroup.controllers").read_text().split())
