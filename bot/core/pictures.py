"""What an image is, by its first bytes: names and headers of strangers say nothing."""

from dataclasses import dataclass, field
from io import BytesIO

import imagesize

MOST_IMAGES = 5
LARGEST_BYTES = (5 << 20) * 3 // 4
"""Anthropic counts the base64 text: no more than 5 MiB of it ("Vision" in its documentation)."""
LONGEST_SIDE_PX = 8_000
"""Anthropic refuses the whole request for a larger one (the same page)."""

_MAGIC = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
)


def image_type(content: bytes) -> str:
    """The media type of a PNG, JPEG, GIF or WebP; empty for anything else."""
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "image/webp"
    return next((kind for start, kind in _MAGIC if content.startswith(start)), "")


@dataclass(frozen=True, slots=True)
class AttachedImage:
    """An image that somebody attached to an issue: either its content or why the model does not see it."""

    address: str
    """As the text has it; people who may see the issue may open it."""
    media_type: str = ""
    content: bytes = field(default=b"", repr=False)
    problem: str = ""


def checked(address: str, content: bytes) -> AttachedImage:
    """An image that a model takes, or one with a problem."""
    kind = image_type(content)
    if not kind:
        return AttachedImage(address, problem="it is not a PNG, JPEG, GIF or WebP image")
    if len(content) > LARGEST_BYTES:
        return AttachedImage(address, problem=f"it is larger than {LARGEST_BYTES:,} bytes")
    width, height = imagesize.get(BytesIO(content))
    if min(width, height) < 1:
        return AttachedImage(address, problem="it is damaged")
    if max(width, height) > LONGEST_SIDE_PX:
        return AttachedImage(address, problem=f"it is wider or higher than {LONGEST_SIDE_PX:,} pixels")
    return AttachedImage(address, kind, content)
