import pytest

from bot.core.workflows import triggers


@pytest.mark.parametrize(
    ("text", "events"),
    [
        ("on: push", {"push"}),
        ("on: [push, deployment]", {"push", "deployment"}),
        ("on:\n  deployment_status:\n  push:\n    branches: [main]\n", {"deployment_status", "push"}),
        ('"on": deployment', {"deployment"}),
        ("name: none", set()),
        ("on: [", set()),
        ("- a list", set()),
        ("on: 3", set()),
        ("", set()),
    ],
)
def test_what_starts_a_workflow(text: str, events: set[str]) -> None:
    """In all three forms; a file that GitHub would not run starts with nothing."""
    assert triggers(text.encode()) == events
