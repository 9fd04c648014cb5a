"""Brings our tables to the present schema, with Alembic; before web and worker start, once per deploy."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Engine


def migrate(engine: Engine) -> None:
    """Upgrade to the newest revision. Doing it twice changes nothing; two processes at once are serialised by the database."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
