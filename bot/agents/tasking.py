"""Work for a worker: the text with the specification in it, delivered once, expected until pi has taken it."""

from dataclasses import dataclass

from bot.agents import rpc
from bot.agents.daemon import Daemon
from bot.agents.machines import Machines
from bot.agents.roster import Roster
from bot.agents.watch import Watch
from bot.core.errors import BotError, UserError
from bot.core.models import AgentLabel, AgentState, AgentView
from bot.core.texts import Texts
from bot.pipeline.journal.fleet import Fleet, ToolCall

_TASK = "vers_swarm_task"


@dataclass(frozen=True, slots=True)
class WorkerTask:
    """View of `prompts/worker.md.j2`. `spec` is empty when the task carries it already, or when there is none."""

    label: str
    task: str
    spec: str


@dataclass(frozen=True, slots=True)
class Resumed:
    """View of `prompts/resumed.md.j2`: what a pi reads that was killed and goes on."""


@dataclass(frozen=True, slots=True)
class Given:
    """What became of a task: whether the worker was at something else, and whether a specification went along."""

    busy: bool
    with_spec: bool


class Tasking:
    """Hands tasks to workers. A task's command id makes it one task, however often it is given."""

    def __init__(self, *, fleet: Fleet, roster: Roster, machines: Machines, texts: Texts) -> None:
        self._fleet = fleet
        self._roster = roster
        self._machines = machines
        self._texts = texts

    def give(self, label: AgentLabel, command: str, task: str, spec: str, *, steer: bool = False) -> Given:
        """Deliver a task: it begins at once, or when the present one is done, or with `steer` turns the present one.

        The specification goes along, unless the task has it in it.

        Raises:
            UserError: the worker takes no tasks any more.
            BotError: it could not be delivered.
        """
        view, watch = self._roster.view(label), self._roster.watch(label)
        if watch is None or watch.ended or view.vm is None:
            raise UserError(f"{label} takes no tasks any more: it is {told(view)}.")
        busy = view.state in (AgentState.WORKING, AgentState.STALLED)
        text = self._texts.render(
            "prompts/worker.md.j2", WorkerTask(label, task, "" if spec.strip() in task else spec)
        )
        watch.expect(command)
        try:
            Daemon(self._machines.shell(view.vm)).deliver(command, rpc.prompt(command, text, steer=steer))
        except BotError:
            watch.unexpect(command)
            raise
        self._roster.tasked(label, self._roster.tasks(label) + 1)
        self._roster.changed(label)
        return Given(busy, bool(spec))

    def resume(self, watch: Watch, command: str) -> None:
        """Tell a pi that was killed to go on. It has its conversation, but nothing begins by itself.

        Raises:
            BotError: it could not be told.
        """
        text = self._texts.render("prompts/resumed.md.j2", Resumed())
        try:
            Daemon(self._machines.shell(watch.vm)).deliver(command, rpc.prompt(command, text))
        except BotError:
            watch.unexpect(command)
            raise

    def calls(self, label: AgentLabel) -> list[ToolCall]:
        """The calls by which the architect gave this worker its tasks, oldest first."""
        calls = self._fleet.calls(self._roster.run)
        return [call for call in calls if call.tool == _TASK and call.params.get("agentId") == label]


def command_of(call: ToolCall) -> str:
    """The id under which the task of a call is delivered."""
    return f"task-{call.dialog}"


def told(view: AgentView) -> str:
    """An agent's state as agents are told."""
    about = view.reason or view.doing
    return f"{view.state}: {about}" if about else str(view.state)
