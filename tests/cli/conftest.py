"""The command line against the local Vers: in this process where its output is text, as a program where bytes count."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from bot.cli.golden import images_of
from bot.cli.main import cli
from bot.cli.place import at_local, place_of
from bot.cli.wiring import stores
from bot.cli.world import child_environment
from bot.local.vers.server import Running
from bot.pipeline.journal.migrate import migrate
from bot.settings import Settings, load_settings
from tests.conftest import one_builder

Say = Callable[..., Any]
ROOT = Path(__file__).parents[2]


def settings_at(local_vers: Running, folder: Path) -> Settings:
    """An operator's settings, with nothing but an address and a key that differ from those for the real service."""
    there = at_local(load_settings(), asdict(local_vers.address))
    return there.model_copy(
        update={
            "deployment": "local",
            "database_url": f"sqlite:///{folder}/journal.db",
            "log_level": "WARNING",
        }
    )


@pytest.fixture
def settings(local_vers: Running, tmp_path: Path) -> Settings:
    """Settings with a journal of their own."""
    return settings_at(local_vers, tmp_path)


@pytest.fixture(scope="session")
def golden_image(local_vers: Running, tmp_path_factory: pytest.TempPathFactory) -> None:
    """The golden image is there, as it is for a person who has used the program before."""
    settings = settings_at(local_vers, tmp_path_factory.mktemp("golden"))
    migrate(stores(settings).database)
    with one_builder(), images_of(place_of(settings)) as images:
        images.ensure(print)


@pytest.fixture
def environment(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The environment of these settings, also this process's own."""
    made = child_environment(settings)
    for name, value in settings.environment().items():
        monkeypatch.setenv(name, value)
    return made


@pytest.fixture
def swarm_bot(environment: dict[str, str], capsys: pytest.CaptureFixture[str]) -> Say:
    """Runs a command in this process; the JSON of its last line on standard output."""

    def say(*arguments: str) -> Any:
        capsys.readouterr()
        try:
            cli.main([*arguments], standalone_mode=False)
        except SystemExit as end:
            if end.code:
                raise
        lines = capsys.readouterr().out.splitlines()
        return json.loads(lines[-1]) if lines else None

    return say


@pytest.fixture
def program(environment: dict[str, str]) -> Callable[..., "subprocess.CompletedProcess[bytes]"]:
    """Runs a command as a program."""

    def run(
        *arguments: str, stdin: bytes = b"", timeout_s: float = 120
    ) -> "subprocess.CompletedProcess[bytes]":
        return subprocess.run(
            [sys.executable, "-m", "bot", *arguments],
            input=stdin, capture_output=True, env=environment, cwd=ROOT, timeout=timeout_s, check=False,
        )  # fmt: skip

    return run


@pytest.fixture
def box(swarm_bot: Say) -> Iterator[str]:
    """A machine named "box"."""
    vm = swarm_bot(
        "vm", "create", "--name", f"box-{os.getpid()}", "--memory-mib", "512", "--disk-mib", "1024", "--json"
    )["vms"][0]["id"]
    yield vm
    swarm_bot("vm", "delete", "--yes", "--json", vm)
