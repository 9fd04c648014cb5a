"""`swarm-bot swarm …`: a swarm that a person drives instead of an architect."""

import json
import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import click

from bot.agents.params import LONGEST_WAIT_S
from bot.cli import wiring
from bot.cli.burying import bury, bury_the_dead
from bot.cli.living import lives, process_facts
from bot.cli.place import as_json, operators_deployment, with_journal
from bot.cli.processes import swarm_bot
from bot.cli.run import settings_and_model
from bot.cli.serve import started_gateway
from bot.cli.swarm_server import TEARDOWN, SwarmServer, ask, find_swarm, new_swarm
from bot.cli.tables import note, print_fact, print_rows
from bot.core.errors import UserError
from bot.core.models import Phase, RunId, RunState
from bot.pipeline.engine import Jobs
from bot.pipeline.folder import NoGitHub
from bot.pipeline.journal.fleet import AgentRow
from bot.pipeline.journal.runs import Run
from bot.pipeline.journal.snapshot import snapshot
from bot.settings import load_settings

_START_LIMIT_S, _SPAWN_LIMIT_S, _ORDER_LIMIT_S, _END_LIMIT_S = 1800.0, 300.0, 120.0, 180.0
_LOOK_EVERY_S = 0.1
_which = click.option("--swarm", "name", default="", help="Its id; the youngest one without it.")


@click.group()
def commands() -> None:
    """A swarm that a person drives."""


@contextmanager
def journal() -> Iterator[wiring.Stores]:
    """The stores that all of these commands share."""
    kept = wiring.stores(with_journal(load_settings()))
    try:
        yield kept
    finally:
        kept.database.dispose()


@commands.command()
@click.option(
    "--local", is_flag=True, help="On a local Vers; the model is scripted if there is no ANTHROPIC_API_KEY."
)
@click.option("--rate", default=80.0, show_default=True, help="Tokens per second of the scripted model.")
@click.option("--swarm", "name", default="", help="Its id; a new one without it.")
def serve(name: str, *, local: bool, rate: float) -> None:
    """Hold a swarm's lines and its gateway in the foreground. Its agents and machines end with this process."""
    run = RunId(name or secrets.token_hex(6))
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with settings_and_model(local=local, rate=rate) as given:
        settings = with_journal(given)
        bury_the_dead(settings, lives)
        kept = wiring.stores(settings)
        gateway, lines = started_gateway(settings, kept)
        try:
            new_swarm(kept, run)
            kept.runs.keep(run, **process_facts(), vers=settings.vers_url)
            kept.runs.enter(run, Phase.PREPARE)
            label = operators_deployment(settings)
            rooms = wiring.rooms(
                settings, kept, lines, Jobs(settings.database_url), github=NoGitHub(), label=label
            )
            click.echo(json.dumps({"swarm": run, "pid": os.getpid()}))
            sys.stdout.flush()
            SwarmServer(run, kept, rooms, stop).serve()
        finally:
            gateway.close()
            kept.database.dispose()


@commands.command()
@click.argument("count", type=click.IntRange(1, 50))
@click.option("--label", "labels", multiple=True, help="A worker's name; once for each.")
@click.option("--local", is_flag=True, help="On a local Vers.")
@click.option("--rate", default=80.0, show_default=True, help="Tokens per second of the scripted model.")
@_which
@as_json
def spawn(count: int, *, labels: tuple[str, ...], local: bool, rate: float, name: str, as_json: bool) -> None:
    """Spawn COUNT workers; without a swarm, one begins, and a process in the background serves it."""
    with journal() as kept:
        run = _found_or_begun(kept, name, local=local, rate=rate)
        params = {"count": count, **({"labels": list(labels)} if labels else {})}
        _order(kept, run, "vers_swarm_spawn", params, _SPAWN_LIMIT_S, quiet=True, as_json=as_json)
        _show(kept, run, as_json=as_json)


def _found_or_begun(kept: wiring.Stores, name: str, *, local: bool, rate: float) -> RunId:
    """A swarm that takes orders; somebody else may have begun it a moment ago."""
    try:
        found = find_swarm(kept, name)
    except UserError:
        if name:
            raise
        return begin_swarm(kept, local=local, rate=rate)
    if found.phase is not Phase.SWARM and is_served(found):
        await_served(kept, found.id, lambda: is_served(kept.runs.get(found.id)), _START_LIMIT_S)
    return found.id


@commands.command()
@click.argument("agent")
@click.argument("task")
@_which
@as_json
def task(agent: str, task: str, *, name: str, as_json: bool) -> None:
    """Give AGENT a TASK (`-`: read it from standard input)."""
    text = sys.stdin.read() if task == "-" else task
    with journal() as kept:
        run = find_swarm(kept, name).id
        _order(
            kept, run, "vers_swarm_task", {"agentId": agent, "task": text}, _ORDER_LIMIT_S, as_json=as_json
        )


@commands.command()
@_which
@as_json
def status(*, name: str, as_json: bool) -> None:
    """How the agents are."""
    with journal() as kept:
        _show(kept, find_swarm(kept, name).id, as_json=as_json)


@commands.command()
@click.argument("agent")
@click.option("--tail", default=4000, show_default=True, type=click.IntRange(1, 20000), help="Characters.")
@_which
@as_json
def read(agent: str, *, tail: int, name: str, as_json: bool) -> None:
    """The last words of AGENT."""
    with journal() as kept:
        run = find_swarm(kept, name).id
        _order(
            kept, run, "vers_swarm_read", {"agentId": agent, "tail": tail}, _ORDER_LIMIT_S, as_json=as_json
        )


@commands.command()
@click.argument("agents", nargs=-1)
@click.option("--timeout", "timeout_s", default=300.0, show_default=True, help="Seconds.")
@_which
@as_json
def wait(agents: tuple[str, ...], *, timeout_s: float, name: str, as_json: bool) -> None:
    """Wait until AGENTS (all that have a task, without any) have ended; status 1 unless all are done."""
    with journal() as kept:
        run = find_swarm(kept, name).id
        _wait(kept, run, agents, timeout_s, as_json=as_json)
        _show(kept, run, as_json=as_json)
        chosen = _chosen(kept, run, agents)
        sys.exit(0 if chosen and all(row.state == "done" for row in chosen) else 1)


def _wait(
    kept: wiring.Stores, run: RunId, agents: Collection[str], timeout_s: float, *, as_json: bool
) -> None:
    """One call waits for a limited time, and ends with news of one of them: it is made until all have ended."""
    end, told = time.monotonic() + timeout_s, ""
    while True:
        left_s = max(end - time.monotonic(), 0.0)
        wish = {
            "timeoutSeconds": min(left_s, LONGEST_WAIT_S),
            **({"agentIds": list(agents)} if agents else {}),
        }
        text = _order(
            kept, run, "vers_swarm_wait", wish, LONGEST_WAIT_S + _ORDER_LIMIT_S, quiet=True, as_json=as_json
        )
        if not as_json and text.partition("\n")[0] != told:
            told = text.partition("\n")[0]
            note(told)
        if not left_s or all(row.state.ended for row in _chosen(kept, run, agents) if row.tasks):
            return
        time.sleep(_LOOK_EVERY_S)  # their states are written down a moment after they are known


def _chosen(kept: wiring.Stores, run: RunId, agents: Collection[str]) -> list[AgentRow]:
    return [row for row in kept.fleet.agents(run) if (row.agent in agents if agents else row.tasks)]


@commands.command("collect")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.argument("agents", nargs=-1)
@click.option("--prefer", default="", help="Whose file counts where two have one of the same name.")
@_which
@as_json
def collect_(folder: Path, agents: tuple[str, ...], *, prefer: str, name: str, as_json: bool) -> None:
    """Fetch the files of AGENTS (all of them, without any) into FOLDER."""
    with journal() as kept:
        run = find_swarm(kept, name).id
        wish = {"agentIds": list(agents) or None, "prefer": prefer or None}
        _order(kept, run, "vers_swarm_collect", wish, _SPAWN_LIMIT_S, as_json=as_json, folder=folder)


@commands.command()
@click.argument("agents", nargs=-1)
@_which
@as_json
def teardown(agents: tuple[str, ...], *, name: str, as_json: bool) -> None:
    """Delete AGENTS with their machines; without any, the whole swarm and its process."""
    with journal() as kept:
        found = find_swarm(kept, name)
        if agents:
            wish = {"agentIds": list(agents)}
            _order(kept, found.id, TEARDOWN, wish, _ORDER_LIMIT_S, as_json=as_json)
            return
        kept.runs.cancel(found.id, "operator", "torn down")
        if not _ends_itself(kept, found.id):
            bury(load_settings(), kept, kept.runs.get(found.id))
            kept.runs.end(found.id, RunState.CANCELLED, "torn down after its process was killed")
        print_fact(f"swarm {found.id} is gone", {"swarm": found.id}, as_json=as_json)


def begin_swarm(kept: wiring.Stores, *, local: bool, rate: float) -> RunId:
    """Start a process that serves a new swarm and outlives this one.

    Raises:
        UserError: it ended at once; with its last words.
    """
    settings = load_settings()
    run = RunId(secrets.token_hex(6))
    log = settings.swarm_cache / "runs" / f"{run}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    words = swarm_bot("swarm", "serve", "--swarm", run, "--rate", str(rate), *(["--local"] if local else []))
    with log.open("ab") as output:
        process = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
    try:
        await_served(kept, run, lambda: process.poll() is None, _START_LIMIT_S)
    except UserError as error:
        raise UserError(f"{error}:\n{log.read_text(errors='replace')[-2000:]}") from error
    kept.runs.keep(run, begun_in=str(Path.cwd()))
    note(f"swarm {run} is served by process {process.pid}; its log is {log}")
    return run


def await_served(kept: wiring.Stores, run: RunId, alive: Callable[[], bool], limit_s: float) -> None:
    """Wait until a swarm takes orders, and say what is done until then: its image may have to be built first.

    Raises:
        UserError: its process has ended, or takes longer than `limit_s`.
    """
    end, seen = time.monotonic() + limit_s, 0
    while time.monotonic() < end:
        served = any(each.id == run and each.phase is Phase.SWARM for each in kept.runs.active())
        for event in kept.runs.events(run, seen):
            seen = event.seq
            if event.kind == "note":
                note(str(event.data["text"]))
        if served:
            return
        if not alive():
            raise UserError("the swarm could not be started")
        time.sleep(_LOOK_EVERY_S)
    raise UserError(f"the swarm takes no orders after {limit_s:g} s")


def _order(
    kept: wiring.Stores, run: RunId, tool: str, params: Mapping[str, object], limit_s: float, *, as_json: bool,
    quiet: bool = False, folder: Path = Path(),
) -> str:  # fmt: skip
    text = ask(
        kept, run, tool, params, folder=folder, alive=lambda: is_served(kept.runs.get(run)), timeout_s=limit_s
    )
    if not quiet:
        print_fact(text, {"swarm": run, "text": text}, as_json=as_json)
    return text


def is_served(run: Run) -> bool:
    """Whether the process lives that serves a swarm."""
    return not run.state.ended and lives(run.result)


def _ends_itself(kept: wiring.Stores, run: RunId) -> bool:
    """Wait for the end of a swarm that was cancelled; False if nobody serves it.

    Raises:
        UserError: it takes too long.
    """
    end = time.monotonic() + _END_LIMIT_S
    while time.monotonic() < end:
        served = lives(kept.runs.get(run).result)
        if kept.runs.get(run).state.ended:
            return True
        if not served:
            return False
        time.sleep(_LOOK_EVERY_S)
    raise UserError(f"swarm {run} is not gone after {_END_LIMIT_S:g} s; see `swarm-bot vm list`")


def _show(kept: wiring.Stores, run: RunId, *, as_json: bool) -> None:
    seen = snapshot(run, kept.runs, kept.fleet, kept.usage)
    rows = [
        {
            "agent": each.label, "state": str(each.state), "machine": each.vm, "doing": each.doing,
            "reason": each.reason, "cost_usd": round(each.tokens.cost_microusd / 1e6, 6), "swarm": run,
        }
        for each in seen.agents
        if each.role == "worker"
    ]  # fmt: skip
    columns = ("agent", "state", "machine", "doing", "reason", "cost_usd")
    print_rows(rows, columns, as_json=as_json, empty="No agents.")
