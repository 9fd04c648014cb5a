"""`swarm-bot pi …`: the swarm's tools in a person's own pi, put there and taken away again."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from bot.cli import wiring
from bot.cli.place import as_json
from bot.cli.processes import swarm_bot
from bot.cli.tables import note, print_rows
from bot.core.errors import UserError

RECORD = "extensions/swarm-build/installed.json"
"""What was written, and the program that does the work; the extension reads it, too."""
FILES = {
    "extensions/swarm-build/index.ts": "swarm.ts",
    "skills/architect-pattern/SKILL.md": "skills/architect-pattern/SKILL.md",
}
"""Path in pi's folder -> file of `templates/vm`: byte for byte what the machines of a swarm have."""


@dataclass(frozen=True, slots=True)
class PiFolder:
    """The folder of a person's pi."""

    folder: Path

    def install(self, command: list[str]) -> dict[str, str]:
        """Write the extension and the skill; what became of each file. Doing it again brings them up to date.

        Raises:
            UserError: a file is in the way that was not written by us.
        """
        known = self._record()
        contents = {name: (wiring.templates() / "vm" / source).read_bytes() for name, source in FILES.items()}
        for name, content in contents.items():
            there = self._digest(name)
            if there not in ("", known.get(name), _digest(content)):
                raise UserError(f"{self.folder / name} is there and is not ours: move it away first.")
        record = {"command": command, "files": {name: _digest(each) for name, each in contents.items()}}
        contents[RECORD] = (json.dumps(record, indent=2) + "\n").encode()
        return {str(self.folder / name): self._write(name, content) for name, content in contents.items()}

    def uninstall(self) -> dict[str, str]:
        """Remove what `install` wrote and nobody has changed since; what became of each file.

        Raises:
            UserError: nothing was installed.
        """
        known = self._record()
        if not known:
            raise UserError(f"Nothing of ours is in {self.folder}.")
        done = {}
        for name, digest in known.items():
            there = self._digest(name)
            if there == digest:
                (self.folder / name).unlink()
            said = "gone already" if not there else "removed" if there == digest else "changed since: kept"
            done[str(self.folder / name)] = said
        (self.folder / RECORD).unlink()
        done[str(self.folder / RECORD)] = "removed"
        for folder in {(self.folder / name).parent for name in (*known, RECORD)}:
            if not any(folder.iterdir()):
                folder.rmdir()
        return done

    def _record(self) -> dict[str, str]:
        try:
            return dict(json.loads((self.folder / RECORD).read_text())["files"])
        except FileNotFoundError:
            return {}
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(f"{self.folder / RECORD} is damaged: delete it and install again.") from error

    def _digest(self, name: str) -> str:
        path = self.folder / name
        return _digest(path.read_bytes()) if path.exists() else ""

    def _write(self, name: str, content: bytes) -> str:
        path = self.folder / name
        if path.exists() and path.read_bytes() == content:
            return "as it was"
        said = "brought up to date" if path.exists() else "written"
        path.parent.mkdir(parents=True, exist_ok=True)
        new = path.with_name(path.name + ".new")
        new.write_bytes(content)
        new.replace(path)
        return said


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@click.group()
def commands() -> None:
    """The swarm's tools in your own pi."""


_where = click.option(
    "--pi-folder",
    "folder",
    envvar="PI_CODING_AGENT_DIR",
    default=Path("~/.pi/agent"),
    show_default=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="Pi's own folder; PI_CODING_AGENT_DIR goes before the default, as it does for pi.",
)


@commands.command()
@click.option("--local", is_flag=True, help="Let its swarms run on a local Vers.")
@click.option(
    "--rate", default=80.0, show_default=True, help="Tokens per second of the scripted model, with --local."
)
@_where
@as_json
def install(folder: Path, *, local: bool, rate: float, as_json: bool) -> None:
    """Give your own pi the swarm's tools and the architect's skill."""
    command = swarm_bot("tools", *(["--local", "--rate", str(rate)] if local else []))
    _show(PiFolder(folder.expanduser()).install(command), as_json=as_json)
    needs = "a local Vers" if local else "VERS_API_KEY and ANTHROPIC_API_KEY in its environment"
    note(
        f"The next pi that you start has the tools (needs {needs}); /skill:architect-pattern says how to use them."
    )


@commands.command()
@_where
@as_json
def uninstall(folder: Path, *, as_json: bool) -> None:
    """Take away what `install` wrote; what you changed stays."""
    _show(PiFolder(folder.expanduser()).uninstall(), as_json=as_json)


def _show(done: dict[str, str], *, as_json: bool) -> None:
    rows: list[dict[str, Any]] = [{"file": name, "now": said} for name, said in done.items()]
    print_rows(rows, ("file", "now"), as_json=as_json, empty="")
