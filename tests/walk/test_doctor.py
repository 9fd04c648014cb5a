"""What doctor finds in a running world, and what it says when something is missing."""

from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from bot.cli import services, wiring
from bot.core.errors import UserError
from bot.local.vers.preflight import Check
from tests.walk.conftest import Walk


def _found(walk: Walk, **changes: Any) -> dict[str, Check]:
    settings = walk.world.settings.model_copy(update=changes)
    return {check.name: check for check in services.service_checks(settings)}


def test_all_is_well(walk: Walk) -> None:
    """Everything that the walks use is known to its service."""
    # The newest delivery must be one that arrived; the walks before may have lost some on purpose.
    walk.open("typo.md")
    found = _found(walk)
    names = {
        "database", "GitHub App", "App permissions", "webhook secret", "webhooks", "Vers key", "golden image",
        "Anthropic key",
    }  # fmt: skip
    assert set(found) == names
    assert not [check for check in found.values() if not check.ok]


@pytest.mark.parametrize(
    ("name", "changes", "word"),
    [
        ("GitHub App", {"github_app_id": "1"}, "App"),
        ("GitHub App", {"github_app_id": ""}, "not configured"),
        ("webhooks", {"public_url": "https://elsewhere.example"}, "elsewhere.example"),
        ("Vers key", {"vers_api_key": SecretStr("wrong")}, ""),
        ("golden image", {"pi_package": "@other/pi@1.0.0"}, "none of the present recipe"),
        ("Anthropic key", {"anthropic_api_key": SecretStr("wrong")}, "does not accept"),
        ("database", {"database_url": "sqlite://"}, ""),
    ],
)
def test_what_is_wrong_is_named(walk: Walk, name: str, changes: dict[str, Any], word: str) -> None:
    """One finding, with a cure."""
    check = _found(walk, **changes)[name]
    assert not check.ok
    assert word in check.message
    assert check.cure


def test_missing_permissions_are_named(walk: Walk) -> None:
    """Each permission and event that the App lacks, by the name that GitHub's settings have for it."""
    about = wiring.github_app(walk.world.settings).about()
    about["permissions"] = {**about["permissions"], "deployments": "read"}
    del about["permissions"]["checks"]
    about["events"] = [each for each in about["events"] if each != "issues"]
    with pytest.raises(UserError, match="lacks checks: write, deployments: write and does not hear issues"):
        services._permissions(about, wiring.manifest())


def test_the_anthropic_check_costs_nothing(walk: Walk) -> None:
    """No message is asked for."""
    assert walk.world.model
    before = httpx.get(f"{walk.world.model['base_url']}/ledger").json()
    _found(walk)
    assert httpx.get(f"{walk.world.model['base_url']}/ledger").json() == before
