"""The main job as a person sees it: label an issue by clicking, watch, open the pull request, play, close."""

import os
import re
from pathlib import Path

import httpx
from playwright.sync_api import Browser, Page, expect

from tests.waiting import wait_until
from tests.walk.browser import Pictures, Player, chromium
from tests.walk.conftest import REPOSITORY, Walk

PICTURES = "SWARM_PICTURES"
"""A folder to keep the pictures in; the swarm then thinks at a speed at which there is something to see."""
WINDOW = {"width": 1280, "height": 900}
BUILD_MS = 240_000


def test_a_person_labels_watches_plays_and_closes(walk: Walk, tmp_path: Path) -> None:
    """Everything by clicking: the progress comment changes by itself, the game is playable, closing takes it away."""
    kept = os.environ.get(PICTURES)
    pictures = Pictures(Path(kept) if kept else tmp_path)
    number = walk.open("multiplayer-snake.md")
    with chromium() as browser, walk.pace(90.0 if kept else 1500.0):
        page = _labelled(browser, walk, number)
        _watched(browser, page, walk, number, pictures)
        page.locator("#timeline .by-bot a[href*='/pull/']").first.click(timeout=BUILD_MS)
        assert walk.ended(walk.run_of(number)).state == "succeeded"
        expect(page.locator("#head .badge")).to_have_text(re.compile("Open"))
        pictures.take(page, "pull-request")
        address = page.get_by_role("link", name="View deployment").first.get_attribute("href")
        with page.context.expect_page() as opened:
            page.get_by_role("link", name="View deployment").first.click()
        _played(browser, opened.value, pictures, until_both_have_eaten=bool(kept))
        page.get_by_role("button", name="Close pull request").click()
        expect(page.locator("#head .badge")).to_have_text(re.compile("Closed"))
        wait_until(lambda: walk.machines() == 0, 60, "the preview's machine is gone")
        expect(page.get_by_role("link", name="View deployment")).to_have_count(0, timeout=30_000)
        wait_until(lambda: not _answers(str(address)), 30, "the preview no longer answers")


def _labelled(browser: Browser, walk: Walk, number: int) -> Page:
    page = browser.new_context(viewport=WINDOW, device_scale_factor=1.5, color_scheme="light").new_page()
    page.goto(f"{walk.world.github['web_url']}/{REPOSITORY}/issues/{number}?as=alice")
    page.get_by_label("Label", exact=True).select_option("swarm-build")
    page.get_by_role("button", name="Add").click()
    expect(page.locator("#side .label")).to_have_text("swarm-build")
    return page


def _watched(browser: Browser, page: Page, walk: Walk, number: int, pictures: Pictures) -> None:
    """The comment appears and changes, in a page that nobody reloads; the status page shows the same."""
    comment = page.locator("#timeline .by-bot")
    expect(comment).to_have_count(1, timeout=60_000)
    first = comment.inner_text()
    page.wait_for_function(
        "(first) => document.querySelector('#timeline .by-bot').innerText !== first",
        arg=first,
        timeout=BUILD_MS,
    )
    run = walk.run_of(number)
    status = browser.new_context(viewport=WINDOW, device_scale_factor=1.5).new_page()
    status.goto(f"{walk.world.web_url}/builds/{run}")
    expect(status.locator("tbody")).to_contain_text("server", timeout=BUILD_MS)
    expect(comment.locator("tbody").last).to_contain_text("server", timeout=BUILD_MS)
    pictures.take(status, "status-page")
    comment.evaluate("(each) => each.scrollIntoView({ block: 'center' })")
    pictures.take(page, "issue")


def _played(browser: Browser, page: Page, pictures: Pictures, *, until_both_have_eaten: bool) -> None:
    """Two people in one arena; a key changes what the other one sees."""
    other = browser.new_context(viewport=WINDOW).new_page()
    other.goto(page.url)
    page.set_viewport_size({"width": 1060, "height": 640})
    page.wait_for_load_state()
    alice, wendy = players = [Player(page, "alice"), Player(other, "wendy")]
    seen = set()

    def both_ways() -> bool:
        alice.turn()
        seen.add(wendy.heading("alice"))
        return {"across", "along"} <= seen

    wait_until(both_ways, 60, "the other one sees her turn")

    def both_have_eaten() -> bool:
        for player in players:
            player.step()
        return min(player.score() for player in players) >= 10

    if until_both_have_eaten:  # it takes a while, and looks better
        wait_until(both_have_eaten, 120, "both players have eaten")
    pictures.take(page, "game")
    expect(page.locator("#scores")).to_contain_text("wendy")


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5).is_success
    except httpx.TransportError:
        return False
