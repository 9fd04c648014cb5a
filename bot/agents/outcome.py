"""What a swarm is told and what it gives back."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from bot.core.models import AgentLabel, AgentState, AgentView, Role, VmId


@dataclass(frozen=True, slots=True)
class Profile:
    """How pi is started. `thinking`: off, minimal, low, medium, high; `tools`: names of its tools, all without any."""

    model: str
    thinking: str = "off"
    tools: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SwarmLimits:
    """The bounds of one build.

    Attributes:
        deployment: name of this installation, for labels.
        model: the model of every agent whose role has no profile.
        max_agents: agent machines at once, the architect's included.
        warm_workers: worker machines that are branched and started ahead.
        run_deadline: seconds since the epoch at which the build is given up.
        stall_s: silence of a living agent, without an open tool call, after which it counts as stalled.
        lost_s: how long a line may be down before its agent counts as lost.
        thinking: pi's thinking level, as above.
        roles: how the agents of a role are started instead.
        allowed_models: what `vers_swarm_spawn` may ask for besides the configured models; each needs a price.
    """

    deployment: str
    model: str
    max_agents: int
    warm_workers: int
    run_deadline: float
    stall_s: float = 300.0
    lost_s: float = 45.0
    thinking: str = "off"
    roles: Mapping[Role, Profile] = field(default_factory=dict)
    allowed_models: tuple[str, ...] = ()

    def profile(self, role: Role) -> Profile:
        """How the agents of a role are started."""
        return self.roles.get(role) or Profile(self.model, self.thinking)


@dataclass(frozen=True, slots=True)
class RanCommand:
    """A tool call that an agent made on its own machine (bash, write, …). Times in seconds since the epoch."""

    agent: AgentLabel
    tool: str
    text: str
    started: float
    ended: float


@dataclass(frozen=True, slots=True)
class GaveTask:
    """The architect gave a worker a task. Seconds since the epoch."""

    agent: AgentLabel
    at: float


@dataclass(frozen=True, slots=True)
class Waited:
    """The architect waited for these workers. Seconds since the epoch."""

    agents: tuple[AgentLabel, ...]
    started: float
    ended: float


@dataclass(frozen=True, slots=True)
class SwarmOutcome:
    """How the architect ended: `architect_state` is DONE, FAILED or LOST, `reason` a sentence unless DONE."""

    agents: tuple[AgentView, ...]
    architect_state: AgentState
    architect_vm: VmId | None
    reason: str
    last_text: str = ""
    """The architect's last words. Untrusted text."""
    commands: tuple[RanCommand, ...] = ()
    tasks: tuple[GaveTask, ...] = ()
    waits: tuple[Waited, ...] = ()
