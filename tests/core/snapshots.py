"""Stored texts, so that a change of what people read is seen in review."""

import difflib
import os
from pathlib import Path

FOLDER = Path(__file__).parent / "snapshots"


def assert_snapshot(name: str, text: str) -> None:
    """Fail with a diff unless `text` is the stored one. With UPDATE_SNAPSHOTS=1 in the environment it is stored."""
    file = FOLDER / name
    if os.environ.get("UPDATE_SNAPSHOTS") == "1":
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return
    stored = file.read_text() if file.exists() else ""
    if stored != text:
        diff = difflib.unified_diff(stored.splitlines(True), text.splitlines(True), f"stored {name}", "now")
        raise AssertionError("".join(diff) + "\nIf this is meant: UPDATE_SNAPSHOTS=1")
