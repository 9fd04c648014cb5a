"""Images in a request: refused as Anthropic refuses them, counted as it counts them ("Vision" in its documentation)."""

import base64
import binascii
from collections.abc import Iterator, Mapping
from io import BytesIO
from typing import Any

import imagesize

from bot.core.pictures import image_type

LARGEST_BASE64_BYTES = 5 << 20
LONGEST_SIDE_PX = 8_000
MOST_TOKENS = 1_568
_PIXELS_PER_TOKEN = 750


class BadImage(ValueError):
    """An image that the model does not take; the message is for the caller."""


def image_sources(content: Any) -> Iterator[dict[str, Any]]:
    """The sources of the images in a message's content, those in results of tools included."""
    for block in content if isinstance(content, list) else ():
        if block.get("type") == "image":
            yield block.get("source") or {}
        elif block.get("type") == "tool_result":
            yield from image_sources(block.get("content"))


def image_tokens(source: Mapping[str, Any]) -> int:
    """What an image costs.

    Raises:
        BadImage: it is refused.
    """
    data = str(source.get("data", ""))
    if source.get("type") != "base64":
        raise BadImage("image.source: the scripted model takes base64 sources only")
    if len(data) > LARGEST_BASE64_BYTES:
        raise BadImage(
            f"image.source.base64: image exceeds 5 MB maximum: {len(data)} bytes > {LARGEST_BASE64_BYTES} bytes"
        )
    try:
        content = base64.b64decode(data, validate=True)
    except binascii.Error as error:
        raise BadImage("image.source.base64: invalid base64 data") from error
    kind, named = image_type(content), source.get("media_type")
    if kind and kind != named:
        raise BadImage(
            f"image.source.base64.data: the image was specified as {named} but appears to be {kind}"
        )
    width, height = imagesize.get(BytesIO(content)) if kind else (-1, -1)
    if min(width, height) < 1:
        raise BadImage("image: Could not process image")
    if max(width, height) > LONGEST_SIDE_PX:
        raise BadImage(
            f"image.source.base64.data: At least one of the image dimensions exceed max allowed size: {LONGEST_SIDE_PX} pixels"
        )
    return min(-(-width * height // _PIXELS_PER_TOKEN), MOST_TOKENS)
