"""`python -m bot.local.model`: the scripted model in a process of its own, until it is told to end."""

import json
import signal

import click

from bot.local.model.server import LOCAL_KEY, start


@click.command()
@click.option("--port", default=0, show_default="any that is free")
@click.option("--rate", default=80.0, show_default=True, help="Tokens per second; 0 for no limit.")
@click.option("--ttft", "ttft_s", default=0.5, show_default=True, help="Seconds to the first token.")
@click.option("--api-key", default=LOCAL_KEY, help="What callers have to send as x-api-key.")
def main(port: int, rate: float, ttft_s: float, api_key: str) -> None:
    """Serve the scripted model; prints one line of JSON when it is ready."""
    ends = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, ends)  # before any thread, so that only `sigwait` sees them
    running = start(port=port, rate=rate, ttft_s=ttft_s, api_key=api_key)
    click.echo(json.dumps({"base_url": running.base_url, "api_key": running.api_key}))
    signal.sigwait(ends)
    running.stop()


if __name__ == "__main__":
    main()
