"""The stand-in as a program of its own."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import httpx


def test_it_says_when_it_is_ready_and_ends_when_told(tmp_path: Path) -> None:
    """One line of JSON, an answer, a clean end; the second start finds the first one's world."""
    command = [sys.executable, "-m", "bot.local.github", "--state", str(tmp_path / "state")]
    seen = []
    for _ in range(2):
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            ready = json.loads(process.stdout.readline())
            token = {"Authorization": f"Bearer {ready['users']['alice']}"}
            answer = httpx.get(f"{ready['base_url']}/repos/acme/arcade", headers=token)
            seen.append((ready["app_id"], ready["users"], answer.json()["id"]))
            assert Path(ready["private_key_file"]).stat().st_mode & 0o777 == 0o600
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0
    assert seen[0] == seen[1]
