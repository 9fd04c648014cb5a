"""The shortest time in which a build could have been done: what overhead is measured against.

The longest path through what really happened, with everything that is ours taken to cost nothing. Nodes are model
calls at their ideal length, commands that agents ran, and the app's installation and start. An edge says that
something could not begin before something else had ended:

    brief ──▶ architect's first call
    a call ──▶ the commands that it asked for ──▶ the same agent's next call
    the architect's call that gave a task ──▶ that worker's first call after it
    an awaited worker's last node ──▶ the architect's call after the wait
    the architect's last node ──▶ install ──▶ start

Machines, SSH, polling, copying and GitHub have no nodes: they are overhead.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bot.core.models import AgentLabel

ARCHITECT = AgentLabel("architect")
BRIEF = AgentLabel("brief")


@dataclass(frozen=True, slots=True)
class ModelCall:
    """One answered call, as the model's ledger has it. All times here are seconds on one clock."""

    agent: AgentLabel
    started: float
    ended: float
    output_tokens: int


@dataclass(frozen=True, slots=True)
class Command:
    """A tool that an agent ran on its own machine."""

    agent: AgentLabel
    started: float
    ended: float


@dataclass(frozen=True, slots=True)
class Task:
    """The architect gave this worker a task."""

    agent: AgentLabel
    at: float


@dataclass(frozen=True, slots=True)
class Wait:
    """The architect waited for these workers."""

    agents: tuple[AgentLabel, ...]
    started: float
    ended: float


@dataclass(frozen=True, slots=True)
class Course:
    """What happened in one build, as far as it has nodes or edges here.

    Attributes:
        calls: the whole run's calls; the one that reads the issue has the agent "brief".
        commands: of all agents, without the swarm's own tools.
        tasks: given by the architect.
        waits: of the architect; one that ran into its time limit is followed by another.
        install_s: what installing took on the clean machine.
        start_s: from the app's start to its first answer.
        ttft_s: the model's time to first token.
    """

    calls: Sequence[ModelCall]
    commands: Sequence[Command]
    tasks: Sequence[Task] = ()
    waits: Sequence[Wait] = ()
    install_s: float = 0.0
    start_s: float = 0.0
    ttft_s: float = 0.5

    def path(self, rate_tokens_per_s: float) -> float:
        """T_LB in seconds at a token rate, which need not be the one of the run."""
        return critical_path(
            self.calls,
            self.commands,
            self.tasks,
            self.waits,
            preview_install_s=self.install_s,
            preview_start_s=self.start_s,
            rate_tokens_per_s=rate_tokens_per_s,
            ttft_s=self.ttft_s,
        )

    def chain(self, rate_tokens_per_s: float) -> list["Link"]:
        """What really waited for what, first to last: from the node that ended last, back to whichever let it begin.

        The sum of `waited_s` and of `over_s` is the time that the swarm lost between its first and its last node.
        """
        _, last = _graph(self.calls, self.commands, self.tasks, self.waits, rate_tokens_per_s, self.ttft_s)
        links: list[Link] = []
        node = max(last, key=lambda each: each.ended, default=None)
        while node is not None:
            before = max(node.after, key=lambda each: each.ended, default=None)
            waited = node.started - before.ended if before else 0.0
            edge = f"{before.kind} of {before.agent} → {node.kind} of {node.agent}" if before else "begins"
            links.append(Link(edge, node.started, waited, node.ended - node.started - node.ideal_s))
            node = before
        return links[::-1]


@dataclass(frozen=True, slots=True)
class Link:
    """One node of the chain: how long after the end of what it waited for it began, and how much longer than ideal it was."""

    edge: str
    started: float
    waited_s: float
    over_s: float


@dataclass(eq=False, slots=True)
class _Node:
    """`after` are nodes that have to end before this one begins."""

    agent: AgentLabel
    kind: str
    started: float
    ended: float
    ideal_s: float
    after: list["_Node"]


@dataclass(slots=True)
class _Lane:
    """One agent's nodes, each list in the order of their starts."""

    calls: list[_Node]
    commands: list[_Node]

    def call_before(self, at: float) -> _Node | None:
        """The call that was the agent's latest at a time."""
        return next((call for call in reversed(self.calls) if call.started <= at), None)

    def call_after(self, at: float) -> _Node | None:
        """The agent's first call that starts after a time."""
        return next((call for call in self.calls if call.started > at), None)

    def ended_by(self, at: float) -> list[_Node]:
        """Everything that the agent had done by a time."""
        return [node for node in (*self.calls, *self.commands) if node.ended <= at]


def critical_path(
    calls: Sequence[ModelCall],
    commands: Sequence[Command],
    tasks: Sequence[Task],
    waits: Sequence[Wait],
    *,
    preview_install_s: float,
    preview_start_s: float,
    rate_tokens_per_s: float,
    ttft_s: float,
) -> float:
    """T_LB in seconds: the longest path to the running app.

    Args:
        calls: the whole run's calls; the one that reads the issue has the agent "brief".
        commands: of all agents, without the swarm's own tools.
        tasks: given by the architect.
        waits: of the architect; one that ran into its time limit is followed by another.
        preview_install_s: what installing took on the clean machine.
        preview_start_s: from the app's start to its first answer.
        rate_tokens_per_s: the model's rate; 0 for a model without a limit, whose tokens take no time.
        ttft_s: the model's time to first token.
    """
    lanes, last = _graph(calls, commands, tasks, waits, rate_tokens_per_s, ttft_s)
    ends = _earliest_ends(lanes)
    return max((ends[node] for node in last), default=0.0) + preview_install_s + preview_start_s


def _graph(
    calls: Sequence[ModelCall],
    commands: Sequence[Command],
    tasks: Sequence[Task],
    waits: Sequence[Wait],
    rate_tokens_per_s: float,
    ttft_s: float,
) -> tuple[list[_Lane], list[_Node]]:
    """All lanes with their edges, and the nodes one of which is the last."""
    lanes = _lanes(calls, commands, rate_tokens_per_s, ttft_s)
    for lane in lanes.values():
        _chain(lane)
    architect = lanes[ARCHITECT]
    if architect.calls:
        architect.calls[0].after += lanes[BRIEF].calls
    for task in tasks:
        _join(architect.call_before(task.at), lanes[task.agent])
    for wait in waits:
        asking = architect.call_before(wait.started)
        going_on = asking and architect.call_after(asking.started)
        if going_on:
            going_on.after += [node for name in wait.agents for node in lanes[name].ended_by(wait.ended)]
    last = [*architect.calls, *architect.commands] or [node for lane in lanes.values() for node in lane.calls]
    return list(lanes.values()), last


def _lanes(
    calls: Sequence[ModelCall], commands: Sequence[Command], rate_tokens_per_s: float, ttft_s: float
) -> defaultdict[AgentLabel, _Lane]:
    lanes: defaultdict[AgentLabel, _Lane] = defaultdict(lambda: _Lane([], []))
    for call in sorted(calls, key=lambda call: call.started):
        ideal_s = ttft_s + (call.output_tokens / rate_tokens_per_s if rate_tokens_per_s else 0.0)
        lanes[call.agent].calls.append(_Node(call.agent, "call", call.started, call.ended, ideal_s, []))
    for ran in sorted(commands, key=lambda ran: ran.started):
        lanes[ran.agent].commands.append(
            _Node(ran.agent, "command", ran.started, ran.ended, ran.ended - ran.started, [])
        )
    return lanes


def _chain(lane: _Lane) -> None:
    """An agent's own order. Commands of one message run side by side: only one that had ended holds up another."""
    for before, call in zip(lane.calls, lane.calls[1:], strict=False):
        call.after.append(before)
    for at, command in enumerate(lane.commands):
        asking = lane.call_before(command.started)
        if asking:
            command.after.append(asking)
        command.after += [other for other in lane.commands[:at] if other.ended <= command.started]
        going_on = lane.call_after(command.started)
        if going_on:
            going_on.after.append(command)


def _join(giving: _Node | None, worker: _Lane) -> None:
    first = giving and worker.call_after(giving.started)
    if giving and first:
        first.after.append(giving)


def _earliest_ends(lanes: Iterable[_Lane]) -> dict[_Node, float]:
    """When each node could have ended. Every edge leads to a later start, so one pass in that order is enough."""
    ends: dict[_Node, float] = {}
    nodes = [node for lane in lanes for node in (*lane.calls, *lane.commands)]
    for node in sorted(nodes, key=lambda node: node.started):
        ends[node] = max((ends[before] for before in node.after), default=0.0) + node.ideal_s
    return ends
