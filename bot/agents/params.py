"""The parameters of the swarm tools, as the model gives them: names of the guide, values checked before anything happens."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

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


class Task(Params):
    """`vers_swarm_task`."""

    agentId: str  # noqa: N815 - the guide's name
    task: str = Field(min_length=1)


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


class Teardown(Params):
    """`vers_swarm_teardown`."""

    agentIds: Names = None  # noqa: N815 - the guide's name


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
