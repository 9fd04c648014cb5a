"""The collected files of a build, between the step that reads them and the steps that start and publish them."""

from collections.abc import Iterable

from sqlalchemy import Engine, delete, insert, select

from bot.core.models import Artifact, RunId
from bot.pipeline.journal.database import artifacts, reading


class Results:
    """Files by build."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._reader = reading(engine)

    def store(self, run: RunId, files: Iterable[Artifact]) -> None:
        """Replace the build's files."""
        rows = [{"run": run, "path": f.path, "mode": f.mode, "content": f.content} for f in files]
        with self._engine.begin() as db:
            db.execute(delete(artifacts).where(artifacts.c.run == run))
            if rows:
                db.execute(insert(artifacts), rows)

    def files(self, run: RunId) -> tuple[Artifact, ...]:
        """The build's files, by path."""
        query = select(artifacts).where(artifacts.c.run == run).order_by(artifacts.c.path)
        with self._reader.begin() as db:
            return tuple(Artifact(row.path, row.content, row.mode) for row in db.execute(query))

    def forget(self, run: RunId) -> None:
        """Delete the build's files: they are on GitHub, or the build is over."""
        with self._engine.begin() as db:
            db.execute(delete(artifacts).where(artifacts.c.run == run))
