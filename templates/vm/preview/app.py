"""Runs inside the clean machine, as root: installs, starts and watches the collected app. JSON in (stdin), JSON out.

    app.py install  {"workspace"}                                  -> {"exit_status", "output", "seconds"}
    app.py test     {"workspace", "command", "env", "limit_s"}     -> {"command" | "", "exit_status", "output", "seconds"}
    app.py start    {"workspace", "kind", "port", "limit_s"}       -> {"listens": "::" | "ipv4" | "", "problem", "output", "seconds"}
    app.py bridge   {"port", "bridge_port", "limit_s"}             -> {"listens", "problem"}
    app.py check    {"workspace", "command", "limit_s"}            -> {"exit_status", "output", "seconds"}
    app.py into NAME COMMAND…                                      becomes the command, its output in a log

A "command" that is not empty takes the place of what the files say; "env" is added to the app's environment.
Everything of the app runs as user `agent` with the environment that a login shell of that user has.
"""

import contextlib
import json
import os
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path

LOGS = Path("/var/log/swarm-app")
HERE = Path(__file__).parent
TAIL_LINES = 50
NAME = re.compile(r"[A-Za-z0-9_-]{1,32}")
"""Names of processes, and so of logs that root writes: nothing that leads to another folder."""


def as_agent(command: str, workspace: str, extra: dict[str, str] | None = None) -> list[str]:
    """The argv that runs a shell command as the agent's user, in the workspace."""
    exports = "".join(f"export {name}={shlex.quote(value)}; " for name, value in (extra or {}).items())
    script = f"cd {shlex.quote(workspace)} && {exports}{command}"
    return ["runuser", "-u", "agent", "--", "env", "HOME=/home/agent", "CI=1", "bash", "-lc", script]


def open_log(path: Path, flags: int = os.O_WRONLY | os.O_CREAT | os.O_APPEND) -> int:
    """A descriptor of a log itself, never of what a link in its place leads to."""
    return os.open(path, flags | os.O_NOFOLLOW, 0o644)


def into(name: str, *argv: str) -> None:
    """Become a command whose output goes into a log."""
    log = open_log(LOGS / f"{name}.log")
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.execvp(argv[0], argv)


def logged(name: str, argv: list[str]) -> str:
    """The shell command that does `into`."""
    return shlex.join(["exec", sys.executable, str(HERE / "app.py"), "into", name, *argv])


def tail(path: Path, lines: int = TAIL_LINES) -> str:
    try:
        with open(open_log(path, os.O_RDONLY), "rb") as log:
            log.seek(max(0, os.fstat(log.fileno()).st_size - 65536))
            text = log.read().decode("utf-8", "replace")
    except FileNotFoundError:
        return ""
    return "\n".join(text.splitlines()[-lines:])


def end_group(leader: int) -> None:
    """Whatever a command left running would be in the way of the app."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(leader, 9)


def run_logged(name: str, argv: list[str], limit_s: float) -> dict[str, object]:
    """Run to the end, output into a log; exit status 124 when the limit passed, as `timeout` says it."""
    LOGS.mkdir(exist_ok=True)
    log = LOGS / f"{name}.log"
    began = time.monotonic()
    with open(open_log(log), "ab") as out:
        child = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True
        )
        try:
            status = child.wait(timeout=limit_s)
        except subprocess.TimeoutExpired:
            end_group(child.pid)
            child.wait()
            out.write(f"\n(ended after {limit_s:g} s)\n".encode())
            status = 124
        finally:
            end_group(child.pid)
    return {"exit_status": status, "output": tail(log), "seconds": time.monotonic() - began}


def install(
    workspace: str, command: str = "", env: dict[str, str] | None = None, limit_s: float = 600.0
) -> dict[str, object]:
    """What the files ask for: npm for package.json, pip into .venv for Python."""
    if command:
        return run_logged("install", as_agent(command, workspace, env), limit_s)
    root = Path(workspace)
    commands = []
    if (root / "package.json").exists():
        locked = (root / "package-lock.json").exists()
        commands.append(f"npm {'ci' if locked else 'install'} --no-fund --no-audit --no-progress")
    wanted = [name for name in ("requirements.txt",) if (root / name).exists()]
    if wanted:
        commands.append("python3 -m venv .venv")
        commands.append(f".venv/bin/pip install --quiet --disable-pip-version-check -r {wanted[0]}")
    if not commands:
        return {"exit_status": 0, "output": "nothing to install", "seconds": 0.0}
    return run_logged("install", as_agent(" && ".join(commands), workspace), limit_s)


def processes(workspace: str, kind: str, port: int, command: str = "") -> tuple[dict[str, str], list[str]]:
    """(process name -> command, names that are none): the given one, the Procfile's, or our file server for a static site."""
    if command:
        return {"web": command}, []
    root = Path(workspace)
    if kind == "static":
        folder = next(
            (d for d in ("public", "dist", "build", "site", ".") if (root / d / "index.html").exists()), "."
        )
        return {"web": f"exec python3 -m http.server --bind :: --directory {folder} {port}"}, []
    found, odd = {}, []
    for line in (root / "Procfile").read_text().splitlines():
        name, colon, command = (part.strip() for part in line.partition(":"))
        if colon and command and NAME.fullmatch(name):
            found[name] = command
        elif colon and command and not name.startswith("#"):
            odd.append(name)
    return found, odd


def listeners(port: int) -> set[str]:
    """Local addresses on which a TCP port listens: "*" or "::" for both families, else as the kernel says."""
    out = subprocess.run(
        ["ss", "-Hltn", f"sport = :{port}"], capture_output=True, text=True, check=True
    ).stdout
    return {line.split()[3].rsplit(":", 1)[0].strip("[]") for line in out.splitlines()}


def family(port: int) -> str:
    """Whether the port answers over IPv6 from outside ("::"), over IPv4 only ("ipv4") or not at all ("")."""
    found = listeners(port)
    if not found:
        return ""
    return "::" if found & {"*", "::"} else "ipv4"


def others() -> list[str]:
    """Ports that something listens on, to tell what an app did instead of taking $PORT."""
    out = subprocess.run(["ss", "-Hltn"], capture_output=True, text=True, check=True).stdout
    ports = {line.split()[3].rsplit(":", 1)[1] for line in out.splitlines()}
    return sorted(ports - {"22", "8898", "8899"}, key=int)


def await_port(port: int, limit_s: float, alive: list[str]) -> tuple[str, str]:
    """(family, problem): waits until the port listens, a process is gone or the limit has passed."""
    end = time.monotonic() + limit_s
    while True:
        if got := family(port):
            return got, ""
        for name in alive:
            if subprocess.run(
                ["tmux", "has-session", "-t", f"=app-{name}"], check=False, capture_output=True
            ).returncode:
                return "", f"the process {name!r} ended before it listened on port {port}"
        if time.monotonic() > end:
            seen = others()
            instead = f"; ports that do listen: {', '.join(seen)}" if seen else ""
            return "", f"nothing listened on port {port} within {limit_s:g} s{instead}"
        time.sleep(0.05)


def start(
    workspace: str, kind: str, port: int, limit_s: float, command: str = "", env: dict[str, str] | None = None
) -> dict[str, object]:
    LOGS.mkdir(exist_ok=True)
    began = time.monotonic()
    wanted, odd = processes(workspace, kind, port, command)
    passed_over = [f"(not started, as no process can have this name: {name[:80]!r})" for name in odd]
    if "web" not in wanted:
        output = "\n".join(passed_over)
        return {
            "listens": "",
            "problem": "the Procfile names no process `web`",
            "output": output,
            "seconds": 0.0,
        }
    path = f"{workspace}/.venv/bin:{workspace}/node_modules/.bin"
    for name, line in wanted.items():
        os.close(open_log(LOGS / f"{name}.log"))
        argv = as_agent(
            f'export PATH={shlex.quote(path)}:"$PATH"; {line}',
            workspace,
            {**(env or {}), "PORT": str(port), "NODE_ENV": "production"},
        )
        subprocess.run(["tmux", "new-session", "-d", "-s", f"app-{name}", logged(name, argv)], check=True)
    listens, problem = await_port(port, limit_s, list(wanted))
    tails = (tail(LOGS / f"{name}.log", TAIL_LINES // len(wanted)) for name in wanted)
    output = "\n".join((*passed_over, *tails))
    return {"listens": listens, "problem": problem, "output": output, "seconds": time.monotonic() - began}


def bridge(port: int, bridge_port: int, limit_s: float) -> dict[str, object]:
    argv = ["runuser", "-u", "agent", "--", "bash", "-lc", f"exec node {HERE}/bridge.js {bridge_port} {port}"]
    subprocess.run(["tmux", "new-session", "-d", "-s", "app-bridge", logged("bridge", argv)], check=True)
    listens, problem = await_port(bridge_port, limit_s, ["bridge"])
    return {
        "listens": listens,
        "problem": problem or ("" if listens == "::" else "the bridge got no IPv6 socket"),
    }


def check(
    workspace: str, command: str, limit_s: float, env: dict[str, str] | None = None
) -> dict[str, object]:
    return run_logged("check", in_workspace(command, workspace, env), limit_s)


def in_workspace(command: str, workspace: str, env: dict[str, str] | None) -> list[str]:
    """A command as the agent's, with the programs that were installed for the app on its path."""
    path = f"{workspace}/.venv/bin:{workspace}/node_modules/.bin"
    return as_agent(f'export PATH={shlex.quote(path)}:"$PATH"; {command}', workspace, env)


def tests_of(root: Path) -> str:
    """The command that runs the files' own tests, or "" if there are none that we know how to run."""
    try:
        script = json.loads((root / "package.json").read_text())["scripts"]["test"]
    except (OSError, ValueError, KeyError, TypeError):
        script = ""
    if isinstance(script, str) and script.strip() and "no test specified" not in script:
        return "npm test --silent"
    named = any(root.glob("test_*.py")) or any(root.glob("tests/**/test_*.py"))
    return "python3 -m pytest -q" if named and (root / ".venv/bin/pytest").exists() else ""


def test(workspace: str, limit_s: float, command: str, env: dict[str, str]) -> dict[str, object]:
    command = command or tests_of(Path(workspace))
    if not command:
        return {"command": "", "exit_status": 0, "output": "", "seconds": 0.0}
    return {"command": command, **run_logged("test", in_workspace(command, workspace, env), limit_s)}


def log() -> dict[str, object]:
    return {"output": "\n".join(tail(path) for path in sorted(LOGS.glob("*.log")))}


ACTIONS = {"install": install, "test": test, "start": start, "bridge": bridge, "check": check, "log": log}

if __name__ == "__main__":
    if sys.argv[1] == "into":
        into(*sys.argv[2:])
    print(json.dumps(ACTIONS[sys.argv[1]](**json.load(sys.stdin))))
