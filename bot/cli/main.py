"""The command line: `swarm-bot …`. Every command prints sentences for people; `--json` gives scripts one object."""

import contextlib
import importlib
import json
import logging
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from pydantic import ValidationError
from rich.console import Console

from bot.core.errors import BotError, UserError
from bot.settings import Settings, load_settings


def main() -> None:
    """Entry point: our errors and bad settings become one sentence and exit status 1."""
    try:
        cli(standalone_mode=True)
    except BotError as error:
        kind = "" if isinstance(error, UserError) else f"{type(error).__name__}: "
        click.echo(f"{kind}{error}", err=True)
        sys.exit(1)
    except ValidationError as error:
        for each in error.errors():
            name = ".".join(str(part) for part in each["loc"]).upper() or "settings"
            click.echo(f"{name}: {each['msg']}", err=True)
        sys.exit(1)


class _Elsewhere(click.Group):
    """A group whose commands stand in a module of their own, imported only when one of them is asked for."""

    def __init__(self, *args: Any, module: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._module = module

    def _group(self) -> click.Group:
        found: click.Group = importlib.import_module(self._module).commands
        return found

    def list_commands(self, ctx: click.Context) -> list[str]:
        return self._group().list_commands(ctx)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        _settings()  # a wrong one is told before anything happens, and the log is set up
        return self._group().get_command(ctx, cmd_name)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="swarm-build")
def cli() -> None:
    """Swarm Build: labelled issues become pull requests with a live preview."""


def _settings(log_level: str = "") -> Settings:
    settings = load_settings()
    logging.basicConfig(
        level=log_level or settings.log_level, format="%(asctime)s %(levelname)s %(name)s %(message)s"
    )
    for noisy in ("httpx", "httpx2", "alembic", "dbos", "waitress"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    logging.getLogger("stamina").setLevel(logging.ERROR)  # a second try is no news
    logging.getLogger("paramiko").setLevel(
        logging.CRITICAL
    )  # a refused connection is our caller's to tell, not its
    return settings


@cli.command()
def migrate() -> None:
    """Bring the database to the present schema. Before web and worker start, once per deploy."""
    from bot.cli import wiring

    wiring.migrate(_settings())


@cli.command()
@click.option("--port", default=8000, show_default=True, help="Loopback port; 0 for any that is free.")
def web(port: int) -> None:
    """Serve webhook and pages on loopback. (The Procfile's web process runs gunicorn on all addresses.)"""
    from bot.cli.serve import serve_web

    _settings()
    serve_web(port)


@cli.command()
def worker() -> None:
    """Run builds. One process per database; it prints one line of JSON when it is ready."""
    from bot.cli.serve import serve_worker

    serve_worker(_settings())


@cli.command()
@click.option(
    "--issue",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Title on the first line, then the text.",
)
@click.option("--once", is_flag=True, help="End when the pull request is open and checked.")
@click.option("--json", "as_json", is_flag=True, help="The last line of standard output is one JSON object.")
@click.option("--rate", default=80.0, show_default=True, help="Tokens per second of the scripted model.")
def demo(issue: Path | None, *, once: bool, as_json: bool, rate: float) -> None:
    """The main job on this machine: an issue, a swarm, a pull request, a live preview."""
    from bot.cli import wiring
    from bot.cli.demo import Demo, print_json
    from bot.cli.doctor import require
    from bot.cli.host import with_host_registries

    console = Console(stderr=as_json)
    # It ends, machines and all, when the pull request is closed: nobody waits for what comes after its opening.
    settings = with_host_registries(load_settings()).model_copy(
        update={"pictures": False, "transcript_days": 0}
    )
    require(settings)
    playing = Demo(settings, issue or wiring.issues() / "multiplayer-snake.md", rate, console)
    status = playing.run(once=once)
    if as_json:
        print_json(playing.report)
    sys.exit(status)


@cli.command()
@click.option("--json", "as_json", is_flag=True, help="Say where everything is in one JSON object.")
@click.option("--rate", default=80.0, show_default=True, help="Tokens per second of the scripted model.")
def dev(*, as_json: bool, rate: float) -> None:
    """All stand-ins, web and worker on this machine, until Ctrl-C."""
    from bot.cli.dev import develop
    from bot.cli.doctor import require
    from bot.cli.host import with_host_registries

    settings = with_host_registries(load_settings())
    require(settings)
    develop(settings, rate=rate, as_json=as_json)


@cli.command()
@click.option(
    "--short",
    is_flag=True,
    help="Under 12 minutes; the slowest is measured fast and computed for 80 tokens/s.",
)
@click.option("--tiny", is_flag=True, help="Under two minutes: does everything that measures work?")
@click.option(
    "--part", "parts", multiple=True, metavar="PART",
    help="Only this: agents, rates, contenders, delays, workers, round-trips or many. What --out holds already is kept.",
)  # fmt: skip
@click.option(
    "--out", type=click.Path(file_okay=False, path_type=Path), default=Path("bench-out"), show_default=True,
    help="Folder for bench.json and bench.png.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="The last line of standard output is one JSON object.")
def bench(*, short: bool, tiny: bool, parts: tuple[str, ...], out: Path, as_json: bool) -> None:
    """Measure the product on the stand-ins, beside one agent alone and the guide's way."""
    from bot.bench.command import bench as measure
    from bot.bench.form import FULL, SHORT, TINY, parse_parts
    from bot.cli import wiring
    from bot.cli.doctor import require
    from bot.cli.host import with_host_registries

    wanted = parse_parts(parts)
    settings = with_host_registries(_settings("ERROR"))
    require(settings)
    form = TINY if tiny else SHORT if short else FULL
    sys.exit(measure(settings, form, wanted, wiring.issues(), out, as_json=as_json))


@cli.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--event", required=True, help="Name of the event: issues, issue_comment …")
@click.option("--url", default="http://127.0.0.1:8000/webhook", show_default=True)
@click.option("--delivery", default=None, help="X-GitHub-Delivery; a new one if it is not given.")
def receive(file: Path, event: str, url: str, delivery: str | None) -> None:
    """Sign a stored payload with GITHUB_WEBHOOK_SECRET and post it to a running bot."""
    from bot.cli.receive import deliver

    secret = _settings().github_webhook_secret.get_secret_value()
    answer = deliver(url, event=event, body=file.read_bytes(), secret=secret, delivery=delivery)
    click.echo(f"{answer.status_code} {answer.text.strip()}")
    sys.exit(0 if answer.is_success else 1)


@cli.command()
@click.option("--json", "as_json", is_flag=True)
def doctor(*, as_json: bool) -> None:
    """What this machine and the configuration lack, and the cure."""
    from bot.cli.doctor import examine

    sys.exit(examine(load_settings(), as_json=as_json))


@cli.group("golden", cls=_Elsewhere, module="bot.cli.golden")
def golden_group() -> None:
    """The golden image that machines are branched from: build, list, check, delete."""


@cli.command(
    "run",
    add_help_option=False,
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
)
@click.argument("words", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def run_goal(ctx: click.Context, words: tuple[str, ...]) -> None:
    """A swarm without GitHub: a goal becomes a folder of files and a preview."""
    from bot.cli.run import command

    _settings()
    with command.make_context("run", list(words), parent=ctx.parent) as made:
        command.invoke(made)


@cli.group("vm", cls=_Elsewhere, module="bot.cli.vm")
def vm_group() -> None:
    """Machines by hand: list, create, branch, commit, exec, ssh, copy …"""


@cli.group("swarm", cls=_Elsewhere, module="bot.cli.swarm")
def swarm_group() -> None:
    """A swarm that a person drives: spawn, task, status, read, wait, collect, teardown."""


@cli.command()
@click.option("--local", is_flag=True, help="Swarms on a local Vers.")
@click.option("--rate", default=80.0, show_default=True, help="Tokens per second of the scripted model.")
@click.option("--swarm", default="", help="A swarm's id; the one begun in this folder without it.")
def tools(*, local: bool, rate: float, swarm: str) -> None:
    """The swarm's tools for a pi on this computer, which starts this by itself after `pi install`."""
    from bot.cli.tools import serve

    _settings()
    serve(swarm, local=local, rate=rate)


@cli.group("pi", cls=_Elsewhere, module="bot.cli.pi")
def pi_group() -> None:
    """The swarm's tools in your own pi: install, uninstall."""


@cli.group("vers", cls=_Elsewhere, module="bot.cli.probe")
def vers_group() -> None:
    """The Vers that is configured: `probe` finds out what its documents leave open."""


@cli.group()
def local() -> None:
    """The stand-ins, one by one."""


def _stand_in(start: Callable[[], tuple[dict[str, Any], Callable[[], None]]]) -> None:
    """Start, say so in one line of JSON, stay until SIGTERM or SIGINT, stop."""
    ends = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, ends)  # before any thread, so that only `sigwait` sees them
    ready, stop = start()
    click.echo(json.dumps(ready))
    sys.stdout.flush()
    signal.sigwait(ends)
    stop()


@local.command("model")
@click.option("--port", default=0)
@click.option("--rate", default=80.0, show_default=True, help="Tokens per second; 0 for no limit.")
@click.option("--ttft", default=0.5, show_default=True, help="Seconds to the first token.")
def local_model(port: int, rate: float, ttft: float) -> None:
    """The scripted model behind Anthropic's Messages API."""
    from bot.local.model.server import start

    def begin() -> tuple[dict[str, Any], Callable[[], None]]:
        running = start(port=port, rate=rate, ttft_s=ttft)
        ready = {"base_url": running.base_url, "api_key": running.api_key, "rate": rate, "ttft_s": ttft}
        return ready, running.stop

    _stand_in(begin)


@local.command("github")
@click.option("--port", default=0)
@click.option(
    "--state", type=click.Path(path_type=Path), help="Folder for its repositories; without it, nothing stays."
)
@click.option("--webhook-url", default=None, help="Where the App's webhooks go.")
@click.option("--json", "_as_json", is_flag=True, help="As it always does: one JSON object when it is ready.")
def local_github(port: int, state: Path | None, webhook_url: str | None, *, _as_json: bool) -> None:
    """GitHub's REST API over real git repositories."""
    from bot.local.github.server import start

    def begin(folder: Path) -> tuple[dict[str, Any], Callable[[], None]]:
        running = start(folder, port=port, webhook_url=webhook_url)
        names = ("base_url", "web_url", "app_id", "private_key_file", "webhook_secret", "users")
        return {name: _plain(getattr(running, name)) for name in names}, running.stop

    kept = contextlib.nullcontext(str(state)) if state else tempfile.TemporaryDirectory()
    with kept as folder:
        _stand_in(lambda: begin(Path(folder)))


@local.command("vers")
@click.option("--port", default=0, help="Port of the REST API; 0 takes a free one.")
@click.option(
    "--json", "_as_json", is_flag=True, help="Nothing changes: the one line that it prints is JSON."
)
@click.option(
    "--delay", "delays", multiple=True, metavar="KIND=SECONDS",
    help="What a kind of call takes: create, branch, commit, delete, state, exec or files.",
)  # fmt: skip
@click.option("--round-trip-ms", default=0.0, help="What every connection takes there and back.")
@click.option(
    "--profile", default="lenient", show_default=True,
    help="What it does where the documents of Vers leave it open: lenient, february, june or strict.",
)  # fmt: skip
def local_vers(
    port: int, delays: tuple[str, ...], round_trip_ms: float, profile: str, *, _as_json: bool
) -> None:
    """Vers' REST API and TLS front over isolated machines; commands with --local find it."""
    from bot.local.vers.conditions import Conditions, parse_delays
    from bot.local.vers.habits import named
    from bot.local.vers.server import serve

    conditions = Conditions(parse_delays(delays), round_trip_ms)
    serve(port, load_settings().swarm_cache, conditions=conditions, habits=named(profile))


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, Path) else value
