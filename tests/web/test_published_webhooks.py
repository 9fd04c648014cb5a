"""Every webhook that GitHub's published description knows, made from its schema, against our front door."""

import gzip
import json
import re
from collections.abc import Mapping
from functools import cache, reduce
from pathlib import Path
from typing import Any

import pytest

import bot.local.github
from bot.local.github.description import load_description
from tests.web.world import World, deliver, open_world

DESCRIPTION = Path(bot.local.github.__path__[0]) / "official.json.gz"
OURS = {
    "issues-closed",
    "installation-created",
    "installation-deleted",
    "installation-suspend",
    "installation-repositories-added",
    "installation-repositories-removed",
    "repository-deleted",
    "repository-renamed",
    "repository-transferred",
    "repository-archived",
}
"""What is kept, as it is made here. (A label that is not ours, a comment without a command: those are not.)"""
EVENTS = (
    "check_run",
    "check_suite",
    "deployment_status",
    "deployment",
    "installation_repositories",
    "installation",
    "issue_comment",
    "issues",
    "label",
    "ping",
    "pull_request_review_comment",
    "pull_request_review",
    "pull_request",
    "push",
    "repository",
)
_FORMATS = {"date-time": "2026-11-23T12:00:00Z", "uri": "https://example.com", "email": "ada@example.com"}


@cache
def published() -> Mapping[str, Any]:
    """The description that the local GitHub keeps to."""
    found: Mapping[str, Any] = json.loads(gzip.decompress(DESCRIPTION.read_bytes()))
    return found


def webhooks() -> Mapping[str, Any]:
    found: Mapping[str, Any] = published()["webhooks"]
    return found


def plain(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """A schema without references and choices: of several, the first."""
    while True:
        if "$ref" in schema:
            schema = reduce(
                lambda at, key: at[key], schema["$ref"].removeprefix("#/").split("/"), published()
            )
        elif choices := "properties" not in schema and (schema.get("oneOf") or schema.get("anyOf")):
            schema = next(one for one in choices if one.get("type") != "null")
        else:
            return schema


def example(schema: Mapping[str, Any]) -> Any:
    """The smallest value that keeps to a schema: what is required, and nothing else."""
    schema = plain(schema)
    if "allOf" in schema:
        parts = [example(part) for part in schema["allOf"]]
        return {name: value for part in parts for name, value in part.items()}
    if "enum" in schema:
        return schema["enum"][0]
    kind = schema.get("type", "object" if "properties" in schema else "string")
    if kind == "object":
        wanted = schema.get("required", ())
        return {name: example(part) for name, part in schema.get("properties", {}).items() if name in wanted}
    simple: dict[str, Any] = {"integer": 7, "number": 7, "boolean": False, "null": None, "array": []}
    return simple[kind] if kind in simple else _text(schema)


def _text(schema: Mapping[str, Any]) -> str:
    if schema.get("pattern", "").startswith("^[0-9a-fA-F]"):
        return "c0ffee"
    return _FORMATS.get(schema.get("format", ""), "text")


def payload(name: str) -> tuple[str, dict[str, Any]]:
    """(event, body) of a published webhook, as an App gets it: with its installation and with who did it."""
    event = next(each for each in EVENTS if name.startswith(each.replace("_", "-")))
    body = example(webhooks()[name])
    body["installation"] = {"id": 7, "node_id": "x"} | (body.get("installation") or {})
    body.setdefault("sender", {"login": "ada", "id": 1})
    body["sender"]["type"] = "User"
    repository = {"id": 42, "full_name": "octo/games"}
    for listed in ("repositories", "repositories_added", "repositories_removed"):
        if event.startswith("installation") and listed.endswith(("ies", name.rpartition("-")[2])):
            body[listed] = [{**repository, "node_id": "x", "name": "games", "private": False}]
    return event, body


@pytest.fixture
def world(tmp_path: Path) -> World:
    return open_world(tmp_path / "journal.db")


@pytest.mark.parametrize("name", sorted(webhooks()))
def test_every_published_webhook_is_answered(world: World, name: str) -> None:
    """2xx for all; what is not ours leaves no trace, and what is ours is queued once."""
    event, body = payload(name)
    for _ in range(2):
        answer = deliver(world.app().test_client(), event, body)
        assert answer.status_code in (200, 202), answer.text
    assert len(world.queued) == (name in OURS), answer.text
    if name not in OURS:
        assert re.search(r"ignored", answer.text)


def test_the_payloads_keep_to_their_schemas() -> None:
    """They are no fancy of this test: the official description finds nothing wrong with most of them."""
    known = load_description()
    wrong = {name for name in webhooks() if known.bad_webhook(*payload(name))}
    assert len(wrong) <= 10, wrong
