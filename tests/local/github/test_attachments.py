"""Images in texts: closed to tokens, open at the addresses that the API's HTML names, for five minutes."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from bot.core.visible import image_sources
from bot.local.github.server import Running, start
from tests.images import png
from tests.local.github.conftest import Rest, installation_token

HTML = "application/vnd.github.html+json"
IMAGE = png(40, 30)


def attach(hub: Running, repository: str = "acme/arcade", content: bytes = IMAGE) -> httpx.Response:
    return httpx.post(f"{hub.web_url}/_local/repositories/{repository}/attachments", content=content)


def issue_with(hub: Running, rest: Callable[[str], Rest], address: str) -> str:
    """Its path in the API."""
    opened = rest("alice")(
        "POST", "/repos/acme/arcade/issues", {"title": "x", "body": f"Like ![so]({address})"}
    )
    assert opened.status_code == 201, hub.violations()
    return f"/repos/acme/arcade/issues/{opened.json()['number']}"


def in_form(bot: Rest, path: str, form: str) -> dict[str, str]:
    headers = {"Authorization": f"Bearer {bot.token}", "Accept": f"application/vnd.github.{form}+json"}
    answer = httpx.get(bot.base_url + path, headers=headers).raise_for_status().json()
    return {key: value for key, value in answer.items() if key.startswith("body")}


def test_the_html_names_an_address_that_opens(hub: Running, rest: Callable[[str], Rest]) -> None:
    """Without any token, and only with its ticket."""
    path = issue_with(hub, rest, attach(hub).json()["href"])
    (page,) = in_form(rest("bot"), path, "html").values()
    (signed,) = image_sources(page)
    answer = httpx.get(signed)
    assert (answer.content, answer.headers["content-type"]) == (IMAGE, "image/png")
    assert httpx.get(signed.partition("?")[0]).status_code == 404
    assert httpx.get(signed[:-1] + "x").status_code == 404


def test_an_address_is_good_for_five_minutes(tmp_path: Path) -> None:
    """Then it has to be asked for again."""
    offset = [timedelta(0)]
    hub = start(tmp_path / "github", clock=lambda: datetime.now(UTC) + offset[0])
    try:
        bot = Rest(hub.base_url, installation_token(hub))
        path = issue_with(hub, lambda who: Rest(hub.base_url, hub.users[who]), attach(hub).json()["href"])
        (signed,) = image_sources(in_form(bot, path, "html")["body_html"])
        offset[0] = timedelta(seconds=301)
        assert httpx.get(signed).status_code == 404
        (again,) = image_sources(in_form(bot, path, "html")["body_html"])
        assert httpx.get(again).status_code == 200
    finally:
        hub.stop()


def test_no_token_opens_an_attachment_of_a_private_repository(
    hub: Running, rest: Callable[[str], Rest]
) -> None:
    """Its own address is for people's sessions; a public repository's redirects."""
    hub.create_repository("acme/secret", {"a": b"b"}, private=True)
    closed, public = attach(hub, "acme/secret").json()["href"], attach(hub).json()["href"]
    headers = {"Authorization": f"Bearer {rest('bot').token}"}
    assert httpx.get(closed, headers=headers).status_code == 404
    assert httpx.get(public, follow_redirects=True).content == IMAGE


def test_the_forms_of_a_text(hub: Running, rest: Callable[[str], Rest]) -> None:
    """As the documentation has them: each replaces the text as written, `full` keeps it."""
    path = issue_with(hub, rest, "https://e.example/x.png")
    assert set(in_form(rest("bot"), path, "raw")) == {"body"}
    assert in_form(rest("bot"), path, "text") == {"body_text": "Like"}
    assert set(in_form(rest("bot"), path, "html")) == {"body_html"}
    assert set(in_form(rest("bot"), path, "full")) == {"body", "body_text", "body_html"}


@pytest.mark.parametrize("content", [b"", b"<svg/>", IMAGE + b"\0" * (10 << 20)])
def test_what_is_no_image_is_not_kept(hub: Running, content: bytes) -> None:
    """422, with a sentence."""
    answer = attach(hub, content=content)
    assert answer.status_code == 422
    assert "PNG" in answer.json()["message"]
