"""A swarm that a person drives: one process holds the lines and the gateway; commands reach it through the journal."""

import secrets
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bot.agents import collect
from bot.agents.lines import WORKSPACE
from bot.agents.outside import Outside
from bot.agents.swarm import Swarm
from bot.cli.wiring import Stores
from bot.core import artifacts
from bot.core.errors import BotError, UserError
from bot.core.models import AgentLabel, BuildRequest, Options, Repo, Role, RunId, RunState
from bot.pipeline.folder import plan_by_hand
from bot.pipeline.journal.runs import Run
from bot.pipeline.rooms import Rooms

ORDER, ANSWER = "order", "answer"
"""Kinds of run events: what a command wants, and what came of it."""
COLLECT = "collect"
REPO = "here/swarm"
_LOOK_EVERY_S = 0.2


def new_swarm(kept: Stores, run: RunId) -> None:
    """A row for a swarm; a known one stays."""
    kept.runs.create(run, BuildRequest(Repo(REPO, 0, 0), 0, "a swarm by hand", "", "operator", run))


def find_swarm(kept: Stores, name: str) -> Run:
    """The swarm of this id, or the youngest that has not ended.

    Raises:
        UserError: there is none.
    """
    alive = [run for run in kept.runs.active() if run.request.repo.full_name == REPO]
    found = [run for run in alive if run.id == name or not name]
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
    alive: Callable[[], bool],
    timeout_s: float,
) -> str:
    """Give an order to the process that serves a swarm, and wait for what came of it.

    Raises:
        UserError: it was refused, or nobody serves the swarm, or no answer came in time.
    """
    order = secrets.token_hex(8)
    kept.runs.record(run, ORDER, id=order, tool=tool, params=dict(params))
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        for event in kept.runs.events(run):
            if event.kind == ANSWER and event.data["id"] == order:
                if not event.data["ok"]:
                    raise UserError(str(event.data["text"]))
                return str(event.data["text"])
        if not alive():
            raise UserError(
                f"The process that served swarm {run} has ended: `swarm-bot swarm teardown` cleans up."
            )
        time.sleep(_LOOK_EVERY_S)
    raise UserError(f"swarm {run} did not answer within {timeout_s:g} s")


@dataclass(slots=True)
class SwarmServer:
    """Serves one swarm until it is cancelled or `stop` is set; its machines go with it."""

    run: RunId
    kept: Stores
    rooms: Rooms
    stop: threading.Event

    def serve(self) -> None:
        """
        Raises:
            BotError: there is no golden image, or a machine could not be deleted.
        """
        runs = self.kept.runs
        golden = self.rooms.golden.ensure(lambda text: runs.record(self.run, "note", text=text))
        deadline = self.rooms.now() + self.rooms.limits.run_minutes * 60
        plan = plan_by_hand(self.rooms, Options())
        swarm = self.rooms.make_swarm(self.run, golden, deadline, plan, Outside())
        reason = "it was torn down"
        try:
            swarm.take_orders()
            reason = self._obey(swarm, deadline)
        finally:
            swarm.teardown()
            runs.end(self.run, RunState.CANCELLED, reason)

    def _obey(self, swarm: Swarm, deadline: float) -> str:
        seen = 0
        answered = {e.data["id"] for e in self.kept.runs.events(self.run) if e.kind == ANSWER}
        pool = ThreadPoolExecutor(16, thread_name_prefix="order")
        try:
            while not self.stop.wait(_LOOK_EVERY_S):
                if reason := self.kept.runs.cancellation(self.run):
                    return reason
                if self.rooms.now() > deadline:
                    return "its time was up (RUN_MINUTES)"
                swarm.look()
                for event in self.kept.runs.events(self.run, seen):
                    seen = event.seq
                    if event.kind == ORDER and event.data["id"] not in answered:
                        pool.submit(self._execute, swarm, event.data)
            return "its process was ended"
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def _execute(self, swarm: Swarm, order: Mapping[str, Any]) -> None:
        try:
            if order["tool"] == COLLECT:
                outcome = {"ok": True, "text": self._collect(swarm, order["params"])}
            else:
                outcome = swarm.order(order["id"], order["tool"], order["params"])
        except BotError as error:
            outcome = {"ok": False, "text": str(error)}
        self.kept.runs.record(self.run, ANSWER, id=order["id"], **outcome)

    def _collect(self, swarm: Swarm, wish: Mapping[str, Any]) -> str:
        """The workers' files, inspected as a build's are, into a folder of this computer."""
        workers = [row.agent for row in self.kept.fleet.agents(self.run) if row.role is Role.WORKER]
        labels = [AgentLabel(name) for name in wish["agents"]] or workers
        if unknown := [label for label in labels if label not in workers]:
            raise UserError(f"There is no agent {unknown[0]!r}. The agents are: {', '.join(workers)}.")
        found = [
            (label, artifacts.inspect(swarm.shell_of(label).read_tree(WORKSPACE, exclude=artifacts.exclude_patterns())))
            for label in labels
        ]  # fmt: skip
        prefer = AgentLabel(wish["prefer"]) if wish["prefer"] else None
        merged = collect.merge(found, paths=[], destination="", prefer=prefer)
        folder = Path(wish["folder"])
        for name, file in merged.files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(file.content)
            path.chmod(file.mode & 0o777)
        told = collect.report(merged, "").splitlines()[1:]
        return "\n".join([f"{len(merged.files)} files were copied into {folder}.", *told])
