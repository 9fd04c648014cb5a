#!/usr/bin/env python3
"""Root's hands on a machine: start pi, look after it, stop it. Usage: keeper.py start|check|stop|clean, JSON on stdin.

start  {start, vm, model, thinking, tools?, bearer?, identity?, fresh?}  -> {"started": bool}
Starts pi unless this start was made on this machine before, or (not if `fresh`) came along running in a snapshot that keeps
memory, with the same model, thinking level and tools. Anything else that an image brought along, other starts of pi, their tmux server
and FIFOs, goes first. `bearer` and `identity` are written whenever they are given.
check  {start}  -> {"alive": bool, "status": exit status or null, "stderr": last lines, "free_bytes": int, "oom_kills": int}
stop   {start}  -> the same, after the end
clean  {}       -> removes all starts, as an image must have none
"""

import contextlib
import fcntl
import hashlib
import json
import os
import pwd
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

STARTS = Path("/var/lib/swarm")
SWARM_HOME = Path("/root/.swarm")
PROGRAMS = Path("/opt/swarm")
SESSIONS = Path("/home/agent/sessions")
RANDOM_SEED = Path("/var/lib/systemd/random-seed")
RESEED = 0x5207  # RNDRESEEDCRNG
TMUX = ("tmux", "-L", "swarm")
ENVIRONMENT = {  # pi must not depend on what the line that starts it happens to carry
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LANG": "C.UTF-8",
    "TERM": "xterm",
}
STOP_LIMIT_S = 5.0
STDERR_BYTES = 4_000


def start(want):
    folder = STARTS / want["start"]
    settings = (
        f"SWARM_MODEL={word(want['model'])}\nSWARM_THINKING={word(want['thinking'])}\n"
        f"SWARM_TOOLS={word(want.get('tools', ''))}\n"
    )
    place(want)
    if text(folder / "vm") == want["vm"] and (folder / "pid").exists():
        return {"started": False}  # whatever became of it: a start is made once
    make_unique(want["vm"])
    if not want.get("fresh") and is_alive(folder) and text(folder / "settings") == settings:
        (folder / "vm").write_text(want["vm"])
        return {"started": False}
    forget_starts()
    (folder / "sent").mkdir(parents=True)
    os.mkfifo(folder / "in.fifo", 0o600)
    (folder / "out.jsonl").touch()
    (folder / "settings").write_text(settings)
    (folder / "vm").write_text(want["vm"])
    (folder / "oom_kills").write_text(str(oom_kills()))
    SESSIONS.mkdir()
    shutil.chown(SESSIONS, "agent", "agent")
    run = ["bash", str(PROGRAMS / "wrapper.sh"), str(folder)]
    subprocess.run([*TMUX, "new-session", "-d", "-s", "pi", *run], check=True, env=ENVIRONMENT)
    return {"started": True}


def make_unique(vm):
    """A branch is born with its parent's machine id, and where memory is kept with its random numbers."""
    Path("/etc/machine-id").write_text(hashlib.sha256(vm.encode()).hexdigest()[:32] + "\n")
    RANDOM_SEED.unlink(missing_ok=True)
    with open("/dev/urandom", "wb", buffering=0) as pool:
        pool.write(hashlib.sha256(f"{vm} {time.time_ns()}".encode()).digest())
        # Not every machine may: what was written counts at the next reseeding then.
        with contextlib.suppress(OSError):
            fcntl.ioctl(pool, RESEED)


def text(path):
    """A file's text; "" if there is none."""
    try:
        return path.read_text()
    except FileNotFoundError:
        return ""


def place(want):
    """What may be written again at any time: who the agent is, and what it pays with."""
    if bearer := want.get("bearer"):
        write(STARTS / "bearer", bearer, mode=0o640, group=pwd.getpwnam("agent").pw_gid)
    if identity := want.get("identity"):
        write(SWARM_HOME / "identity.json", json.dumps(identity, indent=2) + "\n", mode=0o644, group=0)


def write(path, text, *, mode, group):
    new = path.with_name(path.name + ".new")
    with contextlib.suppress(FileNotFoundError):
        new.unlink()
    with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    os.chown(new, 0, group)
    new.chmod(mode)
    new.rename(path)


def word(text):
    """A value for a file that a shell reads."""
    return "'" + text.replace("'", "'\\''") + "'"


def oom_kills():
    """How many processes this machine's kernel has killed for their memory."""
    counters = dict(line.split() for line in Path("/proc/vmstat").read_text().splitlines())
    return int(counters.get("oom_kill", 0))


def is_alive(folder):
    if (folder / "rc").exists():
        return False
    pid = pid_of(folder)
    if pid is not None and owner_of(pid) == pwd.getpwnam("agent").pw_uid:
        return True
    # The wrapper may be a moment away from starting it, for the first time or again.
    return folder.exists() and has_session()


def pid_of(folder):
    try:
        return int((folder / "pid").read_text())
    except (FileNotFoundError, ValueError):
        return None


def owner_of(pid):
    """User id of a running process; None for one that is gone or waits to be reaped."""
    try:
        status = dict(
            line.split(":\t", 1)
            for line in Path(f"/proc/{pid}/status").read_text().splitlines()
            if ":\t" in line
        )
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if status["State"].startswith("Z") else int(status["Uid"].split()[0])


def check(want):
    folder = STARTS / want["start"]
    status = None
    with contextlib.suppress(FileNotFoundError, ValueError):
        status = int((folder / "rc").read_text())
    stderr = ""
    with contextlib.suppress(FileNotFoundError):
        stderr = (folder / "err").read_bytes()[-STDERR_BYTES:].decode("utf-8", "replace")
    return {
        "alive": is_alive(folder),
        "status": status,
        "stderr": stderr,
        "free_bytes": min(
            shutil.disk_usage(path).free for path in (Path("/"), STARTS, SESSIONS) if path.exists()
        ),
        "oom_kills": oom_kills() - int(text(folder / "oom_kills") or 0),
    }


def stop(want):
    folder = STARTS / want["start"]
    pid = pid_of(folder)
    if folder.exists():
        (folder / "stopping").touch()
    if pid is not None and owner_of(pid) is not None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
        wait_while(lambda: owner_of(pid) is not None)
    end_agents_processes()
    wait_while(has_session)
    return check(want)


def wait_while(condition):
    deadline = time.monotonic() + STOP_LIMIT_S
    while condition() and time.monotonic() < deadline:
        time.sleep(0.02)


def has_session():
    return subprocess.run([*TMUX, "has-session", "-t", "pi"], capture_output=True).returncode == 0


def end_agents_processes():
    """Everything that runs as the agent: children of pi survive it in some versions."""
    uid = pwd.getpwnam("agent").pw_uid
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and owner_of(int(entry.name)) == uid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(entry.name), signal.SIGKILL)


def forget_starts():
    for folder in folders():
        (folder / "stopping").touch()  # a pi that is killed is started again otherwise
    end_agents_processes()
    wait_while(has_session)
    subprocess.run([*TMUX, "kill-server"], capture_output=True)
    for folder in folders():
        shutil.rmtree(folder)
    shutil.rmtree(SESSIONS, ignore_errors=True)


def folders():
    return [path for path in STARTS.iterdir() if path.is_dir()]


def clean(_want):
    forget_starts()
    for path in (STARTS / "bearer", SWARM_HOME / "identity.json", Path("/etc/machine-id"), RANDOM_SEED):
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
    Path("/etc/machine-id").touch()
    return {}


def main():
    want = json.load(sys.stdin)
    STARTS.mkdir(parents=True, exist_ok=True)
    with (STARTS / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = {"start": start, "check": check, "stop": stop, "clean": clean}[sys.argv[1]](want)
    json.dump(done, sys.stdout)


if __name__ == "__main__":
    main()
