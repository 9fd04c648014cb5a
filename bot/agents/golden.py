"""The golden image: a machine with Node, pi, the agents' tools and root's programs on it, built once per recipe."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bot.agents.lines import Lines
from bot.core.models import CommitId
from bot.core.texts import Texts
from bot.pipeline.journal.fleet import Fleet
from bot.vms.base import Connect, Provider


@dataclass(frozen=True, slots=True)
class GoldenSettings:
    """What an operator decides about the image; part of its recipe (all but `deployment`)."""

    deployment: str
    pi_package: str
    npm_registry: str
    pypi_index: str
    memory_mib: int = 4096
    disk_mib: int = 8192
    vcpus: int = 2


class GoldenImages:
    """Finds the golden image of the present recipe, or builds it. `vm_files` is the folder `templates/vm`."""

    def __init__(
        self,
        *,
        provider: Provider,
        connect: Connect,
        fleet: Fleet,
        lines: Lines,
        texts: Texts,
        vm_files: Path,
        settings: GoldenSettings,
        new_secret: Callable[[], str],
    ) -> None: ...

    def ensure(self, note: Callable[[str], None]) -> CommitId:
        """The golden commit, built if it is not there yet. `note` gets a sentence per step."""
        raise NotImplementedError
