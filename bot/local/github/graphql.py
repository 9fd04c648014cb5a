"""The two mutations for which GitHub has no REST operation: a pull request becomes a draft, or stops to be one."""

import json
import re
from dataclasses import replace
from typing import Any

from bot.local.github import conversation
from bot.local.github.identity import Caller
from bot.local.github.permissions import check_repository
from bot.local.github.records import Pull
from bot.local.github.refusals import Refusal
from bot.local.github.shapes.common import node_id
from bot.local.github.world import World

PATH = "/api/graphql"
_MUTATION = re.compile(r"^\s*mutation\b[^{]*\{\s*(?P<name>\w+)\s*\(\s*input:\s*\$(?P<variable>\w+)\s*\)")
_DRAFT = {"markPullRequestReadyForReview": False, "convertPullRequestToDraft": True}
_LIKE = "pulls/update"
"""The REST operation that asks for the same permission."""


def execute(world: World, caller: Caller, data: bytes) -> dict[str, Any]:
    """The answer to one mutation; what is wrong about it comes with status 200, as on GitHub.

    Raises:
        Refusal: 400, this is no mutation.
    """
    try:
        asked = json.loads(data)
        found = _MUTATION.match(asked["query"])
        wanted = asked["variables"][found["variable"]]["pullRequestId"] if found else ""
    except (ValueError, KeyError, TypeError):
        raise Refusal(400, "Problems parsing JSON") from None
    if found is None or found["name"] not in _DRAFT:
        name = found["name"] if found else "?"
        return _wrong("undefinedField", f"Field '{name}' doesn't exist on type 'Mutation'")
    pull = next((each for each in world.store.pulls if node_id("PullRequest", each.id) == wanted), None)
    repo = world.store.repositories.get(pull.repo) if pull else None
    if pull is None or repo is None:
        return _wrong("NOT_FOUND", f"Could not resolve to a node with the global id of '{wanted}'")
    try:
        check_repository(world, caller, repo, _LIKE, writes=True, on_pull=True)
    except Refusal as refusal:
        return _wrong("FORBIDDEN", refusal.message)
    set_draft(world, pull, caller.login, draft=_DRAFT[found["name"]])
    shown = {"id": wanted, "number": pull.number, "isDraft": _DRAFT[found["name"]]}
    return {"data": {found["name"]: {"clientMutationId": None, "pullRequest": shown}}}


def set_draft(world: World, pull: Pull, login: str, *, draft: bool) -> None:
    """Make a pull request a draft, or ready for review; one that is so already stays as it is."""
    repo = world.store.repositories.get(pull.repo)
    issue = world.issue(repo, pull.number) if repo else None
    if repo is None or issue is None or pull.draft is draft:
        return
    world.store.pulls.put(replace(pull, draft=draft))
    event = "converted_to_draft" if draft else "ready_for_review"
    conversation.tell(world, repo, world.touch(issue), event, login)


def _wrong(kind: str, message: str) -> dict[str, Any]:
    return {"data": None, "errors": [{"type": kind, "message": message}]}
