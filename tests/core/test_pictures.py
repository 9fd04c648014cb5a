"""What a model may be shown."""

import pytest

from bot.core.pictures import LARGEST_BYTES, LONGEST_SIDE_PX, checked
from tests.images import png

SMALL = png(3, 2)


def test_an_image_is_what_its_bytes_say() -> None:
    """Type and content, whatever its address ends in."""
    seen = checked("https://e.example/picture.exe", SMALL)
    assert (seen.media_type, seen.content, seen.problem) == ("image/png", SMALL, "")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "it is not a PNG, JPEG, GIF or WebP image"),
        (b"", "it is not a PNG, JPEG, GIF or WebP image"),
        (SMALL[:12], "it is damaged"),
        (b"\xff\xd8\xff", "it is damaged"),
        (png(LONGEST_SIDE_PX + 1, 1), "it is wider or higher than 8,000 pixels"),
        (png(1, 1, padding_bytes=LARGEST_BYTES), "it is larger than 3,932,160 bytes"),
    ],
)
def test_what_a_model_does_not_take_is_named(content: bytes, problem: str) -> None:
    """And nothing of it goes on."""
    seen = checked("https://e.example/x.png", content)
    assert (seen.content, seen.problem) == (b"", problem)
