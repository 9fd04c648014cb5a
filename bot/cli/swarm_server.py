"""A swarm that a person drives: one process holds the lines and the gateway; commands reach it through the journal."""

import secrets
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bot.agents.outside import Outside
from bot.agents.swarm import Swarm
from bot.cli.wiring import Stores
from bot.core.errors import BotError, Cancelled, UserError
from bot.core.models import BuildRequest, Options, Phase, Repo, RunId, RunState
from bot.pipeline.folder import plan_by_hand
from bot.pipeline.journal.runs import Run
from bot.pipeline.rooms import Rooms

ORDER, ANSWER, WITHDRAWN = "order", "answer", "withdrawn"
"""Kinds of run events: what a command wants, what came of it, and that nobody waits for it any more."""
TEARDOWN = "vers_swarm_teardown"
REPO = "here/swarm"
_LOOK_EVERY_S = 0.1


def new_swarm(kept: Stores, run: RunId) -> None:
    """A row for a swarm; a known one stays."""
    kept.runs.create(run, BuildRequest(Repo(REPO, 0, 0), 0, "a swarm by hand", "", "operator", run))


def find_swarm(kept: Stores, name: str, folder: str = "") -> Run:
    """The swarm of this id, or the youngest that has not ended; with `folder`, only those that were begun there.

    Raises:
        UserError: there is none.
    """
    alive = [run for run in kept.runs.active() if run.request.repo.full_name == REPO]
    found = [
        run
        for run in alive
        if (run.id == name if name else not folder or run.result.get("begun_in") == folder)
    ]
    if not found:
        raise UserError(
            f"There is no swarm {name} at work."
            if name
            else "There is no swarm: `swarm-bot swarm spawn` begins one."
        )
    return max(found, key=lambda run: run.created_at)


def ask(
    kept: Stores,
    run: RunId,
    tool: str,
    params: Mapping[str, Any],
    *,
    folder: Path,
    alive: Callable[[], bool],
    timeout_s: float,
    given_up: Callable[[], bool] = lambda: False,
) -> str:
    """Give an order to the process that serves a swarm, and wait for what came of it.

    Args:
        kept: the journal that this process shares with that one.
        run: the swarm.
        tool: what an architect would call.
        params: with what.
        folder: stands for an architect's workspace.
        alive: whether the process that serves the swarm lives.
        timeout_s: how long to wait.
        given_up: whether the caller has lost interest, which ends what the order does.

    Raises:
        UserError: it was refused, or nobody serves the swarm, or no answer came in time.
    """
    order = secrets.token_hex(8)
    seen = 0
    kept.runs.record(run, ORDER, id=order, tool=tool, params={**params, "_folder": str(folder.absolute())})
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        for event in kept.runs.events(run, seen):
            seen = event.seq
            if event.kind == ANSWER and event.data["id"] == order:
                if not event.data["ok"]:
                    raise UserError(str(event.data["text"]))
                return str(event.data["text"])
        if not alive():
            raise UserError(
                f"The process that served swarm {run} has ended: `swarm-bot swarm teardown` cleans up."
            )
        if given_up():
            kept.runs.record(run, WITHDRAWN, id=order)
            raise UserError("the call was cancelled")
        time.sleep(_LOOK_EVERY_S)
    kept.runs.record(run, WITHDRAWN, id=order)
    raise UserError(
        f"swarm {run} did not answer within {timeout_s:g} s, and the order is withdrawn: `swarm-bot swarm status` shows what "
        "came of it until then"
    )


@dataclass(slots=True)
class SwarmServer:
    """Serves one swarm until it is cancelled, torn down to the last machine, or `stop` is set; its machines go with it."""

    run: RunId
    kept: Stores
    rooms: Rooms
    stop: threading.Event
    _torn_down: threading.Event = field(default_factory=threading.Event)
    _over: set[str] = field(default_factory=set)

    def serve(self) -> None:
        """
        Raises:
            BotError: there is no golden image, or a machine could not be deleted.
        """
        runs = self.kept.runs
        try:
            golden = self.rooms.golden.ensure(self._note)
            runs.check_cancelled(self.run)
        except BotError as error:  # nothing is left: who makes an image deletes what it is made on
            stopped = isinstance(error, Cancelled)
            runs.end(self.run, RunState.CANCELLED if stopped else RunState.FAILED, str(error))
            if stopped:
                return
            raise
        deadline = self.rooms.now() + self.rooms.limits.run_minutes * 60
        plan = plan_by_hand(self.rooms, Options())
        swarm = self.rooms.make_swarm(self.run, golden, deadline, plan, Outside())
        reason = "it was torn down"
        try:
            swarm.take_orders()
            runs.enter(self.run, Phase.SWARM)
            reason = self._obey(swarm, deadline)
        finally:
            swarm.teardown()
            runs.end(self.run, RunState.CANCELLED, reason)

    def _note(self, text: str) -> None:
        """Also the moments at which the making of an image can be given up."""
        self.kept.runs.check_cancelled(self.run)
        if self.stop.is_set():
            raise Cancelled("its process was ended")
        self.kept.runs.record(self.run, "note", text=text)

    def _obey(self, swarm: Swarm, deadline: float) -> str:
        seen = 0
        self._over |= {e.data["id"] for e in self.kept.runs.events(self.run) if e.kind in (ANSWER, WITHDRAWN)}
        pool = ThreadPoolExecutor(16, thread_name_prefix="order")
        try:
            while not self.stop.wait(_LOOK_EVERY_S):
                if reason := self.kept.runs.cancellation(self.run):
                    return reason
                if self.rooms.now() > deadline:
                    return "its time was up (RUN_MINUTES)"
                if self._torn_down.is_set() and not self.kept.fleet.machines(self.run):
                    return "its last machine was removed"  # which goes on after the answer
                swarm.look()
                for event in self.kept.runs.events(self.run, seen):
                    seen = event.seq
                    if event.kind == ORDER and event.data["id"] not in self._over:
                        pool.submit(self._execute, swarm, event.data)
                    elif event.kind == WITHDRAWN:
                        self._over.add(event.data["id"])  # it may still wait for a thread
                        swarm.withdraw(event.data["id"])
            return "its process was ended"
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def _execute(self, swarm: Swarm, order: Mapping[str, Any]) -> None:
        if order["id"] in self._over:
            return
        try:
            outcome = swarm.order(order["id"], order["tool"], order["params"])
        except BotError as error:
            outcome = {"ok": False, "text": str(error)}
        self.kept.runs.record(self.run, ANSWER, id=order["id"], **outcome)
        if order["tool"] == TEARDOWN and outcome["ok"]:
            self._torn_down.set()
