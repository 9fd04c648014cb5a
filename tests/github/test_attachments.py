"""Images of an issue, fetched as the App."""

import httpx

from bot.core.pictures import LARGEST_BYTES, MOST_IMAGES
from bot.github.client import Repository
from tests.github.hub import ONE_TRY, Hub
from tests.images import png

IMAGE = png(40, 30)
ELSEWHERE = "https://e.example/0b5d7fd4-5a3c-4a0c-9d0e-3b1f6a2c9e11.png"
GONE = "it is not attached to these texts on GitHub, or no longer"


def attach(hub: Hub, content: bytes = IMAGE) -> str:
    where = f"{hub.server.web_url}/_local/repositories/{hub.repo.full_name}/attachments"
    return str(hub.http.post(where, content=content).raise_for_status().json()["href"])


def shown(*addresses: str) -> str:
    return "\n".join(f"![]({address})" for address in addresses)


def fetched(
    hub: Hub, number: int, *addresses: str, repository: Repository | None = None
) -> list[tuple[bytes, str]]:
    images = (repository or hub.repository()).attachments.images((number,), addresses)
    assert [each.address for each in images] == list(addresses)
    return [(each.content, each.problem) for each in images]


def test_images_of_the_issue_and_of_its_comments(hub: Hub) -> None:
    """In the order in which they are asked for."""
    first, second = attach(hub), attach(hub, png(10, 10))
    number = hub.open_issue(body=shown(first))
    hub.comment(number, shown(second))
    assert fetched(hub, number, second, first) == [(png(10, 10), ""), (IMAGE, "")]


def test_nothing_is_asked_where_there_is_no_image(hub: Hub) -> None:
    """Most issues have none."""
    repository = hub.repository()
    assert repository.attachments.images((1,), ()) == []
    assert repository.requests == 0


def test_only_what_is_attached_to_this_issue(hub: Hub) -> None:
    """Not another issue's, not what was edited away, and no address of somebody's choosing."""
    others, edited = attach(hub), attach(hub)
    hub.open_issue(body=shown(others))
    number = hub.open_issue(body=shown(edited, ELSEWHERE))
    hub.ask("PATCH", f"issues/{number}", {"body": shown(ELSEWHERE)})
    assert fetched(hub, number, others, edited, ELSEWHERE) == [(b"", GONE)] * 3


def test_an_image_that_cannot_be_used_keeps_no_other_from_being_read(hub: Hub) -> None:
    """Too large, and one too many."""
    large = attach(hub, png(1, 1, padding_bytes=LARGEST_BYTES))
    small = [attach(hub) for _ in range(MOST_IMAGES)]
    number = hub.open_issue(body=shown(large, *small))
    (_, too_large), *rest, (_, too_many) = fetched(hub, number, large, *small)
    assert "more than 3,932,160 bytes" in too_large
    assert rest == [(IMAGE, "")] * (MOST_IMAGES - 1)
    assert too_many == "no more than 5 images are read"


def test_an_address_that_does_not_answer_is_a_problem_of_that_image(hub: Hub) -> None:
    """Signed addresses live five minutes; whatever is wrong with one, the issue is still built."""
    address = attach(hub)
    number = hub.open_issue(body=shown(address))
    for file in (hub.server.world.store.folder / "attachments").glob(f"*{address[-36:]}*"):
        content = file.read_bytes()
        file.unlink()
        # GitHub still names it, but no longer has it.
        (file.parent / file.name).mkdir()
    ((found, problem),) = fetched(hub, number, address, repository=hub.repository(ONE_TRY))
    assert (found, content) == (b"", IMAGE)
    assert "reading an image" in problem
    assert httpx.codes.is_error(hub.http.get(address, follow_redirects=True).status_code)


def test_images_of_a_pull_request_and_its_reviews(hub: Hub) -> None:
    """Who wants something changed says so there."""
    talked, reviewed = attach(hub), attach(hub)
    number = hub.open_issue()
    base = hub.get("git/ref/heads/main")["object"]["sha"]
    hub.ask("POST", "git/refs", {"ref": "refs/heads/swarm/issue-1", "sha": base})
    head = hub.push_as("alice", "swarm/issue-1", {"style.css": "a {}\n"})
    order = {"title": "Snake", "head": "swarm/issue-1", "base": "main"}
    pull = int(hub.ask("POST", "pulls", order)["number"])
    hub.comment(pull, shown(talked))
    remark = {"body": shown(reviewed), "path": "style.css", "line": 1, "commit_id": head}
    hub.ask("POST", f"pulls/{pull}/comments", remark)
    assert fetched(hub, number, talked, reviewed) == [(b"", GONE)] * 2
    images = hub.repository().attachments.images((number, pull), (talked, reviewed))
    assert [each.content for each in images] == [IMAGE, IMAGE]


def test_images_of_a_long_thread(hub: Hub) -> None:
    """The newest comment is the one that counts."""
    number = hub.open_issue()
    for count in range(100):
        hub.comment(number, f"me too, {count}")
    newest = attach(hub)
    hub.comment(number, shown(newest))
    assert fetched(hub, number, newest) == [(IMAGE, "")]
    comments = hub.repository().reading.comments(number)
    assert (len(comments), comments[-1].body) == (101, shown(newest))
