"""The parameters of the swarm tools, as the model gives them: names of the guide, values checked before anything happens."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from bot.core.errors import UserError

LABEL = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")
LONGEST_WAIT_S = 120.0


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


Names = Annotated[list[str] | None, BeforeValidator(_as_list)]
_MOST_AGENTS = 64
Labels = Annotated[Annotated[list[str], Field(max_length=_MOST_AGENTS)] | None, BeforeValidator(_as_list)]


class Params(BaseModel):
    """Base: unknown names are dropped, as a model may add some."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class Spawn(Params):
    """`vers_swarm_spawn`."""

    count: int = Field(ge=1, le=_MOST_AGENTS)
    labels: Labels = None
    commitId: str | None = None  # noqa: N815 - the guide's name
    model: str | None = None
    thinking: Literal["off", "minimal", "low", "medium", "high"] | None = None
    tools: Names = None


class Task(Params):
    """`vers_swarm_task`."""

    agentId: str  # noqa: N815 - the guide's name
    task: str = Field(min_length=1)
    steer: bool = False


class Status(Params):
    """`vers_swarm_status`."""


class Read(Params):
    """`vers_swarm_read`."""

    agentId: str  # noqa: N815 - the guide's name
    tail: int | None = Field(None, ge=1)


class Wait(Params):
    """`vers_swarm_wait`."""

    agentIds: Names = None  # noqa: N815 - the guide's name
    timeoutSeconds: float = Field(LONGEST_WAIT_S, allow_inf_nan=False)  # noqa: N815 - the guide's name


class Collect(Params):
    """`vers_swarm_collect`."""

    agentIds: Names = None  # noqa: N815 - the guide's name
    paths: Names = None
    destination: str = ""
    prefer: str | None = None


class Stop(Params):
    """`vers_swarm_stop`."""

    agentId: str  # noqa: N815 - the guide's name


class Discover(Params):
    """`vers_swarm_discover`."""


class Teardown(Params):
    """`vers_swarm_teardown`."""

    agentIds: Names = None  # noqa: N815 - the guide's name


class Pool(Params):
    """`vers_swarm_pool`."""

    items: list[str] = Field(min_length=1, max_length=1000)
    task: str = Field(min_length=1)
    size: int = Field(ge=1)


class CreateVm(Params):
    """`vers_vm_create`. It is always booted when the call returns, so `wait_boot` is not read."""

    vcpu_count: int = Field(1, ge=1, le=16)
    mem_size_mib: int = Field(1024, ge=512, le=16_384)
    fs_size_mib: int = Field(2048, ge=1024, le=65_536)


class OfVm(Params):
    """A call about one machine."""

    vmId: str  # noqa: N815 - the guide's name


class Restore(Params):
    """`vers_vm_restore`."""

    commitId: str  # noqa: N815 - the guide's name


class VmStateWanted(OfVm):
    """`vers_vm_state`, with the provider's capitals."""

    state: Literal["Running", "Paused"]


class Copy(OfVm):
    """`vers_vm_copy`."""

    localPath: str  # noqa: N815 - the guide's name
    remotePath: str  # noqa: N815 - the guide's name
    direction: Literal["to_vm", "from_vm"]


class Exec(OfVm):
    """pi's bash on a machine in use. `timeout` in seconds."""

    command: str
    cwd: str
    timeout: float | None = Field(None, gt=0)


class Fetch(OfVm):
    """The content of a file of a machine in use."""

    path: str


class Store(OfVm):
    """The content for a file of a machine in use: in `data` as base64, or in the file `at` of the caller's machine."""

    path: str
    data: str | None = None
    at: str | None = None


P = TypeVar("P", bound=Params)


def read(kind: type[P], given: Mapping[str, Any]) -> P:
    """
    Raises:
        UserError: a parameter is missing or wrong; the sentence names it.
    """
    try:
        return kind.model_validate(dict(given))
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"]) or "the parameters"
        raise UserError(f"{name}: {first['msg']}.") from error
