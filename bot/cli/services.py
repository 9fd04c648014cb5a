"""Whether the services of the configuration know us and give us what we need: the part of doctor that asks around."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from bot.agents.golden import secret_like
from bot.agents.lines import Lines
from bot.cli import wiring
from bot.cli.identity import configured
from bot.core.errors import BotError, Permanent, Transient, UserError, translate
from bot.core.models import VmId
from bot.github.app import GitHubApp
from bot.local.vers.preflight import Check
from bot.pipeline.journal.database import DATABASE_ERRORS
from bot.settings import Settings
from bot.vms.base import Dial
from bot.vms.profile import stored

TIMEOUT_S = 20.0
_LEVELS = ("none", "read", "write", "admin")


@dataclass(frozen=True, slots=True)
class _Ask:
    """One question. What is `missing` in the configuration is a note; else it is asked, and what it raises is the finding."""

    name: str
    missing: bool
    cure: str
    look: Callable[[], str]
    required: bool = True


def service_checks(settings: Settings) -> list[Check]:
    """The services, as far as they are configured; a machine that only runs the demo needs none of them."""
    database = _check(
        _Ask(
            "database",
            False,
            "check DATABASE_URL; `swarm-bot migrate` makes the tables",
            lambda: _database(settings),
        )
    )
    found = [database]
    if database.ok:
        try:
            settings = configured(settings, wiring.stores(settings).credentials)
        except BotError as error:
            found.append(
                Check(
                    "stored App", False, str(error), "set SETTINGS_KEY, or open /setup again", required=True
                )
            )
    return [*found, *map(_check, _questions(settings))]


def _questions(settings: Settings) -> tuple[_Ask, ...]:
    no_app, no_vers = not settings.github_app_id, not settings.vers_api_key.get_secret_value()
    make_app = f"open {settings.public_url}/setup, or set GITHUB_APP_ID and GITHUB_PRIVATE_KEY"
    return (
        _Ask("GitHub App", no_app, make_app, lambda: _known(wiring.github_app(settings))),
        _Ask(
            "App permissions",
            no_app,
            "add them in the App's settings on GitHub, then accept the change in each installation",
            lambda: _permissions(wiring.github_app(settings).about(), wiring.manifest()),
        ),
        _Ask(
            "webhook secret",
            not settings.github_webhook_secret.get_secret_value(),
            "set GITHUB_WEBHOOK_SECRET: without it every webhook is refused",
            lambda: "set",
        ),
        _Ask(
            "webhooks",
            no_app,
            "set the App's webhook address to PUBLIC_URL/webhook, and let GitHub reach it",
            lambda: _webhooks(wiring.github_app(settings), settings.public_url.rstrip("/")),
        ),
        _Ask("Vers key", no_vers, "set VERS_API_KEY", lambda: _vers(settings)),
        _Ask(
            "golden image",
            no_vers,
            "`swarm-bot golden build`; otherwise the first build makes it, which takes minutes",
            lambda: _golden(settings),
            required=False,
        ),
        _Ask(
            "Anthropic key",
            not settings.anthropic_api_key.get_secret_value(),
            "set ANTHROPIC_API_KEY; without it the demo plays a scripted model",
            lambda: _anthropic(settings),
        ),
    )


def _check(ask: _Ask) -> Check:
    if ask.missing:
        return Check(ask.name, False, "not configured", ask.cure, required=False)
    try:
        return Check(ask.name, True, ask.look(), "", ask.required)
    except BotError as error:
        return Check(ask.name, False, str(error), ask.cure, ask.required)


def _known(app: GitHubApp) -> str:
    return f"GitHub knows us as {app.login()}, installed {app.about()['installations_count']} times"


def _permissions(about: Mapping[str, Any], manifest: Mapping[str, Any]) -> str:
    granted = about["permissions"]
    lacking = [
        f"{name}: {level}"
        for name, level in manifest["default_permissions"].items()
        if _LEVELS.index(granted.get(name, "none")) < _LEVELS.index(level)
    ]
    deaf = sorted(set(manifest["default_events"]) - set(about["events"]))
    if lacking or deaf:
        parts = [
            f"lacks {', '.join(lacking)}" if lacking else "",
            f"does not hear {', '.join(deaf)}" if deaf else "",
        ]
        raise UserError(f"the App {' and '.join(filter(None, parts))}")
    return f"{len(manifest['default_permissions'])} permissions and {len(manifest['default_events'])} events"


def _webhooks(app: GitHubApp, public_url: str) -> str:
    wanted, url = f"{public_url}/webhook", app.hook_url()
    if url != wanted:
        raise UserError(f"GitHub sends them to {url or 'nowhere'}, and PUBLIC_URL says {wanted}")
    newest = app.deliveries(limit=30)
    if not newest:
        return f"go to {url}; none was sent so far"
    failed = [each for each in newest if not each.ok]
    if newest[0] in failed:
        raise UserError(f"the newest was answered {newest[0].status_code or 'by nobody'} at {url}")
    return f"arrive at {url}" + (f"; {len(failed)} of the last {len(newest)} did not" if failed else "")


def _vers(settings: Settings) -> str:
    vers = wiring.provider(settings)
    if secret := secret_like(vers.account_variables()):
        raise UserError(f"the account's variables {', '.join(secret)} would be written into every machine")
    known = stored(settings.swarm_cache, settings.vers_url)
    if known.forwarding is False:
        raise UserError(
            "its machines refuse to forward ports (`swarm-bot vers probe`), and agents reach the model through one: their sshd "
            "needs AllowTcpForwarding yes"
        )
    open_way = "; a machine reaches the world without the bot" if known.way_out else ""
    return f"{len(vers.vms())} machines on this account{open_way}"


def _golden(settings: Settings) -> str:
    vers = wiring.provider(settings)
    lines = Lines(llm=_no_line, registry=_no_line)
    images = wiring.golden_images(
        settings, wiring.stores(settings), vers, wiring.connector(settings, vers), lines
    )
    with translate(DATABASE_ERRORS, "looking for the image"):
        found = images.find()
    if found is None:
        raise UserError("there is none of the present recipe")
    return f"{images.name} ({found})"


def _no_line(_vm: VmId) -> Dial:
    raise Permanent("to look for an image, no machine is needed")


def _anthropic(settings: Settings) -> str:
    """The list of models costs nothing. Source: https://docs.anthropic.com/en/api/models-list"""
    headers = {
        "x-api-key": settings.anthropic_api_key.get_secret_value(),
        "anthropic-version": "2023-06-01",
    }
    url = f"{settings.anthropic_base_url.rstrip('/')}/v1/models?limit=1000"
    try:
        answer = httpx.get(url, headers=headers, timeout=TIMEOUT_S)
    except httpx.TransportError as error:
        raise Transient(f"{settings.anthropic_base_url} does not answer: {error}") from error
    if answer.status_code == 401:
        raise UserError("Anthropic does not accept the key")
    if answer.is_error:
        raise Transient(f"Anthropic answered {answer.status_code}")
    known = {str(each["id"]) for each in answer.json()["data"]}
    wanted = {settings.agent_model, settings.worker_model or settings.agent_model, settings.brief_model}
    strange = sorted(each for each in wanted if not any(model.startswith(each) for model in known))
    return f"accepted; {len(known)} models" + (f", but not {', '.join(strange)}" if strange else "")


def _database(settings: Settings) -> str:
    wiring.stores(settings).runs.ping()
    return settings.database_url.partition("://")[0]
