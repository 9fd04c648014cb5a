"""A build that comes to nothing."""

from tests.waiting import wait_until
from tests.walk.conftest import REPOSITORY, Walk


def test_a_failed_build_says_what_failed_and_what_is_next(walk: Walk) -> None:
    """Declined first; insisted on, the agents change nothing: what, what is kept, what it cost, what to do."""
    number = walk.github.open_issue(REPOSITORY, "Paint it black", "All of it.")[0]
    walk.label(number)
    first = walk.ended(walk.run_of(number))
    assert first.state == "declined"
    assert "Not a job for a swarm" in str(walk.comments(number)[0]["body"])
    walk.person("wendy").comment(REPOSITORY, number, "/swarm build")
    second = wait_until(
        lambda: next((r for r in walk.stores.runs.of_issue(REPOSITORY, number) if r.id != first.id), None),
        30,
        "the second build is queued",
    )
    assert walk.ended(second.id).state == "failed"
    (told,) = wait_until(
        lambda: [text for each in walk.comments(number) if "The build failed" in (text := str(each["body"]))],
        30,
        "the comment says so",
    )
    for words in (
        "The agents changed nothing",
        "**Kept**: Nothing",
        "**Cost**: $",
        "`/swarm rebuild`",
        f"build={second.id}",
    ):
        assert words in told
    assert walk.pull_requests(number) == []
