"""`python -m bot.local.github`: the local GitHub in a process of its own, until it is told to end."""

import json
import signal
from pathlib import Path

import click

from bot.local.github.server import start


@click.command()
@click.option(
    "--state", type=click.Path(path_type=Path), required=True, help="Folder for everything it keeps."
)
@click.option("--port", default=0, show_default="any that is free")
@click.option("--webhook-url", help="Where the App listens; can be set later by POST /_local/webhook-url.")
def main(state: Path, port: int, webhook_url: str | None) -> None:
    """Serve the local GitHub; prints one line of JSON when it is ready."""
    ends = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, ends)  # before any thread, so that only `sigwait` sees them
    running = start(state, port=port, webhook_url=webhook_url)
    ready = {
        "base_url": running.base_url,
        "web_url": running.web_url,
        "app_id": running.app_id,
        "app_slug": running.app_slug,
        "private_key_file": str(running.private_key_file),
        "webhook_secret": running.webhook_secret,
        "users": dict(running.users),
    }
    click.echo(json.dumps(ready))
    signal.sigwait(ends)
    running.stop()


if __name__ == "__main__":
    main()
