"""`swarm-bot demo` as a person runs it: a summary with addresses that work, and nothing left after Ctrl-C."""

import json
import os
import re
import signal
import subprocess
import threading
from pathlib import Path

import httpx

from bot.cli.processes import swarm_bot
from bot.settings import load_settings
from tests.conftest import require_machines
from tests.leftovers import Snapshot
from tests.waiting import wait_until


def _vers_run(demo: int) -> str:
    """The name of the local Vers that a demo started, as it stands in paths and cgroups."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                arguments = (entry / "cmdline").read_bytes().split(b"\0")
                parent = (entry / "stat").read_text().rsplit(")", 1)[1].split()[1]
            except OSError:
                continue  # ended meanwhile
            if int(parent) == demo and arguments[-3:-1] == [b"local", b"vers"]:
                return f"run-{entry.name}-"
    raise AssertionError("the demo runs no local Vers")


class Terminal:
    """A running demo, and what it has printed so far."""

    def __init__(self, *arguments: str) -> None:
        self.process = subprocess.Popen(
            swarm_bot("demo", "--rate", "3000", *arguments),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "COLUMNS": "200"},
        )
        self.text = ""
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            self.text += line

    def shows(self, pattern: str, timeout_s: float) -> str:
        """The first group of a pattern, once it is on the screen."""

        def look() -> re.Match[str] | None:
            found = re.search(pattern, self.text, re.MULTILINE)
            assert found or self.process.poll() is None, self.text
            return found

        return wait_until(look, timeout_s, f"{pattern!r} is shown").group(1)


def test_ctrl_c_ends_everything_and_leaves_nothing() -> None:
    """Issue, pull request and game answer until Ctrl-C; then no process, mount, network or cgroup is left."""
    require_machines(load_settings().swarm_cache)
    before = Snapshot.take()
    terminal = Terminal()
    try:
        assert "SCRIPTED" in terminal.shows(r"\A(.*)\n", 30)
        pull = terminal.shows(r"^pull request +(\S+)", 300)
        preview = terminal.shows(r"^preview +(\S+)", 10)
        terminal.shows(r"(Ctrl-C ends everything)", 10)
        run = _vers_run(terminal.process.pid)
        assert before.left_by(run), "while it runs there is something to see"
        assert "Closes" in httpx.get(pull).text
        assert httpx.get(preview).status_code == 200
    finally:
        terminal.process.send_signal(signal.SIGINT)
    assert terminal.process.wait(60) == 0, terminal.text
    wait_until(lambda: not before.left_by(run), 20, "nothing is left")
    assert not list((load_settings().swarm_cache).glob(f"demo-*-{terminal.process.pid}"))


def test_json_is_the_last_line_of_standard_output() -> None:
    """An issue that is declined: one object, exit status 1, and no machine."""
    require_machines(load_settings().swarm_cache)
    done = subprocess.run(
        swarm_bot("demo", "--rate", "3000", "--once", "--json", "--issue", "docs/issues/typo.md"),
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    report = json.loads(done.stdout.splitlines()[-1])
    assert done.returncode == 1
    assert report["state"] == "declined"
    assert report["reason"]
    assert report["vms_left"] == 0
