"""What comes to a pull request after it was opened: a picture of the app, and what the agents said."""

import httpx
import pytest

from bot.core.pictures import image_type
from tests.conftest import one_builder
from tests.waiting import wait_until
from tests.walk.browser import chromium
from tests.walk.conftest import REPOSITORY, Walk


@pytest.mark.timeout(900)
def test_a_picture_and_transcripts_are_added(walk: Walk) -> None:
    """The body shows the picture from a branch of its own; transcripts can be read; no machine but the preview's is left."""
    with one_builder(), walk.pictures():
        number, run = walk.build("multiplayer-snake.md")
        assert run.state == "succeeded", run.reason
        pull = int(str(walk.pull_requests(number)[0]["number"]))

        def body() -> str:
            found = walk.github.call("GET", f"/repos/{REPOSITORY}/pulls/{pull}")
            return str(found["body"])

        text = wait_until(
            lambda: text if "transcripts/architect" in (text := body()) else None,
            600,
            "they are there; the first time a browser is installed",
        )
        assert "follows in a moment" not in text
        assert text.count("/transcripts/") == 4, "the architect's and those of three workers that it removed"
        address = text.split("as a browser drew it](")[1].split(")")[0]
        assert "/blob/" in address
        picture = httpx.get(address, follow_redirects=True)
        assert (image_type(picture.content), picture.headers["content-type"]) == ("image/png", "image/png")
        assert len(picture.content) > 10_000
        _on_a_branch_of_its_own(walk, run.id)
        page = httpx.get(f"{walk.world.web_url}/builds/{run.id}/transcripts/architect")
        assert page.headers["content-security-policy"].startswith("sandbox")
        with chromium() as browser:
            reader = browser.new_page()
            reader.goto(f"{walk.world.web_url}/builds/{run.id}/transcripts/architect")
            reader.get_by_text("vers_swarm_spawn").first.wait_for()
            reader.goto(str(walk.pull_requests(number)[0]["html_url"]))
            assert (
                reader.get_by_alt_text("The running app").evaluate("(it) => it.complete && it.naturalWidth")
                == 1280
            )
        assert walk.machines() == 1
        evidence = run.result["evidence"]
        assert httpx.get(evidence["url"]).is_success
        walk.close_pull_request(number)


def _on_a_branch_of_its_own(walk: Walk, run: str) -> None:
    (path,) = [path for path in walk.tree("swarm/evidence") if run in path]
    assert path.endswith(f"/{run}.png")
    commits = walk.github.call("GET", f"/repos/{REPOSITORY}/commits?sha=swarm/evidence")
    assert commits[-1]["parents"] == []
    assert "[skip ci]" in commits[0]["commit"]["message"]
