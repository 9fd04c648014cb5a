"""Images that people attached to an issue: found behind the addresses that GitHub signs, fetched without our token.

`https://github.com/user-attachments/assets/UUID` opens for a person's browser session alone. An issue's HTML, which an
App may read ("Media types" in the REST API's documentation: `application/vnd.github.html+json`), names the same image at
a signed address that is good for five minutes: `https://private-user-images.githubusercontent.com/N/N-UUID.png?jwt=…`.
The UUID joins the two, so what was attached later or elsewhere is not taken for what a text asked for.
"""

import re
from collections.abc import Iterator, Sequence
from urllib.parse import urlsplit

from bot.core.errors import BotError, Transient
from bot.core.pictures import LARGEST_BYTES, MOST_IMAGES, AttachedImage, checked
from bot.core.visible import image_sources
from bot.github.door import Door, json_call
from bot.github.errors import Access
from bot.github.reading import pages

_HTML = "application/vnd.github.html+json"
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_HOSTS = ("private-user-images.githubusercontent.com", "user-images.githubusercontent.com")


class Attachments:
    """Fetches images of one repository's issues."""

    def __init__(self, door: Door, path: str) -> None:
        self._door = door
        self._path = path
        own = urlsplit(door.api_url).netloc
        self._hosts = _HOSTS if own == "api.github.com" else (own, f"media.{own}")

    def images(self, numbers: Sequence[int], addresses: Sequence[str]) -> list[AttachedImage]:
        """The images at these addresses, in their order, as far as a model can take them.

        Args:
            numbers: of the issue, and of a pull request, in whose texts they stand.
            addresses: as its texts have them, see `core.visible.shown_images`.

        Raises:
            BotError: the texts cannot be read. An image that cannot is one with a problem.
        """
        if not addresses:
            return []
        signed = {asset: where for number in numbers for asset, where in self._signed(number)}
        return [
            self._image(address, signed)
            if place < MOST_IMAGES
            else AttachedImage(address, problem=f"no more than {MOST_IMAGES} images are read")
            for place, address in enumerate(addresses)
        ]

    def _image(self, address: str, signed: dict[str, str]) -> AttachedImage:
        asset = _UUID.search(address)
        where = signed.get(asset[0]) if asset else None
        if where is None:
            return AttachedImage(address, problem="it is not attached to these texts on GitHub, or no longer")
        try:
            return checked(address, self._door.open_download("reading an image", where, LARGEST_BYTES))
        except Transient:
            return AttachedImage(address, problem="GitHub did not deliver it")
        except BotError as error:
            return AttachedImage(address, problem=str(error))

    def _signed(self, number: int) -> Iterator[tuple[str, str]]:
        """UUID and address of every image that GitHub shows in an issue, or in a pull request with its reviews."""
        doing = f"reading the images of #{number}"
        where = f"{self._path}/issues/{number}"
        whole = self._door.again(
            doing, Access.ISSUES, lambda repo: json_call(repo, "GET", where, accept=_HTML)
        )
        parts = [whole, *pages(self._door, doing, Access.ISSUES, f"{where}/comments", accept=_HTML)]
        if whole.get("pull_request"):
            reviews = f"{self._path}/pulls/{number}/comments"
            parts += pages(self._door, doing, Access.PULL_REQUESTS, reviews, accept=_HTML)
        for part in parts:
            for source in image_sources(part.get("body_html") or ""):
                if urlsplit(source).netloc in self._hosts and (asset := _UUID.search(source)):
                    yield asset[0], source
