"""What one installation of Vers does where its documents leave it open: found by a probe, kept in a file, read by the client."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pydantic import ValidationError

from bot.core.codec import load

LIST_PATHS = ("/vm", "/vms")
"""The second is of servers before mid-2026."""
PAUSE_WORDS = ("Paused", "Sleeping")
"""The second is said by the SDK since mid-2026; each server may refuse the other."""


@dataclass(frozen=True, slots=True)
class ErrorShape:
    """How one refusal looks on the wire."""

    status: int
    kind: str
    """"json", "text" or "empty"."""
    body: str
    """Its first characters."""


@dataclass(frozen=True, slots=True)
class Profile:
    """The answers. The client uses `list_path` and `pause_word`, as what it tries first, `branch_count` and
    `branch_inherits_labels`; the rest is for people.

    None means that the probe could not tell.
    """

    url: str = ""
    probed_at: str = ""
    """RFC 3339."""
    seconds: float = 0.0
    list_path: str = LIST_PATHS[0]
    list_paths: tuple[str, ...] = LIST_PATHS
    """All that answer."""
    pause_word: str = PAUSE_WORDS[0]
    pause_words: tuple[str, ...] = ()
    """All that are accepted."""
    paused_state: str = ""
    """How a paused machine's state reads."""
    pause_keeps_memory: bool | None = None
    state_after_commit: str = ""
    commit_keeps_memory: bool | None = None
    """A process that ran when the snapshot was taken runs in its branches."""
    branch_inherits_labels: bool | None = None
    clones_share_host_key: bool | None = None
    branch_count: int | None = None
    """How many machines came when two were asked for; 1 where two were refused."""
    certificate_issuer: str = ""
    """Of the front; empty if its certificate could not be verified."""
    certificate_problem: str = ""
    forwarding: bool | None = None
    """sshd lets us forward a port of the machine to us."""
    way_out: bool | None = None
    """A machine reaches the world without us: what its agent may talk to is then not ours to say."""
    exec_seconds: float | None = None
    """How long a command ran over the API."""
    exec_limited: bool | None = None
    """Whether it was cut off before it was done."""
    stream_content_type: str = ""
    stream_first_cursor: int | None = None
    ssh_key_kind: str = ""
    max_vcpus: int | None = None
    max_memory_mib: int | None = None
    errors: dict[str, ErrorShape] = field(default_factory=dict)
    """By what was tried."""
    failures: dict[str, str] = field(default_factory=dict)
    """Questions that could not be asked, and why."""

    def jsonable(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)


def file_of(cache: Path, url: str) -> Path:
    """Where the profile of an installation is kept."""
    where = urlsplit(url if "://" in url else f"https://{url}").netloc
    return cache / "profiles" / f"{where.replace(':', '-')}.json"


def stored(cache: Path, url: str) -> Profile:
    """What a probe found there; the defaults if there was none, or if its file is of another version."""
    try:
        return load(Profile, json.loads(file_of(cache, url).read_text()))
    except (OSError, ValueError, ValidationError):
        return Profile()


def store(cache: Path, profile: Profile) -> Path:
    """Keep a profile; where."""
    path = file_of(cache, profile.url)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(profile.jsonable(), indent=2) + "\n")
    return path
