"""Small measurements on agents that one process holds: how soon they are ready, answer and are heard, and what they cost."""

import os
import resource
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from bot.agents import rpc
from bot.agents.daemon import Daemon
from bot.agents.swarm import Swarm
from bot.bench.ground import Ground, board
from bot.bench.hand import Hand
from bot.bench.numbers import p50_p99
from bot.bench.wire import passed
from bot.core.errors import Permanent
from bot.core.models import AgentLabel, AgentState, RunId
from bot.local.model.conversation import CHARACTERS_PER_TOKEN
from bot.local.model.scenarios.board import MOST
from bot.pipeline.journal.snapshot import snapshot
from bot.vms.base import Shell

_ANSWER_LIMIT_S = 20.0
_WORK_LIMIT_S = 300.0
_LOOK_EVERY_S = 0.1
_USED = "ps -o rss=,cputimes= -u agent | awk '{r+=$1; c+=$2} END {print r, c}'"
"""On a machine: KiB and CPU seconds of everything that runs as the agent."""


@dataclass(frozen=True, slots=True)
class Held:
    """So many agents on one process. Seconds; `*_ms` are {p50, p99}; `*_mib` and `*_cpu_s` are per agent.

    Attributes:
        ready_s: from the order to spawn until pi listens on every machine.
        ack_ms: from handing a command to the line until pi's answer is read.
        event_ms: from pi's line on the machine until it is read.
        work_s: all agents at one task each, side by side.
        output_kb: what the model generated for them.
        bytes_per_kb: of TLS, both ways and everything included, per KB of that.
    """

    agents: int
    ready_s: float
    ack_ms: Mapping[str, float]
    event_ms: Mapping[str, float]
    work_s: float
    output_kb: float
    bytes_per_kb: float
    bot_mib: float
    bot_cpu_s: float
    machine_mib: float
    machine_cpu_s: float


def spawn(hand: Hand, count: int) -> float:
    """Seconds until so many are ready, on machines that are branched for it; they are gone on return."""
    swarm = hand.swarm(hand.new_run(f"{count} agents"))
    try:
        return _spawned(swarm, count)
    finally:
        swarm.teardown()


def hold(ground: Ground, hand: Hand, count: int, samples: int) -> Held:
    """Everything, on so many agents; they are gone on return.

    Args:
        ground: its model's ledger is asked.
        hand: has nothing else to do.
        count: how many agents.
        samples: commands per agent, one after another on each, side by side on all.
    """
    run = hand.new_run(f"{count} agents")
    before_mib, swarm = _own_mib(), hand.swarm(run)
    try:
        ready_s = _spawned(swarm, count)
        labels = _labels(count)
        probes = [Probe(swarm.shell_of(label)) for label in labels]
        _together(lambda probe: probe.ask(samples), probes)
        acks = [each for probe in probes for each in probe.ack_s]
        events = [each for probe in probes for each in probe.event_s]
        front = hand.settings.vers_front
        before, cpu_s, began = passed(front), time.process_time(), time.monotonic()
        _work(hand, swarm, run, labels)
        work_s, cpu_s, carried = time.monotonic() - began, time.process_time() - cpu_s, passed(front) - before
        output_kb = _output_kb(ground, run)
        used = [[float(word) for word in swarm.shell_of(label).run(_USED).text.split()] for label in labels]
        return Held(
            count,
            ready_s,
            p50_p99(acks),
            p50_p99(events),
            work_s,
            output_kb,
            carried / output_kb,
            (_own_mib() - before_mib) / count,
            cpu_s / count,
            sum(kib for kib, _ in used) / 1024 / count,
            sum(seconds for _, seconds in used) / count,
        )
    finally:
        swarm.teardown()


class Probe:
    """Asks a pi how it is, again and again, and reads its event file beside the swarm that does the same."""

    def __init__(self, shell: Shell) -> None:
        self.ack_s: list[float] = []
        self.event_s: list[float] = []
        self._shell = shell
        self._daemon = Daemon(shell)
        self._answered = threading.Condition()
        self._answers: dict[str, tuple[float, float]] = {}
        self._over = threading.Event()

    def ask(self, times: int) -> None:
        """So many commands, each after the answer to the one before.

        Raises:
            Permanent: an answer did not come.
        """
        offset = int(self._shell.run(f"stat -c %s {self._daemon.events}").text)
        thread = threading.Thread(target=self._listen, args=(offset,), daemon=True)
        thread.start()
        for number in range(times):
            name = f"bench-{number}"
            sent_s = time.monotonic()
            self._daemon.deliver(name, rpc.get_state(name))
            with self._answered:
                if not self._answered.wait_for(lambda name=name: name in self._answers, _ANSWER_LIMIT_S):  # type: ignore[misc]
                    raise Permanent(f"pi on {self._shell.vm} did not answer a command")
                written_s, heard_s = self._answers[name]
            self.ack_s.append(heard_s - sent_s)
            self.event_s.append(heard_s - written_s)
        self._over.set()
        thread.join()

    def _listen(self, offset: int) -> None:
        splitter = rpc.LineSplitter()
        for chunk in self._shell.follow(self._daemon.events, offset, idle_s=0.5):
            heard_s = time.monotonic()
            for line in splitter.feed(chunk):
                match rpc.parse(line):
                    case rpc.Stamped(written_s, rpc.Response(id=name)):
                        with self._answered:
                            self._answers[name] = (written_s, heard_s)
                            self._answered.notify_all()
                    case _:
                        pass
            if self._over.is_set():
                return


def _spawned(swarm: Swarm, count: int) -> float:
    swarm.take_orders()
    began = time.monotonic()
    _ordered(swarm, "spawn", {"count": count, "labels": _labels(count)})
    return time.monotonic() - began


def _labels(count: int) -> list[AgentLabel]:
    return [AgentLabel(f"tile-{number}") for number in range(1, count + 1)]


def _work(hand: Hand, swarm: Swarm, run: RunId, labels: Sequence[AgentLabel]) -> None:
    """Each agent writes one tile of the largest board."""
    task = f"Build your part of: {board(MOST).title}."
    for label in labels:
        _ordered(swarm, "task", {"agentId": label, "task": task})
    end, kept = time.monotonic() + _WORK_LIMIT_S, hand.kept
    while True:
        swarm.look()
        states = {a.label: a.state for a in snapshot(run, kept.runs, kept.fleet, kept.usage).agents}
        if all(states[label].ended for label in labels):
            break
        if time.monotonic() > end:
            raise Permanent(f"the agents did not end within {_WORK_LIMIT_S:g} s: {states}")
        time.sleep(_LOOK_EVERY_S)
    if bad := [f"{label} is {states[label]}" for label in labels if states[label] is not AgentState.DONE]:
        raise Permanent(f"not every agent finished its task: {', '.join(bad)}")


def _ordered(swarm: Swarm, verb: str, params: Mapping[str, Any]) -> str:
    given = {
        **params,
        "_folder": str(Path.cwd()),
    }  # an order comes from a folder; none of its files matter here
    outcome = swarm.order(f"bench-{verb}-{time.monotonic_ns()}", f"vers_swarm_{verb}", given)
    if not outcome["ok"]:
        raise Permanent(f"vers_swarm_{verb}: {outcome['text']}")
    return str(outcome["text"])


def _output_kb(ground: Ground, run: str) -> float:
    ledger = httpx.get(f"{ground.model['base_url']}/ledger").raise_for_status().json()
    tokens = sum(call["output_tokens"] for call in ledger if call["run"] == run)
    return float(tokens * CHARACTERS_PER_TOKEN / 1024)


def _together(do: Any, items: Sequence[Any]) -> None:
    failures: list[Exception] = []

    def guarded(item: Any) -> None:
        try:
            do(item)
        except Exception as error:  # noqa: BLE001 - raised below, in the caller's thread
            failures.append(error)

    threads = [threading.Thread(target=guarded, args=(item,), daemon=True) for item in items]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


def _own_mib() -> float:
    pages = int(Path(f"/proc/{os.getpid()}/statm").read_text().split()[1])
    return pages * resource.getpagesize() / (1 << 20)
