"""Every error of the product, sorted by who must act on it.

    BotError
      UserError        the person who asked: shown to them exactly as written
        Declined       the same, and a maintainer may insist
        Unclear        the same, with an answer
      Transient        the engine: try again, after `retry_after_s` when the other side said so
      Permanent        the operator: this run fails, the message says what to look at
        NotFound, Conflict, Forbidden
      Unauthentic      nobody: the caller is not who they claim to be (answered 401)
      Cancelled        nobody: the run was asked to stop and unwinds

Adapters translate foreign exceptions at their edge, by a table (`translate`); a test proves each table complete.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager


class BotError(Exception):
    """Base of all errors that the product raises on purpose. `str(error)` is one sentence for a person."""


class UserError(BotError):
    """The person who asked can mend it; the message is shown to them as written."""


class Declined(UserError):
    """The issue does not suit a swarm; the message says why, and a maintainer may insist."""


class Unclear(UserError):
    """The issue leaves questions open, which were asked."""


class Transient(BotError):
    """Worth another try. `retry_after_s` is what the other side asked for, in seconds, or None."""

    def __init__(self, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class Permanent(BotError):
    """Another try gives the same; the operator has to look."""


class NotFound(Permanent):
    """The thing that was named does not exist on the other side (or not for us)."""


class Conflict(Permanent):
    """The other side refuses because of its present state (409, 422 "already exists", a moved ref)."""


class Forbidden(Permanent):
    """We are known but may not: a missing permission, a revoked installation, a foreign machine."""


class Unauthentic(BotError):
    """A signature, bearer or host key that does not match."""


class Cancelled(BotError):
    """The run was asked to stop. Raised by steps between two waits, so that the workflow can clean up."""


TranslationTable = Mapping[type[BaseException], type[BotError]]


@contextmanager
def translate(table: TranslationTable, doing: str) -> Iterator[None]:
    """Re-raise foreign exceptions as ours.

    Args:
        table: foreign class -> our class. The first entry whose class the exception is an instance of wins,
            so narrower classes go first.
        doing: what was tried, for the message: "reading the VM's status".

    Raises:
        BotError: of the class the table says; the foreign exception is its `__cause__`.
    """
    try:
        yield
    except BotError:
        raise
    except tuple(table) as error:
        ours = next(ours for foreign, ours in table.items() if isinstance(error, foreign))
        raise ours(f"{doing}: {type(error).__name__}: {error}") from error
