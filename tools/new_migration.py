"""Writes the migration from the newest revision to the tables as `database.py` has them: tools/new_migration.py "message"."""

import sys
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine

from bot.pipeline.journal import migrate as journal_migrate
from bot.pipeline.journal.migrate import migrate

engine = create_engine("sqlite://")
migrate(engine)
config = Config()
config.set_main_option("script_location", str(Path(journal_migrate.__file__).parent / "migrations"))
with engine.begin() as connection:
    config.attributes["connection"] = connection
    command.revision(config, sys.argv[1], autogenerate=True)
