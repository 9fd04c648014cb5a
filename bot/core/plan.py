"""How one build is done: the operator's limits, the repository's configuration and the command's options, made one."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from bot.core.config import RepoConfig
from bot.core.errors import UserError
from bot.core.models import Options
from bot.core.tree import ANYWHERE, Bounds
from bot.core.usage import price


@dataclass(frozen=True, slots=True)
class AppSetup:
    """How the result is installed, started and proven on the clean machine; what is empty is found out there."""

    install: str = ""
    start: str = ""
    test: str = ""
    port: int = 0
    """What the app listens on; 0 for the port that it is given in $PORT."""
    env: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Allowed:
    """What the operator allows, and what a build gets that asks for nothing."""

    model: str
    models: Collection[str]
    """Models that may be asked for; empty for all that have a price."""
    max_workers: int
    warm_workers: int
    budget_microusd: int
    approval: bool
    preview_s: float
    worker_model: str = ""
    """Of the workers, if it is another."""
    thinking: str = "off"
    worker_thinking: str = ""
    """Of the workers, if it is another."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The bounds of one build; kept in its record."""

    model: str
    max_workers: int
    warm_workers: int
    budget_microusd: int
    approval: bool
    preview_s: float
    app: AppSetup = field(default_factory=AppSetup)
    worker_model: str = ""
    """"" in plans of before there was one: as `model`. So with the next two."""
    thinking: str = ""
    worker_thinking: str = ""
    bounds: Bounds = ANYWHERE
    """What of the repository the build may change."""
    ci: bool = False
    """Whether the repository's workflows run on the commit before a person has looked."""


def plan_of(allowed: Allowed, config: RepoConfig, options: Options) -> Plan:
    """One plan. What the command says goes before what the repository says, and nothing beyond what the operator allows.

    Raises:
        UserError: more was asked for than is allowed; the message says what is.
    """
    workers = options.workers or config.workers or 0
    if workers > allowed.max_workers:
        raise UserError(
            f"workers: {workers} are more than the {allowed.max_workers} that a build may have here"
        )
    budget = round((config.budget or 0) * 1_000_000)
    if budget > allowed.budget_microusd:
        limit = allowed.budget_microusd / 1e6
        raise UserError(f"budget: a build may spend ${limit:,.2f} here at most, and not ${budget / 1e6:,.2f}")
    everybodys = options.model or config.model
    thinking = config.thinking or allowed.thinking
    return Plan(
        model=_model(allowed, everybodys or allowed.model),
        worker_model=_model(
            allowed,
            options.model or config.worker_model or config.model or allowed.worker_model or allowed.model,
        ),
        thinking=thinking,
        worker_thinking=config.worker_thinking or config.thinking or allowed.worker_thinking or thinking,
        max_workers=workers or allowed.max_workers,
        warm_workers=workers or allowed.warm_workers,
        budget_microusd=budget or allowed.budget_microusd,
        approval=allowed.approval if config.approval is None else config.approval,
        preview_s=config.preview_s or allowed.preview_s,
        app=AppSetup(
            config.install or "", config.start or "", config.test or "", config.port or 0, dict(config.env)
        ),
        bounds=Bounds(config.target or "", config.protected),
        ci=bool(config.ci),
    )


def _model(allowed: Allowed, wanted: str) -> str:
    own = {allowed.model, allowed.worker_model or allowed.model}
    if wanted in own:
        return wanted
    if allowed.models and wanted not in allowed.models:
        names = ", ".join(sorted({*own, *allowed.models}))
        raise UserError(f"model: {wanted} is not allowed here; there are {names}")
    if price(wanted) is None:
        raise UserError(f"model: {wanted} has no known price, and a build has a budget")
    return wanted
