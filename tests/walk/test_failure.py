"""A build that comes to nothing."""

from tests.waiting import wait_until
from tests.walk.conftest import Walk


def test_a_failed_build_says_what_failed_and_what_is_next(walk: Walk) -> None:
    """Somebody commits the same file to the base meanwhile: which one, what is kept, what it cost, what to do."""
    beside = walk.beside("acme/hall", {"README.md": "# The entrance hall\n"})
    number = beside.open("kiosk-clock.md")
    beside.label(number)
    run = beside.run_of(number)
    wait_until(lambda: walk.stores.runs.get(run).phase == "swarm", 60, "the swarm is at work")
    beside.push("wendy", "main", "server.js", "// by hand\n")
    ended = beside.ended(run)
    assert ended.state == "failed"
    (told,) = wait_until(
        lambda: [text for each in beside.comments(number) if "build failed" in (text := str(each["body"]))],
        30,
        "the comment says so",
    )
    for words in (
        "main moved on",
        ": server.js",
        "**Kept**: Nothing",
        "**Cost**: $",
        "`/swarm rebuild`",
        run,
    ):
        assert words in told
    assert beside.pull_requests(number) == []
    assert walk.machines() == 0
