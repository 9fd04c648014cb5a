"""docs/guide-parity.md names tests that exist, and every tool that the extension declares."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "guide-parity.md").read_text()


def test_every_named_test_exists() -> None:
    """A tick without its test would be a promise."""
    defined = {
        name
        for path in (ROOT / "tests").rglob("test_*.py")
        for name in re.findall(r"^def (test_\w+)", path.read_text(), re.MULTILINE)
    }
    assert set(re.findall(r"`(test_\w+)`", PAGE)) - defined == set()


def test_every_tool_and_every_defect_has_a_row() -> None:
    """What pi is offered stands in the table, and the defects are 1 to 32."""
    declared = set(re.findall(r'name: "(vers_\w+)"', (ROOT / "templates" / "vm" / "swarm.ts").read_text()))
    assert declared - set(re.findall(r"`(vers_\w+)`", PAGE)) == set()
    assert len(declared) == 20
    assert [int(number) for number in re.findall(r"^\| (\d+) \|", PAGE, re.MULTILINE)] == list(range(1, 33))
