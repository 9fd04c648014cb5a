"""What set-up stores: sealed by those who know the key, so that a copy of the database opens nothing."""

from sqlalchemy import Engine, delete, insert, select

from bot.core.errors import translate
from bot.pipeline.journal.database import DATABASE_ERRORS, Clock, credentials


class Credentials:
    """Sealed bytes by name."""

    def __init__(self, engine: Engine, now: Clock) -> None:
        self._engine = engine
        self._now = now

    def put(self, name: str, sealed: bytes) -> None:
        """Store under a name, in the place of what was there."""
        with translate(DATABASE_ERRORS, "storing credentials"), self._engine.begin() as db:
            db.execute(delete(credentials).where(credentials.c.name == name))
            db.execute(insert(credentials).values(name=name, sealed=sealed, created_at=self._now()))

    def get(self, name: str) -> bytes | None:
        """What is stored under a name."""
        query = select(credentials.c.sealed).where(credentials.c.name == name)
        with translate(DATABASE_ERRORS, "reading credentials"), self._engine.begin() as db:
            row = db.execute(query).first()
        return bytes(row.sealed) if row else None

    def forget(self, prefix: str, *, older_than_s: float) -> None:
        """Drop what nobody came back for."""
        old = credentials.c.created_at <= self._now() - older_than_s
        with translate(DATABASE_ERRORS, "clearing set-up states"), self._engine.begin() as db:
            db.execute(delete(credentials).where(credentials.c.name.startswith(prefix), old))

    def take(self, name: str, *, younger_than_s: float) -> bool:
        """Use a name up: True for exactly one caller, and only while it is fresh."""
        fresh = credentials.c.created_at > self._now() - younger_than_s
        with translate(DATABASE_ERRORS, "using a set-up state"), self._engine.begin() as db:
            return bool(db.execute(delete(credentials).where(credentials.c.name == name, fresh)).rowcount)
