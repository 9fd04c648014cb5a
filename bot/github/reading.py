"""What people wrote into a repository, as it stands: one file, the names in a folder, the comments of an issue."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any
from urllib.parse import quote

from bot.core.errors import NotFound
from bot.github.door import Door, json_call
from bot.github.errors import Access

MOST_PAGES = 20
"""Of a hundred comments each; what is later is not read."""
_PER_PAGE = 100


@dataclass(frozen=True, slots=True)
class Comment:
    """A comment of an issue. Times in seconds since the epoch; `by_person` is False for bots and Apps."""

    author: str
    by_person: bool
    body: str
    created_at: float
    updated_at: float


class Reading:
    """Reads one repository."""

    def __init__(self, door: Door, path: str) -> None:
        self._door = door
        self._path = path

    def file(self, path: str, ref: str) -> bytes | None:
        """A file's content at a commit; None if there is none, or if it is no file."""
        where = f"{self._path}/contents/{quote(path)}?ref={quote(ref, safe='')}"
        try:
            found = self._get(f"reading {path}", Access.CONTENTS, where)
        except NotFound:
            return None
        if not isinstance(found, dict) or found.get("type") != "file":
            return None
        return base64.b64decode(found.get("content") or "")

    def folder(self, path: str, ref: str) -> Sequence[str]:
        """The names of the files in a folder at a commit; none if there is no such folder."""
        where = f"{self._path}/contents/{quote(path)}?ref={quote(ref, safe='')}"
        try:
            found = self._get(f"listing {path}", Access.CONTENTS, where)
        except NotFound:
            return ()
        return [each["name"] for each in found if each["type"] == "file"] if isinstance(found, list) else ()

    def comments(self, issue: int) -> Sequence[Comment]:
        """The comments of an issue or of a pull request's conversation, oldest first."""
        where = f"{self._path}/issues/{issue}/comments"
        found = pages(self._door, f"reading the comments of issue {issue}", Access.ISSUES, where)
        return [_comment(each) for each in found]

    def _get(self, doing: str, access: Access, where: str) -> Any:
        return self._door.again(doing, access, lambda repo: json_call(repo, "GET", where))


def pages(door: Door, doing: str, needs: Access, where: str, *, accept: str = "") -> list[dict[str, Any]]:
    """A list that GitHub gives in parts, up to `MOST_PAGES` of them. `accept` is as for `json_call`."""
    found: list[dict[str, Any]] = []
    for page in range(1, MOST_PAGES + 1):
        path = f"{where}?per_page={_PER_PAGE}&page={page}"
        part = door.again(doing, needs, partial(json_call, verb="GET", path=path, accept=accept))
        found += part
        if len(part) < _PER_PAGE:
            break
    return found


def _comment(found: dict[str, Any]) -> Comment:
    author = found.get("user") or {"login": "ghost", "type": "User"}
    through_app = found.get("performed_via_github_app") is not None
    return Comment(
        author=author["login"],
        by_person=author.get("type") == "User" and not through_app,
        body=found.get("body") or "",
        created_at=datetime.fromisoformat(found["created_at"]).timestamp(),
        updated_at=datetime.fromisoformat(found["updated_at"]).timestamp(),
    )
