"""A repository's files as a build starts from them."""

import pytest

from bot.core.errors import UserError
from bot.core.models import Artifact
from bot.core.tree import blob_sha, placeable
from tests.github.hub import Hub, make_repo

FILES = {
    "README.md": "# A game\n",
    "src/main.js": "const a = 1;\n",
    "docs/ü ber.md": "grüße\n",
    "win.txt": "one\ntwo\n",
    "hidden.txt": "not in archives\n",
    ".gitattributes": "win.txt text eol=crlf\nhidden.txt export-ignore\n",
}


def test_files_are_exactly_what_git_has(hub: Hub) -> None:
    """One download gives every file; what the archive changes or leaves out is fetched by itself."""
    repository = hub.repository(of=make_repo(hub.server, hub.http, FILES))
    base = repository.base()
    listing = repository.contents.listing(base.tree_sha)
    assert {path: blob.sha for path, blob in listing.items()} == {
        path: blob_sha(text.encode()) for path, text in FILES.items()
    }
    before = repository.requests
    found = repository.contents.files(base.sha, listing)
    assert found == [Artifact(path, text.encode()) for path, text in sorted(FILES.items())]
    assert repository.requests - before == 3, "the archive, and two files that it does not hold as they are"


def test_only_what_is_wanted_is_kept(hub: Hub) -> None:
    """Limits choose by the listing, near the root first; the rest of the archive is skipped."""
    repository = hub.repository(of=make_repo(hub.server, hub.http, {**FILES, "big.txt": "x" * 2_000_000}))
    base = repository.base()
    listing = repository.contents.listing(base.tree_sha)
    wanted, left = placeable(listing)
    assert wanted == {*FILES}
    assert left == 1
    found = repository.contents.files(base.sha, {"README.md": listing["README.md"]})
    assert [file.path for file in found] == ["README.md"]


def test_a_download_in_trouble_is_repeated(hub: Hub) -> None:
    """One 502 and one refused token are not noticed."""
    repository = hub.repository()
    base = repository.base()
    listing = repository.contents.listing(base.tree_sha)
    for status in (502, 401):
        hub.fault(path_regex="/tarball/", status=status)
        assert [file.path for file in repository.contents.files(base.sha, listing)] == ["README.md"]


def test_too_large_a_repository_is_said_so(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """The download stops at the limit."""
    repository = hub.repository()
    base = repository.base()
    listing = repository.contents.listing(base.tree_sha)
    monkeypatch.setattr("bot.github.contents.MAX_ARCHIVE_BYTES", 100)
    with pytest.raises(UserError, match="more than 100 bytes"):
        repository.contents.files(base.sha, listing)
