"""Documents that are made from the code are the ones that the code makes."""

import importlib.util
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_the_page_of_settings_is_the_present_one() -> None:
    """docs/configuration.md is what tools/configuration.py prints."""
    spec = importlib.util.spec_from_file_location("configuration", ROOT / "tools" / "configuration.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert (ROOT / "docs" / "configuration.md").read_text() == module.page()
