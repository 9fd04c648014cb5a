"""`swarm-bot tools`: the swarm's tools for a pi on this computer, as JSON lines on standard input and output."""

import json
import sys
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any

from bot.cli import wiring
from bot.cli.swarm import begin_swarm, is_served, journal
from bot.cli.swarm_server import ask, find_swarm
from bot.core.errors import BotError, UserError
from bot.core.models import RunId

_BEGINS = ("vers_swarm_spawn", "vers_swarm_pool", "vers_vm_create")
"""Tools that need no swarm before them."""
_CALLS_AT_ONCE = 16
_LIMIT_S = 24 * 3600.0
"""A call has its own limits, and pi can give it up; this is for a process that hangs."""


class ToolLine:
    """Serves one pi. Lines in: {id, tool, params} and {id, cancel}; lines out: {id, ok, text}, in any order."""

    def __init__(
        self, kept: wiring.Stores, folder: Path, begin: Callable[[], RunId], name: str, out: IO[str]
    ) -> None:
        """
        Args:
            kept: the journal.
            folder: pi's; a swarm belongs to the folder that it was begun in, and its files go there.
            begin: starts a swarm.
            name: the swarm to use whatever the folder; "" for that of the folder.
            out: where answers go.
        """
        self._kept = kept
        self._folder = folder
        self._begin = begin
        self._name = name
        self._out = out
        self._writing = threading.Lock()
        self._beginning = threading.Lock()
        self._given_up: dict[str, threading.Event] = {}
        self._pool = ThreadPoolExecutor(_CALLS_AT_ONCE, thread_name_prefix="call")

    def serve(self, lines: IO[str]) -> None:
        """Until pi closes its end. The swarm goes on."""
        for line in lines:
            given = json.loads(line)
            if given.get("cancel"):
                if gone := self._given_up.get(given["id"]):
                    gone.set()
                continue
            self._given_up[given["id"]] = threading.Event()
            self._pool.submit(self._answer, given["id"], given["tool"], given["params"])
        for gone in list(self._given_up.values()):
            gone.set()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _answer(self, call: str, tool: str, params: Mapping[str, Any]) -> None:
        try:
            outcome = {"ok": True, "text": self._execute(tool, params, self._given_up[call].is_set)}
        except BotError as error:
            outcome = {"ok": False, "text": str(error)}
        except Exception as error:  # noqa: BLE001 - whatever it is, pi must not wait for ever
            outcome = {"ok": False, "text": f"{tool} failed ({type(error).__name__}: {error})"}
        self._given_up.pop(call, None)
        with self._writing:
            self._out.write(json.dumps({"id": call, **outcome}) + "\n")  # ASCII: no line end inside
            self._out.flush()

    def _execute(self, tool: str, params: Mapping[str, Any], given_up: Callable[[], bool]) -> str:
        run = self._swarm(tool)
        given = {name: value for name, value in params.items() if not name.startswith("_")}
        return ask(
            self._kept, run, tool, given, folder=self._folder, timeout_s=_LIMIT_S, given_up=given_up,
            alive=lambda: is_served(self._kept.runs.get(run)),
        )  # fmt: skip

    def _swarm(self, tool: str) -> RunId:
        with self._beginning:  # two first calls at once begin one swarm
            try:
                found = find_swarm(self._kept, self._name, str(self._folder))
                if self._name or is_served(found) or tool not in _BEGINS:
                    return found.id
            except UserError:
                if self._name:
                    raise
            if tool not in _BEGINS:
                raise UserError("There is no swarm yet: vers_swarm_spawn begins one.")
            return self._begin()


def serve(name: str, *, local: bool, rate: float) -> None:
    """Serve the pi at the other end of the standard streams until it closes them."""
    with journal() as kept:
        line = ToolLine(kept, Path.cwd(), lambda: begin_swarm(kept, local=local, rate=rate), name, sys.stdout)
        line.serve(sys.stdin)
