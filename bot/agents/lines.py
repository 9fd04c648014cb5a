"""What a machine may reach, and where things lie inside it: the two reverse-forwarded ports and the fixed paths."""

from collections.abc import Callable
from dataclasses import dataclass

from bot.core.models import VmId
from bot.vms.base import Dial, Shell

MODEL_PORT = 8899
"""Loopback port of a machine behind which the model gateway answers."""
REGISTRY_PORT = 8898
"""Loopback port of a machine behind which the registry proxy answers."""

WORKSPACE = "/root/workspace"
SWARM_HOME = "/root/.swarm"
PROGRAMS = "/opt/swarm"
"""Root's programs on a golden machine: wrapper, event filter, sender, starter, extension."""
STARTS = "/var/lib/swarm"
"""One folder per start of pi: FIFO, event file, stderr, pid, exit status, what was sent."""


@dataclass(frozen=True, slots=True)
class Lines:
    """What the two forwarded ports lead to, per machine: the gateway knows by the connection who calls."""

    llm: Callable[[VmId], Dial]
    registry: Callable[[VmId], Dial]

    def open_on(self, shell: Shell) -> None:
        """Offer both services on the machine's loopback."""
        shell.forward(MODEL_PORT, self.llm(shell.vm))
        shell.forward(REGISTRY_PORT, self.registry(shell.vm))
