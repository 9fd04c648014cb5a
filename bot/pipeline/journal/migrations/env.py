"""Alembic's environment: the connection is handed in by `bot.pipeline.journal.migrate`."""

from alembic import context

from bot.pipeline.journal.database import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,  # SQLite cannot alter most things in place
    version_table="swarm_alembic_version",
)
context.run_migrations()
