"""Images that people drop into a text, and the forms of a text that the API gives when it is asked for HTML.

Source: "Media types" in the REST API's documentation (raw, text, html, full). That an attachment's own address opens
for a person's session alone, and that the HTML names it at a signed one, is not documented; GitHub has done so since
2023 (github.blog, "More secure private attachments").
"""

import re
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bot.core.pictures import image_type
from bot.local.github import tickets
from bot.local.github.records import Repository
from bot.local.github.refusals import Refusal, not_found
from bot.local.github.world import World

LARGEST_BYTES = 10 << 20
SIGNED = "/private-user-images"
_MEDIA = re.compile(r"application/vnd\.github\.(?:v3\.)?(raw|text|html|full)\+json")
_TAG = re.compile(r"<[^>]*>")


def attach(world: World, repo: Repository, content: bytes) -> str:
    """Keep an image; the address that its author finds in the text.

    Raises:
        Refusal: 422 for what is no image, or too large.
    """
    kind = image_type(content)
    if not kind or len(content) > LARGEST_BYTES:
        raise Refusal(422, "We only support PNG, JPEG, GIF and WebP images of up to 10 MB.")
    name = str(uuid.uuid4())
    folder = _folder(world)
    folder.mkdir(exist_ok=True)
    (folder / f"{repo.id}-{name}.{kind.removeprefix('image/')}").write_bytes(content)
    return f"{world.web_url}/user-attachments/assets/{name}"


def signed(world: World, page: str) -> str:
    """HTML in which attachments stand at addresses that open for five minutes."""

    def address(match: re.Match[str]) -> str:
        file = _find(world, match[1])
        return f"{where(world, file.name)}" if file else match[0]

    own = re.escape(f"{world.web_url}/user-attachments/assets/")
    return re.sub(rf"{own}([0-9a-f-]{{36}})", address, page)


def where(world: World, name: str) -> str:
    """The signed address of a file."""
    return f"{world.web_url}{SIGNED}/{name}?jwt={tickets.ticket(world, name)}"


def public(world: World, name: str) -> str:
    """The signed address of an attachment that everybody may see, as its own address redirects to it.

    Raises:
        Refusal: 404 for those of private repositories: no token opens them.
    """
    file = _find(world, name)
    repo = world.store.repositories.get(int(file.name.partition("-")[0])) if file else None
    if file is None or repo is None or repo.private:
        raise not_found()
    return where(world, file.name)


def read(world: World, name: str, ticket: str) -> bytes:
    """The image behind a signed address.

    Raises:
        Refusal: 404 without a ticket, or with one that is too old.
    """
    file = _folder(world) / Path(name).name
    if not tickets.good(world, name, ticket) or not file.is_file():
        raise not_found()
    return file.read_bytes()


def in_form(accept: str, body: Any, render: Callable[[str], str]) -> Any:
    """An answer of the API with its texts in the form that `accept` asks for: as written, as text, as HTML, or all."""
    asked = _MEDIA.search(accept)
    if asked is None:
        return body
    if isinstance(body, list):
        return [in_form(accept, each, render) for each in body]
    if not isinstance(body, dict) or "body" not in body or "html_url" not in body:
        return body
    raw = body["body"]
    page = render(raw) if raw is not None else None
    forms = {"body": raw, "body_text": page and _TAG.sub("", page).strip(), "body_html": page}
    chosen = {"raw": ("body",), "text": ("body_text",), "html": ("body_html",), "full": tuple(forms)}
    rest = {key: value for key, value in body.items() if key != "body"}
    return rest | {name: forms[name] for name in chosen[asked[1]]}


def _find(world: World, name: str) -> Path | None:
    return next(_folder(world).glob(f"*-{name}.*"), None)


def _folder(world: World) -> Path:
    return world.store.folder / "attachments"
