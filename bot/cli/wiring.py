"""Settings -> the running objects. The only module that makes adapters; the others of this room get them here."""

import logging
import secrets
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from flask import Flask

from bot.agents.camera import CameraImages
from bot.agents.golden import GoldenImages, GoldenSettings, Warm
from bot.agents.lines import Lines
from bot.agents.outcome import Profile, SwarmLimits
from bot.agents.outside import Outside
from bot.agents.swarm import Swarm
from bot.cli import identity
from bot.core.errors import UserError
from bot.core.models import CommitId, Role, RunId, VmId
from bot.core.plan import Allowed, Plan
from bot.core.policy import Permission
from bot.core.texts import Texts, default_loader
from bot.gateway.server import Gateway
from bot.github.app import GitHubApp
from bot.pipeline import engine
from bot.pipeline.engine import Jobs
from bot.pipeline.journal.credentials import Credentials
from bot.pipeline.journal.database import Database, open_database
from bot.pipeline.journal.fleet import Fleet
from bot.pipeline.journal.migrate import migrate as migrate_journal
from bot.pipeline.journal.orders import Orders
from bot.pipeline.journal.results import Results
from bot.pipeline.journal.runs import Runs
from bot.pipeline.journal.transcripts import Transcripts
from bot.pipeline.journal.usage import Usage
from bot.pipeline.pace import Pace
from bot.pipeline.preview import PreviewTools
from bot.pipeline.reaper import Reaper
from bot.pipeline.rooms import Limits, Rooms
from bot.settings import Settings, load_settings
from bot.vms import profile
from bot.vms.ssh import SshConnector
from bot.vms.vers import LocalAddresses, VersProvider
from bot.web.app import create_app
from bot.web.pages import site_of
from bot.web.setup import SetUp

log = logging.getLogger(__name__)

ROOT = Path(__file__).parents[2]


def templates() -> Path:
    """The folder of templates: beside `bot` in a checkout, inside it in an installed wheel."""
    beside = ROOT / "templates"
    return beside if beside.is_dir() else ROOT / "bot" / "_templates"


def manifest() -> dict[str, Any]:
    """app.yml, from the same places."""
    beside = ROOT / "app.yml"
    file = beside if beside.is_file() else ROOT / "bot" / "_app.yml"
    return dict(yaml.safe_load(file.read_text()))


def issues() -> Path:
    """The folder of example issues, from the same places."""
    beside = ROOT / "docs" / "issues"
    return beside if beside.is_dir() else ROOT / "bot" / "_issues"


def texts() -> Texts:
    """The renderer over our templates."""
    return Texts(default_loader(templates()))


def new_secret() -> str:
    """A bearer: 256 random bits."""
    return secrets.token_urlsafe(32)


@dataclass(frozen=True, slots=True)
class Stores:
    """The journal's rooms over one database."""

    database: Database
    runs: Runs
    fleet: Fleet
    usage: Usage
    results: Results
    orders: Orders
    credentials: Credentials
    transcripts: Transcripts


def stores(settings: Settings) -> Stores:
    """The journal of the settings' database."""
    database = open_database(settings.database_url)
    cap = round(settings.run_budget_usd * 1_000_000)
    return Stores(
        database,
        Runs(database, time.time),
        Fleet(database, time.time),
        Usage(database, time.time, cap),
        Results(database),
        Orders(database, time.time),
        Credentials(database, time.time),
        Transcripts(database, time.time, settings.transcript_days),
    )


def migrate(settings: Settings) -> None:
    """Bring the database to the present schema: our tables, then the engine's."""
    database = open_database(settings.database_url)
    migrate_journal(database)
    database.dispose()
    engine.migrate(settings.database_url)


def provider(settings: Settings) -> VersProvider:
    """Vers, or its stand-in: the settings alone tell which."""
    address = LocalAddresses(settings.vers_publish_url) if settings.vers_publish_url else None
    return VersProvider(
        url=settings.vers_url,
        api_key=_needed(settings.vers_api_key.get_secret_value(), "VERS_API_KEY"),
        vm_domain=settings.vers_vm_domain,
        address=address,
        profile=profile.stored(settings.swarm_cache, settings.vers_url),
    )


def connector(settings: Settings, vers: VersProvider) -> SshConnector:
    """Opens lines to machines."""
    return SshConnector(
        vers, front=settings.vers_front, vm_domain=settings.vers_vm_domain, ca_file=settings.vers_ca_file
    )


def github_app(settings: Settings) -> GitHubApp:
    """The App's identity."""
    return GitHubApp(
        api_url=settings.github_url,
        app_id=_needed(settings.github_app_id, "GITHUB_APP_ID"),
        private_key_pem=_needed(settings.private_key(), "GITHUB_PRIVATE_KEY or GITHUB_PRIVATE_KEY_FILE"),
    )


def gateway(settings: Settings, usage: Usage) -> Gateway:
    """The model gateway and the registry proxy, listening."""
    return Gateway(
        accounts=usage,
        anthropic_url=settings.anthropic_base_url,
        anthropic_key=settings.anthropic_api_key.get_secret_value(),
        max_tokens=settings.max_tokens,
        budget_usd=settings.run_budget_usd,
        registry_hosts=settings.registry_hosts,
        refused=_refused,
    )


def _refused(vm: VmId | None, host: str) -> None:
    log.warning("vm %s asked the registry proxy for %s: refused", vm, host)


def golden_images(
    settings: Settings, kept: Stores, vers: VersProvider, connect: SshConnector, lines: Lines
) -> GoldenImages:
    """Finds or builds the golden image of these settings."""
    return GoldenImages(
        provider=vers,
        connect=connect,
        fleet=kept.fleet,
        lines=lines,
        texts=texts(),
        vm_files=templates() / "vm",
        settings=GoldenSettings(
            deployment=settings.deployment,
            pi_package=settings.pi_package,
            npm_registry=settings.npm_registry,
            pypi_index=settings.pypi_index,
            memory_mib=settings.vm_memory_mib,
            disk_mib=settings.vm_disk_mib,
            vcpus=settings.vm_vcpus,
            warm=_warm(settings),
        ),
        new_secret=new_secret,
    )


def _warm(settings: Settings) -> Warm | None:
    """Only where `swarm-bot vers probe` has seen that a process goes on in the branches of a snapshot."""
    known = profile.stored(settings.swarm_cache, settings.vers_url)
    if not known.commit_keeps_memory:
        return None
    return Warm(
        settings.worker_model or settings.agent_model,
        settings.worker_thinking or settings.agent_thinking,
        settings.worker_tools,
    )


def camera_images(
    settings: Settings, kept: Stores, vers: VersProvider, connect: SshConnector, lines: Lines
) -> CameraImages:
    """Finds or builds the image of machines that take pictures."""
    return CameraImages(
        provider=vers,
        connect=connect,
        fleet=kept.fleet,
        lines=lines,
        texts=texts(),
        vm_files=templates() / "vm",
        deployment=settings.deployment,
    )


def rooms(
    settings: Settings,
    kept: Stores,
    lines: Lines,
    jobs: Jobs,
    *,
    github: GitHubApp | None = None,
    label: str = "",
) -> Rooms:
    """Everything that a build touches.

    Args:
        settings: the operator's.
        kept: the journal.
        lines: what machines reach.
        jobs: the queues.
        github: the App of the settings without it.
        label: the deployment label of the build's machines; the settings' deployment without it.
    """
    from bot.pipeline.brief import BriefReader  # Anthropic's package takes seconds to load, for builds alone

    vers = provider(settings)
    connect = connector(settings, vers)
    words = texts()
    reader = BriefReader(
        base_url=settings.anthropic_base_url,
        api_key=settings.anthropic_api_key.get_secret_value(),
        model=settings.brief_model,
        accounts=kept.usage,
        texts=words,
    )

    def make_swarm(run: RunId, golden: CommitId, deadline: float, plan: Plan, outside: Outside) -> Swarm:
        thinking = plan.thinking or settings.agent_thinking
        limits = SwarmLimits(
            deployment=label or settings.deployment,
            model=plan.model,
            max_agents=plan.max_workers + 1,
            warm_workers=plan.warm_workers,
            run_deadline=deadline,
            stall_s=settings.stall_seconds,
            thinking=thinking,
            roles={
                Role.ARCHITECT: Profile(plan.model, thinking, settings.architect_tools),
                Role.WORKER: Profile(
                    plan.worker_model or plan.model, plan.worker_thinking or thinking, settings.worker_tools
                ),
            },
            allowed_models=settings.allowed_models,
        )
        return Swarm(
            run,
            golden=golden,
            provider=vers,
            connect=connect,
            runs=kept.runs,
            fleet=kept.fleet,
            usage=kept.usage,
            lines=lines,
            texts=words,
            limits=limits,
            now=time.time,
            new_secret=new_secret,
            outside=outside,
        )

    preview = templates() / "vm" / "preview"
    return Rooms(
        runs=kept.runs,
        fleet=kept.fleet,
        usage=kept.usage,
        results=kept.results,
        orders=kept.orders,
        jobs=jobs,
        provider=vers,
        connect=connect,
        lines=lines,
        github=github or github_app(settings),
        golden=golden_images(settings, kept, vers, connect, lines),
        camera=camera_images(settings, kept, vers, connect, lines) if settings.pictures else None,
        transcripts=kept.transcripts,
        texts=words,
        preview_tools=PreviewTools((preview / "app.py").read_text(), (preview / "bridge.js").read_text()),
        limits=Limits(
            run_minutes=settings.run_minutes,
            start_seconds=settings.start_seconds,
            approval_hours=settings.approval_hours,
        ),
        deployment=label or settings.deployment,
        allowed=Allowed(
            model=settings.agent_model,
            worker_model=settings.worker_model,
            thinking=settings.agent_thinking,
            worker_thinking=settings.worker_thinking,
            models=settings.allowed_models,
            max_workers=max(1, settings.max_agents - 1),
            warm_workers=settings.warm_workers,
            budget_microusd=kept.usage.cap_microusd,
            approval=settings.spec_approval,
            preview_s=settings.preview_hours * 3600,
        ),
        least=Permission(settings.writer_role),
        read_issue=reader.read,
        make_swarm=make_swarm,
        status_page=status_page(settings),
        now=time.time,
        pace=Pace(time.time),
    )


def status_page(settings: Settings) -> "StatusPage":
    """Address of a build's status page."""
    return StatusPage(settings.public_url.rstrip("/"))


@dataclass(frozen=True, slots=True)
class StatusPage:
    """Builds the addresses of status pages."""

    base: str

    def __call__(self, run: RunId) -> str:
        return f"{self.base}/builds/{run}"


def reaper(settings: Settings, kept: Stores, vers: VersProvider) -> Reaper:
    """Looks for machines that nobody needs."""
    return Reaper(vers, kept.runs, kept.fleet, settings.deployment, time.time)


def web_app() -> Flask:
    """The Flask application for gunicorn: `gunicorn "bot.cli.wiring:web_app()"`."""
    settings = load_settings()
    kept = stores(settings)
    return create_app(
        identity=lambda: identity.identity(settings, kept.credentials),
        runs=kept.runs,
        fleet=kept.fleet,
        usage=kept.usage,
        transcripts=kept.transcripts,
        enqueue=Jobs(settings.database_url).event,
        texts=texts(),
        static_folder=templates() / "web" / "static",
        trigger_label=settings.trigger_label,
        github_url=settings.github_url,
        now=time.time,
        set_up=SetUp(
            vault=lambda: identity.vault(settings, kept.credentials),
            configured=lambda: identity.is_set_up(settings, kept.credentials),
            exchange=lambda code: identity.exchange(settings, code),
            texts=texts(),
            manifest=manifest(),
            public_url=settings.public_url.rstrip("/"),
            site=site_of(settings.github_url),
            admin_token=settings.admin_token.get_secret_value(),
            store=settings.store_credentials,
        ),
    )


def model_line(settings: Settings, rate: float) -> str:
    """What answers for the language model, in one line: the first that a demo says."""
    if settings.anthropic_api_key.get_secret_value():
        return f"Language model: {settings.agent_model} at {settings.anthropic_base_url} (ANTHROPIC_API_KEY is set; it costs money)."
    return f"Language model: SCRIPTED, {rate:g} tokens per second (no ANTHROPIC_API_KEY). Everything else is real."


def require_accounts(settings: Settings) -> None:
    """
    Raises:
        UserError: the key of an account is not set.
    """
    _needed(settings.vers_api_key.get_secret_value(), "VERS_API_KEY")
    _needed(settings.anthropic_api_key.get_secret_value(), "ANTHROPIC_API_KEY")


def _needed(value: str, name: str) -> str:
    if not value:
        raise UserError(
            f"{name} is not set. `swarm-bot demo` needs no accounts; docs/deploy.md says how to get them."
        )
    return value
