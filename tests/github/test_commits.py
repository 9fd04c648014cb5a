"""How files are cut into trees."""

from hypothesis import given
from hypothesis import strategies as st

from bot.github.commits import Entry, chunks, text_of


@given(st.lists(st.integers(0, 40), max_size=60), st.integers(1, 7), st.integers(1, 50))
def test_chunks_keep_order_and_limits(sizes: list[int], max_entries: int, max_bytes: int) -> None:
    """Nothing is lost or moved, and only an entry alone may be larger than a chunk."""
    entries = [Entry(str(n), "100644", text="é" * size) for n, size in enumerate(sizes)]
    cut = list(chunks(entries, max_entries=max_entries, max_bytes=max_bytes))
    assert [entry for chunk in cut for entry in chunk] == entries
    for chunk in cut:
        assert 1 <= len(chunk) <= max_entries
        assert len(chunk) == 1 or sum(2 * len(entry.text or "") for entry in chunk) <= max_bytes


def test_what_is_text() -> None:
    """Only UTF-8 without NUL survives the journey inside JSON."""
    assert text_of("naïve\r\n".encode()) == "naïve\r\n"
    assert text_of(b"") == ""
    assert text_of(b"a\0b") is None
    assert text_of(b"caf\xe9") is None


def test_a_line_names_text_or_blob() -> None:
    """An empty file is text too, not a removal."""
    assert Entry("a", "100755", text="").line() == {
        "path": "a",
        "mode": "100755",
        "type": "blob",
        "content": "",
    }
    assert Entry("a", "100644", blob="f" * 40).line()["sha"] == "f" * 40
