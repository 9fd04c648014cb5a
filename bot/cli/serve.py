"""The long-running commands: the web process and the worker."""

import contextlib
import json
import logging
import os
import signal
import sys
import threading
from typing import Any

import click
from gunicorn.app.base import BaseApplication  # type: ignore[import-untyped]  # gunicorn has no types

from bot.agents.lines import Lines
from bot.cli import wiring
from bot.cli.identity import configured
from bot.core.errors import BotError
from bot.core.models import RunId
from bot.gateway.server import Gateway
from bot.pipeline.build import build
from bot.pipeline.desk import Desk
from bot.pipeline.engine import Engine, Jobs, Steps, only_worker
from bot.pipeline.exhibits import Exhibits
from bot.pipeline.intake import Intake
from bot.pipeline.lifecycle import Lifecycle
from bot.pipeline.previews import Previews
from bot.pipeline.sweep import MissedWebhooks, run_every
from bot.settings import Settings

log = logging.getLogger(__name__)

SWEEP_EVERY_S = 60.0
MISSED_EVERY_S = 600.0
CONFIGURED_EVERY_S = 2.0
DRAIN_LIMIT_S = 10.0
EVENT_PATIENCE_S = 600.0
"""A label or a stop waits ten minutes for GitHub."""


class _Gunicorn(BaseApplication):  # type: ignore[misc]  # gunicorn has no types
    def __init__(self, options: dict[str, Any]) -> None:
        self._options = options
        super().__init__()

    def load_config(self) -> None:
        for name, value in self._options.items():
            self.cfg.set(name, value)

    def load(self) -> Any:
        return wiring.web_app()


def _say_ready(server: Any) -> None:
    host, port = server.LISTENERS[0].sock.getsockname()[:2]
    click.echo(json.dumps({"url": f"http://{host}:{port}"}))
    sys.stdout.flush()


def serve_web(port: int) -> None:
    """Gunicorn on loopback, with the Procfile's workers and threads; says one line of JSON when it listens."""
    options = {
        "bind": f"127.0.0.1:{port}",
        "worker_class": "gthread",
        "workers": 2,
        "threads": 8,
        "when_ready": _say_ready,
        "errorlog": "-",
        "loglevel": "warning",
    }
    _Gunicorn(options).run()


def started_gateway(settings: Settings, kept: wiring.Stores) -> tuple[Gateway, Lines]:
    """The gateway, listening, and what machines reach through it."""
    gateway = wiring.gateway(settings, kept.usage)
    return gateway, Lines(llm=gateway.llm_dial, registry=gateway.registry_dial)


def serve_worker(settings: Settings) -> None:
    """Run builds until SIGTERM; what runs then is taken up by the next worker."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    wiring.require_accounts(settings)  # before somebody makes an App for a worker that cannot work
    with only_worker(settings.database_url):
        kept = wiring.stores(settings)
        settings = _configured(settings, kept, stop)
        if stop.is_set():
            return
        jobs = Jobs(settings.database_url)
        gateway, lines = started_gateway(settings, kept)
        rooms = wiring.rooms(settings, kept, lines, jobs)
        previews = Previews(rooms)
        desk, exhibits = Desk(rooms), Exhibits(rooms)
        intake = Intake(
            rooms,
            desk,
            trigger_label=settings.trigger_label,
            lifecycle=Lifecycle(rooms, previews, settings.trigger_label),
            outdate_preview=previews.outdate,
        )
        steps = Steps()
        engine = Engine(settings.database_url, concurrent_builds=settings.concurrent_builds)
        engine.launch(
            handle_event=lambda delivery: _handle(steps, intake, delivery),
            build=lambda run: build(rooms, steps, RunId(run)),
            end_preview=lambda run: steps.run("end_preview", lambda: previews.expire(RunId(run))),
            show_again=lambda order: _show_again(steps, desk, order),
            exhibit=lambda run: _exhibit(steps, exhibits, RunId(run)),
        )
        leftovers = wiring.reaper(settings, kept, wiring.provider(settings))
        run_every(stop, SWEEP_EVERY_S, "the sweep for leftovers", leftovers.sweep)
        run_every(stop, SWEEP_EVERY_S, "the sweep for old previews", previews.end_expired)
        missed = MissedWebhooks(rooms.github, kept.runs, rooms.now)
        run_every(stop, MISSED_EVERY_S, "the sweep for missed webhooks", missed.sweep)
        click.echo(json.dumps({"ready": True, "pid": os.getpid()}))
        sys.stdout.flush()
        stop.wait()
        _drain(engine, gateway)


def _configured(settings: Settings, kept: wiring.Stores, stop: threading.Event) -> Settings:
    """The settings with the App's identity: waits for set-up, if it has not been made."""
    said = False
    while not (found := configured(settings, kept.credentials)).github_app_id and not stop.is_set():
        if not said:
            log.warning(
                "there is no GitHub App yet: open %s/setup, or set GITHUB_APP_ID", settings.public_url
            )
            said = True
        stop.wait(CONFIGURED_EVERY_S)
    return found


def _handle(steps: Steps, intake: Intake, delivery: str) -> None:
    try:
        steps.run("handle_event", lambda: intake.handle(delivery), patience_s=EVENT_PATIENCE_S)
    except BotError as error:
        log.error("delivery %s: %s", delivery, error)
        intake.rooms.runs.note_outcome(delivery, f"failed: {error}")


def _show_again(steps: Steps, desk: Desk, order: str) -> None:
    try:
        steps.run("show_again", lambda: desk.show_again(order))
    except BotError as error:
        log.error("preview %s: %s", order, error)


def _exhibit(steps: Steps, exhibits: Exhibits, run: RunId) -> None:
    try:
        steps.run("exhibit", lambda: exhibits.add(run))
    except BotError as error:
        why = str(error)
        log.error("exhibits of build %s: %s", run, why)
        with contextlib.suppress(BotError):
            steps.run("no_exhibit", lambda: exhibits.give_up(run, why))


def _drain(engine: Engine, gateway: Gateway) -> None:
    """Stop taking work and leave: a step's thread may run for long, and the next worker repeats it anyway."""
    killer = threading.Timer(DRAIN_LIMIT_S, lambda: os._exit(0))
    killer.daemon = True
    killer.start()
    engine.stop()
    gateway.close()
    logging.shutdown()
    os._exit(0)
