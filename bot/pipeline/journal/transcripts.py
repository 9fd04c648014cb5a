"""What the agents of builds said and did: first as pi wrote it, then as pages; for so long as the operator wants."""

import gzip
from collections.abc import Mapping

from sqlalchemy import Engine, delete, insert, select

from bot.core.models import AgentLabel, RunId
from bot.pipeline.journal.database import Clock, reading, transcripts

DAY_S = 86_400.0


class Transcripts:
    """Transcripts by build and agent. Nothing that is secret is stored: see `agents.transcripts`."""

    def __init__(self, engine: Engine, now: Clock, keep_days: int) -> None:
        """With 0 `keep_days` nothing is kept at all."""
        self._engine = engine
        self._reader = reading(engine)
        self._now = now
        self._keep_days = keep_days

    @property
    def wanted(self) -> bool:
        """Whether any are kept."""
        return self._keep_days > 0

    def store(self, run: RunId, contents: Mapping[str, bytes], *, pages: bool) -> None:
        """Keep sessions, or pages in their place, by agent; what is too old goes."""
        now = self._now()
        with self._engine.begin() as db:
            db.execute(delete(transcripts).where(transcripts.c.created_at < now - self._keep_days * DAY_S))
            for agent, content in contents.items():
                db.execute(delete(transcripts).where(transcripts.c.run == run, transcripts.c.agent == agent))
                row = {"content": gzip.compress(content, 6), "is_page": pages, "created_at": now}
                db.execute(insert(transcripts).values(run=run, agent=agent, **row))

    def sessions(self, run: RunId) -> dict[str, bytes]:
        """What no page was made of yet, by agent."""
        query = select(transcripts).where(transcripts.c.run == run, transcripts.c.is_page.is_(False))
        with self._reader.begin() as db:
            return {row.agent: gzip.decompress(row.content) for row in db.execute(query)}

    def pages(self, run: RunId) -> list[AgentLabel]:
        """Agents whose transcript can be looked at."""
        query = select(transcripts.c.agent).where(transcripts.c.run == run, transcripts.c.is_page.is_(True))
        with self._reader.begin() as db:
            return [AgentLabel(row.agent) for row in db.execute(query.order_by(transcripts.c.agent))]

    def page(self, run: RunId, agent: str) -> bytes | None:
        """One page, as pi made it: a stranger's HTML."""
        query = select(transcripts.c.content).where(
            transcripts.c.run == run, transcripts.c.agent == agent, transcripts.c.is_page.is_(True)
        )
        with self._reader.begin() as db:
            content = db.execute(query).scalar()
        return None if content is None else gzip.decompress(content)
