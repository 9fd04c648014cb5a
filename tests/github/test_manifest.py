"""The App's manifest against what the code asks for."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from bot.github.errors import PERMISSIONS

MANIFEST = Path(__file__).parents[2] / "app.yml"
NEEDED_BY_EVENT = {
    "check_run": "checks",
    "issue_comment": "issues",
    "issues": "issues",
    "pull_request": "pull_requests",
    "pull_request_review_comment": "pull_requests",
    "repository": "metadata",
}


@pytest.fixture
def manifest() -> Any:
    return yaml.safe_load(MANIFEST.read_text())


def test_permissions_are_those_of_the_tokens(manifest: Any) -> None:
    """The App asks its owners for what its tokens carry, and for nothing else."""
    assert manifest["default_permissions"] == dict(PERMISSIONS)


def test_every_event_is_covered_by_a_permission(manifest: Any) -> None:
    """GitHub refuses a manifest with an event whose permission is not asked for."""
    for event in manifest["default_events"]:
        assert NEEDED_BY_EVENT[event] in manifest["default_permissions"]


def test_no_event_that_arrives_anyway(manifest: Any) -> None:
    """GitHub refuses a manifest that lists an event that every App gets without asking."""
    always = {"installation", "installation_repositories", "github_app_authorization"}
    assert not always & set(manifest["default_events"])


def test_the_app_is_private_and_hears(manifest: Any) -> None:
    """The hook is on, over TLS, and nobody else can install the App."""
    assert manifest["public"] is False
    assert manifest["hook_attributes"]["active"] is True
    assert manifest["hook_attributes"]["url"].startswith("https://")
