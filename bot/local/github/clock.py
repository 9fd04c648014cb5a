"""Time as GitHub writes it."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

Clock = Callable[[], datetime]


def real_clock() -> datetime:
    """Now, in UTC."""
    return datetime.now(UTC)


def stamp(moment: datetime) -> str:
    """A moment as "2026-11-23T08:00:00Z"."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def moment(text: str) -> datetime:
    """The inverse of `stamp`; accepts any RFC 3339 time.

    Raises:
        ValueError: it is none.
    """
    found = datetime.fromisoformat(text)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def git_date(text: str) -> str:
    """An RFC 3339 time as git stores it: seconds since 1970 and the zone."""
    when = moment(text)
    zone = when.strftime("%z")
    return f"{int(when.timestamp())} {zone}"


def from_git_date(text: str) -> str:
    """The inverse of `git_date`, in UTC."""
    seconds = int(text.split(" ", maxsplit=1)[0])
    return stamp(datetime.fromtimestamp(seconds, UTC))


def in_one_hour(now: datetime) -> str:
    """What GitHub gives installation tokens and manifest codes to live."""
    return stamp(now + timedelta(hours=1))
