"""A real browser, and people who play the game with it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

CHROMIUM = "/usr/bin/chromium"
QUIET = (  # nothing that would look for a network of its own
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
SMALL = {"game"}
"""Pictures full of gradients, which PNG does not like."""
KEYS = {(0, -1): "ArrowUp", (0, 1): "ArrowDown", (-1, 0): "ArrowLeft", (1, 0): "ArrowRight"}


@contextmanager
def chromium() -> Iterator[Browser]:
    """Debian's chromium, without a window."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(QUIET))
        try:
            yield browser
        finally:
            browser.close()


class Pictures:
    """Screenshots into a folder: `docs/` for those of the product, a temporary one in every other run."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def take(self, page: Page, name: str) -> None:
        """What the window shows."""
        path = self._folder / f"{name}.png"
        page.screenshot(path=path, animations="disabled", scale="css" if name in SMALL else "device")
        assert path.stat().st_size > 10_000, f"{name} shows nothing"


class Player:
    """Somebody in the arena: looks where the food is and presses arrow keys."""

    def __init__(self, page: Page, name: str) -> None:
        self.page, self.name = page, name
        page.get_by_label("Your name").fill(name)
        page.get_by_role("button", name="Play").click()
        page.wait_for_function("() => me && snakes.some((each) => each.id === me)")

    def look(self) -> dict[str, Any]:
        """My snake, all bodies and the food, as the page has them at this moment."""
        return dict(
            self.page.evaluate("() => ({ mine: snakes.find((s) => s.id === me), snakes, food, grid })")
        )

    def score(self) -> int:
        """As the score board says it."""
        return int(self.page.locator("#scores .me .points").inner_text())

    def heading(self, name: str) -> str | None:
        """Which way somebody's living snake moves, as this page has it: "across" or "along"."""
        found = next((each for each in self.look()["snakes"] if each["name"] == name and each["alive"]), None)
        if not found:
            return None
        return "across" if found["body"][0][1] == found["body"][1][1] else "along"

    def turn(self) -> None:
        """A key that makes a snake on a straight course turn; a dead one lives again."""
        key = {"across": "ArrowUp", "along": "ArrowRight", None: " "}[self.heading(self.name)]
        self.page.keyboard.press(key)

    def step(self) -> None:
        """One key towards the food, away from bodies."""
        seen = self.look()
        mine, width, height = seen["mine"], seen["grid"]["width"], seen["grid"]["height"]
        if not mine or not mine["alive"]:
            self.page.keyboard.press(" ")
            return
        body = [tuple(cell) for cell in mine["body"]]
        taken = {tuple(cell) for each in seen["snakes"] for cell in each["body"]}
        (x, y), food = body[0], seen["food"]

        def away(move: tuple[int, int]) -> float:
            cell = ((x + move[0]) % width, (y + move[1]) % height)
            across, down = abs(cell[0] - food["x"]), abs(cell[1] - food["y"])
            blocked = 1000.0 if cell in taken else 0.0
            return blocked + min(across, width - across) + min(down, height - down)

        self.page.keyboard.press(KEYS[min(KEYS, key=away)])
