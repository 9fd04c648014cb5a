"""What preflight finds, and what it says to do about it."""

import subprocess
import sys
from pathlib import Path

from bot.local.vers.preflight import checks


def test_every_failing_check_has_a_cure(tmp_path: Path) -> None:
    """And no trial leaves anything in the cache folder."""
    found = checks(tmp_path / "cache")
    assert {"Linux", "root", "programs", "IPv6"} <= {check.name for check in found}
    assert all(check.ok or check.cure for check in found)
    assert not list((tmp_path / "cache").glob("*"))


def test_a_folder_that_cannot_be_used() -> None:
    """Is named with the setting that mends it."""
    (check,) = [check for check in checks(Path("/proc/nowhere")) if check.name == "cache folder"]
    assert not check.ok
    assert check.required
    assert "SWARM_CACHE" in check.cure


def test_without_privileges(tmp_path: Path) -> None:
    """An ordinary user is told to be root, and hears nothing twice."""
    script = (
        "import os, sys; from pathlib import Path; from bot.local.vers.preflight import checks; os.setuid(65534);"
        "print(*[c.name for c in checks(Path(sys.argv[1])) if not c.ok])"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "cache")]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.split() == ["root"]


def test_missing_namespaces(tmp_path: Path) -> None:
    """Root without the right to make namespaces is sent to --privileged."""
    script = (
        "import ctypes, sys; from pathlib import Path; from bot.local.vers.preflight import checks\n"
        "class H(ctypes.Structure): _fields_=[('v',ctypes.c_uint32),('p',ctypes.c_int)]\n"
        "class D(ctypes.Structure): _fields_=[('e',ctypes.c_uint32),('p',ctypes.c_uint32),('i',ctypes.c_uint32)]\n"
        "libc=ctypes.CDLL(None); assert libc.capset(ctypes.byref(H(0x20080522,0)),(D*2)())==0\n"
        "print(*[c.cure for c in checks(Path(sys.argv[1])) if c.name=='namespaces' and not c.ok])"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "cache")]
    assert "--privileged" in subprocess.run(command, capture_output=True, text=True, check=True).stdout
