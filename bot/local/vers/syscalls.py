"""The few Linux calls that Python 3.11 does not have, each raising OSError with a message. Standard library only."""

import ctypes
import os
import subprocess
from collections.abc import Sequence
from enum import IntFlag

_libc = ctypes.CDLL(None, use_errno=True)


class Clone(IntFlag):
    """Kinds of namespaces, as unshare(2) and setns(2) take them."""

    NEWNS = 0x00020000
    NEWCGROUP = 0x02000000
    NEWUTS = 0x04000000
    NEWIPC = 0x08000000
    NEWPID = 0x20000000
    NEWNET = 0x40000000


MACHINE_NAMESPACES = Clone.NEWNS | Clone.NEWCGROUP | Clone.NEWUTS | Clone.NEWIPC | Clone.NEWPID | Clone.NEWNET


class Mount(IntFlag):
    """Flags of mount(2)."""

    RDONLY = 1
    NOSUID = 2
    NODEV = 4
    NOEXEC = 8
    REMOUNT = 32
    BIND = 4096
    REC = 16384
    PRIVATE = 1 << 18


NO_FLAGS = Mount(0)
_PR_SET_PDEATHSIG, _PR_CAPBSET_DROP = 1, 24
_MNT_DETACH = 2
# CHOWN DAC_OVERRIDE FOWNER FSETID KILL SETGID SETUID SETPCAP NET_BIND_SERVICE SYS_CHROOT AUDIT_WRITE SETFCAP:
# what packages and services need. No raw sockets, no devices, no mounts, no network set-up.
KEPT_CAPABILITIES = frozenset({0, 1, 3, 4, 5, 6, 7, 8, 10, 18, 29, 31})
_LAST_CAPABILITY = 63


def _checked(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def unshare(kinds: Clone) -> None:
    """Move this process (for pids: its next children) into new namespaces."""
    _checked(_libc.unshare(int(kinds)), f"unshare({kinds!r})")


def setns(pidfd: int, kinds: Clone) -> None:
    """Join the namespaces of a process; for pids only later children are in."""
    _checked(_libc.setns(pidfd, int(kinds)), f"setns({kinds!r})")


def mount(
    source: str | None, target: str, kind: str | None = None, flags: Mount = NO_FLAGS, data: str = ""
) -> None:
    """Mount a file system, or change or bind a mount."""
    encoded = [None if text is None else os.fsencode(text) for text in (source, target, kind)]
    result = _libc.mount(*encoded, ctypes.c_ulong(int(flags)), os.fsencode(data) if data else None)
    _checked(result, f"mount {kind or 'bind'} on {target}")


def mount_overlay(lowers: Sequence[str], target: str, upper: str = "", work: str = "") -> None:
    """Stack directories, the first lower on top; read-only without an upper.

    Raises:
        OSError: also when the options exceed the page that the kernel reads (about 150 layers).
    """
    # redirect_dir: renaming a folder of a lower layer works as it does on a disk (npm does it)
    options = "index=off,metacopy=off,redirect_dir=on,lowerdir=" + ":".join(lowers)
    if upper:
        options += f",upperdir={upper},workdir={work}"
    if len(options) > 4095:
        raise OSError(f"{len(lowers)} layers are too many for one overlay mount")
    mount("overlay", target, "overlay", Mount.NODEV, options)


def pivot_into(root: str) -> None:
    """Make a mount point the root of this mount namespace; the old root is gone for good."""
    os.chdir(root)
    _checked(_libc.pivot_root(b".", b"."), "pivot_root")
    _checked(_libc.umount2(b".", _MNT_DETACH), "umount2")
    os.chdir("/")


def drop_capabilities() -> None:
    """Leave in the bounding set what a machine's root may have; takes effect at the next exec."""
    for capability in set(range(_LAST_CAPABILITY + 1)) - KEPT_CAPABILITIES:
        _libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)  # EINVAL beyond the kernel's last one


def die_with_parent(signal_number: int) -> None:
    """Get a signal when the thread that forked us ends."""
    _checked(_libc.prctl(_PR_SET_PDEATHSIG, signal_number, 0, 0, 0), "prctl")


def set_hostname(name: str) -> None:
    """The name in this UTS namespace."""
    _checked(_libc.sethostname(name.encode(), len(name)), "sethostname")


def configure_network(*lines: str) -> None:
    """Run lines of `ip` in one go, in this process's net namespace."""
    result = subprocess.run(
        ["ip", "-batch", "-"], input="\n".join(lines), text=True, capture_output=True, check=False
    )
    if result.returncode:
        raise OSError(f"ip: {result.stderr.strip()}")
