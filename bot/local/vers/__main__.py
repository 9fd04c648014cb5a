"""`python -m bot.local.vers [--cache DIR] [--port N]`: the local Vers in the foreground."""

from pathlib import Path

import click

from bot.local.vers.server import serve
from bot.settings import load_settings


@click.command()
@click.option("--cache", type=click.Path(path_type=Path), help="Cache folder; SWARM_CACHE without it.")
@click.option("--port", default=0, show_default=True, help="Port of the REST API; 0 takes a free one.")
def main(cache: Path | None, port: int) -> None:
    """Serve until SIGTERM or Ctrl-C."""
    serve(port, cache or load_settings().swarm_cache)


if __name__ == "__main__":
    main()
