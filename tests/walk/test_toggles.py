"""Somebody plays with the label."""

import os
import time

import httpx

from tests.waiting import wait_until
from tests.walk.conftest import REPOSITORY, Walk

TOGGLES = int(os.environ.get("SWARM_TOGGLES", "60"))
"""1000 for the whole storm."""
OTHER = "acme/second"


def test_toggles_of_a_label_are_one_build(walk: Walk) -> None:
    """One active build at most, one comment, and another repository's build starts within five seconds."""
    number = walk.open("typo.md")
    web = walk.world.github["web_url"]
    httpx.post(f"{web}/_local/repositories", json={"full_name": OTHER, "files": {"README.md": "# Two"}})
    began = time.monotonic()
    for turn in range(TOGGLES // 2):
        walk.label(number)
        walk.github.call("DELETE", f"/repos/{REPOSITORY}/issues/{number}/labels/swarm-build")
        assert len(_wanted(walk, number)) <= 1
        if turn == TOGGLES // 4:
            other, _ = walk.github.open_issue(OTHER, "Fix the typo", "In the README: Two, not Tow.")
            asked = time.monotonic()
            walk.github.label(OTHER, other, "swarm-build")
    wait_until(lambda: walk.stores.runs.of_issue(OTHER, other), 30, "the other repository's build is queued")
    begun = wait_until(
        lambda: next(
            (e for r in walk.stores.runs.of_issue(OTHER, other) for e in walk.stores.runs.events(r.id)), None
        ),
        30,
        "the other repository's build has begun",
    )
    assert begun.at - (time.time() - (time.monotonic() - asked)) < 5
    assert time.monotonic() - began < 120
    walk.github.comment(
        REPOSITORY, number, "/swarm status"
    )  # its answer comes after all that was asked before
    wait_until(lambda: _answers(walk, number), 200, "everything before has been heard")
    wait_until(
        lambda: all(run.state.ended for run in walk.stores.runs.of_issue(REPOSITORY, number)),
        200,
        "all have ended",
    )
    builds = walk.stores.runs.of_issue(REPOSITORY, number)
    assert not [run for run in builds if run.state == "failed"]
    told = [comment for comment in walk.comments(number) if comment["user"]["type"] == "Bot"]
    assert len(told) - _answers(walk, number) <= 1, "one comment for the issue, whatever happened"
    walk.label(number)
    newest = wait_until(lambda: _wanted(walk, number), 60, "the last word counts")[0]
    assert walk.ended(newest).state == "declined"


def _answers(walk: Walk, number: int) -> int:
    """How often the bot has answered a command in the issue."""
    return sum("answer=" in comment["body"] for comment in walk.comments(number))


def _wanted(walk: Walk, number: int) -> list[object]:
    """Builds of the issue that run or will, and that nobody has stopped."""
    runs = walk.stores.runs
    return [
        run.id
        for run in runs.of_issue(REPOSITORY, number)
        if not run.state.ended and not runs.cancellation(run.id)
    ]
