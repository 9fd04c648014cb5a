"""How `--local` finds a local Vers that runs."""

import json
import os
from dataclasses import asdict
from pathlib import Path

import pytest

from bot.cli.place import at_local, running_local
from bot.local.vers.server import ADDRESS_FILE, Running
from bot.settings import Settings


@pytest.mark.machines
def test_the_youngest_that_answers(local_vers: Running, tmp_path: Path) -> None:
    """One that crashed and left its file is passed over; without any there is none."""
    assert running_local(tmp_path) is None
    dead = {**asdict(local_vers.address), "base_url": "http://127.0.0.1:9"}
    for age_s, (name, address) in enumerate(
        (("run-2-dead", dead), ("run-1-alive", asdict(local_vers.address)))
    ):
        folder = tmp_path / "vers" / name
        folder.mkdir(parents=True)
        (folder / ADDRESS_FILE).write_text(json.dumps(address))
        os.utime(folder / ADDRESS_FILE, (1e9 - age_s, 1e9 - age_s))
    found = running_local(tmp_path)
    assert found is not None
    assert found["base_url"] == local_vers.base_url


def test_what_the_operator_set_stays() -> None:
    """Only where Vers is differs; what was not set can still be told from what was."""
    names = ("base_url", "api_key", "vm_domain", "front", "ca_file", "publish_url")
    there = at_local(Settings(run_budget_usd=3.0), {name: f"the-{name}" for name in names})
    assert (there.run_budget_usd, there.vers_url) == (3.0, "the-base_url")
    assert "deployment" not in there.model_fields_set
