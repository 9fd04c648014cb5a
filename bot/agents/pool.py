"""`vers_swarm_pool`: many independent items, a few workers, each item given once."""

import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from bot.agents import params
from bot.agents.calls import Heed
from bot.agents.gather import Gather
from bot.agents.home import Homes
from bot.agents.roster import Roster
from bot.agents.spawning import POOL, Spawning
from bot.agents.tasking import Tasking
from bot.core.errors import BotError, Cancelled, UserError
from bot.core.models import AgentLabel, AgentState
from bot.pipeline.journal.fleet import Fleet, ToolCall

_WORDS = 300
_LOOK_EVERY_S = 0.5
_FREE = (AgentState.IDLE, AgentState.DONE, AgentState.FAILED)


class Pool:
    """Runs a pool until its items are through. What was done is read from the workers' event files, so that the same pool,
    called again after a message or after a restart of ours, goes on where it was.
    """

    def __init__(
        self,
        *,
        fleet: Fleet,
        roster: Roster,
        spawning: Spawning,
        tasking: Tasking,
        gather: Gather,
        homes: Homes,
        stopping: threading.Event,
        message_for: Callable[[AgentLabel], bool],
        pending: Callable[[Iterable[AgentLabel]], bool],
    ) -> None:
        """`message_for` tells whether an agent should come out of its call and listen, `pending` whether one of these is
        lost and about to be replaced.
        """
        self._fleet = fleet
        self._roster = roster
        self._spawning = spawning
        self._tasking = tasking
        self._gather = gather
        self._homes = homes
        self._stopping = stopping
        self._message_for = message_for
        self._pending = pending

    def plan(self, given: Mapping[str, Any]) -> Mapping[str, Any]:
        """The pool's workers and its name, fixed once; those of the same pool if it was called before."""
        wanted = {name: given.get(name) for name in ("items", "task", "size")}
        pools = [call for call in self._fleet.calls(self._roster.run) if call.tool == POOL]
        for call in pools:
            if "_labels" in call.params and wanted == {name: call.params.get(name) for name in wanted}:
                return {name: call.params[name] for name in ("_labels", "_profile", "_pool")}
        try:
            wish = params.read(params.Pool, given)
            if len(set(wish.items)) != len(wish.items):
                raise UserError("items: an item is there twice; give each once.")
        except UserError as refusal:
            return {"_refusal": str(refusal)}
        number = len(pools) + 1
        labels = [f"pool-{number}-{n}" for n in range(1, min(wish.size, len(wish.items)) + 1)]
        return {"_pool": str(number), **self._spawning.plan({"count": len(labels), "labels": labels})}

    def execute(self, call: ToolCall, heed: Heed) -> str:
        """Hand out the items; returns when all are through, nobody is left to work, or the caller has a message."""
        self._spawning.execute(call)
        wish, home = params.read(params.Pool, call.params), self._homes.of(call)
        labels = [AgentLabel(label) for label in call.params["_labels"]]
        items = {f"pool-{call.params['_pool']}-{n}": item for n, item in enumerate(wish.items, 1)}
        given: dict[str, AgentLabel] = {}
        failed: dict[str, str] = {}
        while True:
            if self._stopping.is_set():
                raise Cancelled("the build is ending")
            heed.check()
            done = self._done(labels)
            self._forget(given, done)
            self._note(labels, given, failed, done)
            waiting = [name for name in items if name not in {*given, *failed, *done}]
            free = self._free(labels, {given[name] for name in given if name not in {*failed, *done}})
            for name, label in zip(waiting, free, strict=False):
                given[name] = label
                try:
                    self._tasking.give(label, name, _text(wish.task, items[name]), home.spec())
                except BotError as error:
                    failed[name] = str(error)
            through = all(name in failed or name in done for name in items)
            message = self._message_for(call.agent)
            if through or message or not self._anybody(labels):
                if message and not through:
                    return _report(items, done, failed, message=True)
                files = self._gather(labels, home)
                return "\n".join([_report(items, done, failed, message=False), files])
            self._roster.wait(_LOOK_EVERY_S)

    def _done(self, labels: list[AgentLabel]) -> dict[str, tuple[AgentLabel, str, str]]:
        """Items that came to an end: who had them, its last words, and why it failed if it did."""
        done = {}
        for label in labels:
            watch = self._roster.watch(label)
            for name, (text, trouble) in (watch.progress.finished if watch else {}).items():
                done[name] = (label, text, trouble)
        return done

    def _note(
        self,
        labels: list[AgentLabel],
        given: dict[str, AgentLabel],
        failed: dict[str, str],
        done: Mapping[str, object],
    ) -> None:
        for label in labels:
            view, watch = self._roster.view(label), self._roster.watch(label)
            for name in watch.progress.accepted if watch else ():
                given.setdefault(name, label)
            over = view.state in (AgentState.FAILED, AgentState.LOST) and (watch is None or watch.ended)
            if over and not self._pending([label]):
                for name, who in given.items():
                    if who == label and name not in done:
                        failed.setdefault(name, f"{label} is {view.state}: {view.reason}")

    def _forget(self, given: dict[str, AgentLabel], done: Mapping[str, object]) -> None:
        """What a lost worker had is to be done again: the one in its place knows nothing of it, and its files are gone."""
        for name, label in list(given.items()):
            watch = self._roster.watch(label)
            if watch is not None and not watch.ended and name not in done and not watch.knows(name):
                del given[name]

    def _free(self, labels: list[AgentLabel], busy: set[AgentLabel]) -> list[AgentLabel]:
        views = {view.label: view for view in self._roster.views(labels)}
        watches = {label: self._roster.watch(label) for label in labels}
        return [
            label
            for label, watch in watches.items()
            if watch is not None and not watch.ended and label not in busy and views[label].state in _FREE
        ]

    def _anybody(self, labels: list[AgentLabel]) -> bool:
        views = self._roster.views(labels)
        watches = [self._roster.watch(label) for label in labels]
        return (
            any(watch is not None and not watch.ended for watch in watches)
            or any(view.state is AgentState.STARTING for view in views)
            or self._pending(labels)
        )


def _report(
    items: Mapping[str, str],
    done: Mapping[str, tuple[AgentLabel, str, str]],
    failed: Mapping[str, str],
    *,
    message: bool,
) -> str:
    good, bad, left = [], [], []
    for name, item in items.items():
        if name in done and not done[name][2]:
            label, text, _ = done[name]
            good.append(f"done: {item} ({label}): {' '.join(text.split())[:_WORDS]}")
        elif name in done:
            bad.append(f"failed: {item} ({done[name][0]}): {done[name][2]}")
        elif name in failed:
            bad.append(f"failed: {item}: {failed[name]}")
        else:
            left.append(f"not done: {item}")
    lines = [f"{len(good)} of {len(items)} items done, {len(bad)} failed, {len(left)} left."]
    if message:
        again = "Heed it, then call vers_swarm_pool with the same parameters: the pool goes on."
        return "\n".join([*lines, f"There is a message for you, which comes next. {again}", *bad])
    return "\n".join([*lines, *bad, *left, *good])


def _text(task: str, item: str) -> str:
    return task.replace("{item}", item) if "{item}" in task else f"{task}\n\nItem: {item}"
