"""Vers' JSON as typed values: what each answer carries, and what an error body says. Pure.

Sources: the published OpenAPI document of Vers and its SDK 1.20; error bodies as observed in April 2026.
"""

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

from pydantic import ValidationError

from bot.core.codec import load
from bot.core.errors import BotError, Conflict, Forbidden, NotFound, Permanent, Transient
from bot.core.models import CommitId, VmId
from bot.vms.base import CommitInfo, VmInfo, VmMetadata, VmState

T = TypeVar("T")

_BY_STATUS: Mapping[int, type[BotError]] = {
    401: Forbidden,
    403: Forbidden,
    404: NotFound,
    405: NotFound,  # this server does not have this call
    408: Transient,
    409: Conflict,  # every observed one is permanent: duplicate names, a commit with living machines
    429: Transient,
}
_RETRY_AFTER_LIMIT_S = 3600.0


@dataclass(frozen=True, slots=True)
class WireVm:
    """An entry of GET /vm, and the answer of GET /vm/{id}/status. `owner_id` is the key's first 36 characters."""

    vm_id: str
    owner_id: str
    state: str
    created_at: str = ""
    labels: dict[str, str] | None = None

    def info(self) -> VmInfo:
        return VmInfo(VmId(self.vm_id), _state(self.state), dict(self.labels or {}), self.created_at)


@dataclass(frozen=True, slots=True)
class WireMetadata:
    """GET /vm/{id}/metadata."""

    vm_id: str
    state: str
    ip: str | None = None
    parent_commit_id: str | None = None

    def metadata(self) -> VmMetadata:
        parent = CommitId(self.parent_commit_id) if self.parent_commit_id else None
        return VmMetadata(VmId(self.vm_id), self.ip or "", _state(self.state), parent)


@dataclass(frozen=True, slots=True)
class WireCommit:
    """An entry of GET /commits."""

    commit_id: str
    owner_id: str
    name: str | None = None
    created_at: str = ""

    def info(self) -> CommitInfo:
        return CommitInfo(CommitId(self.commit_id), self.name or "", self.created_at)


@dataclass(frozen=True, slots=True)
class WireCommitPage:
    """GET /commits?limit=&offset=."""

    commits: tuple[WireCommit, ...]
    total: int


@dataclass(frozen=True, slots=True)
class WireCommitId:
    """The answer of POST /vm/{id}/commit, and a tag."""

    commit_id: str


@dataclass(frozen=True, slots=True)
class WireVmId:
    """The answer of POST /vm/new_root."""

    vm_id: str


@dataclass(frozen=True, slots=True)
class WireBranched:
    """The answer of the branch calls."""

    vms: tuple[WireVmId, ...]


@dataclass(frozen=True, slots=True)
class WireKey:
    """GET /vm/{id}/ssh_key. Its `ssh_port` is not the port to dial."""

    ssh_private_key: str


@dataclass(frozen=True, slots=True)
class WireFile:
    """GET /vm/{id}/files."""

    content_b64: str

    def content(self) -> bytes:
        """
        Raises:
            Permanent: not base64.
        """
        return decoded(self.content_b64)


@dataclass(frozen=True, slots=True)
class WireLog:
    """An entry of GET /vm/{id}/logs."""

    stream: str
    data_b64: str


@dataclass(frozen=True, slots=True)
class WireLogs:
    """GET /vm/{id}/logs?offset=."""

    entries: tuple[WireLog, ...]
    next_offset: int
    eof: bool = False


@dataclass(frozen=True, slots=True)
class WireVariables:
    """GET /env_vars."""

    vars: dict[str, str]


def decoded(text: str) -> bytes:
    """
    Raises:
        Permanent: not base64.
    """
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise Permanent(f"Vers sent bytes that are not base64: {error}") from error


def read(kind: type[T], body: bytes, doing: str) -> T:
    """A successful answer's body as one of the classes above.

    Raises:
        Permanent: the body is not of that shape.
    """
    try:
        return load(kind, json.loads(body))
    except (ValueError, ValidationError) as error:
        raise Permanent(f"{doing}: Vers' answer is not understood: {body[:200]!r}") from error


def refusal(status: int, body: bytes, retry_after: str | None, now: float, doing: str) -> BotError:
    """An answer with an error status as one of our errors.

    The status decides; bodies come as text, as `{"error", "success"}`, or as `{"vms": [], "error"}`.

    Args:
        status: HTTP status, 300 or more.
        body: what the other side says about it.
        retry_after: the Retry-After header.
        now: seconds since the epoch, for a Retry-After that is a date.
        doing: what was tried, for the message.
    """
    message = f"{doing}: Vers answered {status}: {reason(body) or 'no reason given'}"
    kind = Transient if status >= 500 else _BY_STATUS.get(status, Permanent)
    if kind is Transient:
        return Transient(message, retry_after_s=retry_after_s(retry_after, now))
    return kind(message)


def reason(body: bytes) -> str:
    """What an error body says, in at most 300 characters."""
    text = body.decode("utf-8", "replace").strip()
    try:
        data: Any = json.loads(text)
    except ValueError:
        return text[:300]
    if isinstance(data, dict):
        text = str(data.get("error") or data.get("message") or text)
    return text[:300]


def retry_after_s(header: str | None, now: float) -> float | None:
    """A Retry-After header (seconds or an HTTP date) as seconds from `now`; None if absent or unreadable."""
    if not header:
        return None
    try:
        seconds = float(header)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(header).timestamp() - now
        except ValueError:
            return None
    return min(max(seconds, 0.0), _RETRY_AFTER_LIMIT_S)


def _state(text: str) -> VmState:
    try:
        return VmState(text.lower())
    except ValueError:
        return VmState.RUNNING  # a state that we do not know may cost money like a running machine
