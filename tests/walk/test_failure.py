"""A build that comes to nothing, and one that others were quicker than."""

import httpx

from tests.waiting import wait_until
from tests.walk.conftest import Walk


def test_a_failed_build_says_what_failed_and_what_is_next(walk: Walk) -> None:
    """The repository's budget is too small for the first thought: what failed, what is kept, what it cost, what to do.

    GitHub does not take the last edit of the comment at first; it is made until it is there.
    """
    beside = walk.beside("acme/cellar", {"README.md": "# Dark\n", ".github/swarm.yml": "budget: 0.01\n"})
    number = beside.open("kiosk-clock.md")
    faults = f"{walk.world.github['web_url']}/_local/faults"
    edits = {"method": "PATCH", "path_regex": "/repos/acme/cellar/issues/comments/", "times": 1000}
    httpx.post(faults, json=edits).raise_for_status()
    beside.label(number)
    run = beside.run_of(number)
    ended = beside.ended(run)
    assert ended.state == "failed"
    assert not any("build failed" in str(each["body"]) for each in beside.comments(number))
    httpx.delete(faults).raise_for_status()
    (told,) = wait_until(
        lambda: [text for each in beside.comments(number) if "build failed" in (text := str(each["body"]))],
        60,
        "the comment says so",
    )
    for words in ("budget", "**Kept**: Nothing", "**Cost**: $", "`/swarm rebuild`", run):
        assert words in told
    assert beside.pull_requests(number) == []
    assert walk.machines() == 0


def test_somebody_changes_the_same_file_meanwhile(walk: Walk) -> None:
    """Nothing that was paid for is lost: a draft names the file, and where it changed."""
    beside = walk.beside("acme/hall", {"README.md": "# The entrance hall\n"})
    number = beside.open("kiosk-clock.md")
    beside.label(number)
    run = beside.run_of(number)
    wait_until(lambda: walk.stores.runs.get(run).phase == "swarm", 60, "the swarm is at work")
    beside.push("wendy", "main", "server.js", "// by hand\n")
    ended = beside.ended(run)
    assert ended.state == "succeeded", ended.reason
    (pull,) = beside.pull_requests(number)
    assert pull["draft"]
    assert "`main` moved on to" in str(pull["body"])
    assert "too: `server.js`." in str(pull["body"])
    beside.close_pull_request(number)
