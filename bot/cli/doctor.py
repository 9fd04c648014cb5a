"""What this machine and the configuration lack, each with the cure: a table, or the reason why a demo does not start."""

import json
import shutil
import sys
from collections.abc import Callable

from rich.console import Console
from rich.table import Table

from bot.agents.golden import secret_like
from bot.cli import wiring
from bot.core.errors import BotError, UserError
from bot.local.vers.preflight import Check, checks
from bot.settings import Settings


def require(settings: Settings) -> None:
    """Before anything is started.

    Raises:
        UserError: something that the local machines need is missing; one line each, with the cure.
    """
    missing = [check for check in checks(settings.swarm_cache) if check.required and not check.ok]
    if missing:
        lines = "\n".join(f"  {check.name}: {check.message}\n    {check.cure}" for check in missing)
        raise UserError(f"this machine cannot run the local stand-ins:\n{lines}")


def examine(settings: Settings, *, as_json: bool) -> int:
    """Print all checks; 0 if nothing that is required is missing."""
    found = [*checks(settings.swarm_cache), *_service_checks(settings)]
    if as_json:
        rows = [
            {"name": c.name, "ok": c.ok, "required": c.required, "message": c.message, "cure": c.cure}
            for c in found
        ]
        sys.stdout.write(json.dumps(rows) + "\n")
    else:
        table = Table(box=None, padding=(0, 2))
        for column in ("", "check", "finding", "cure"):
            table.add_column(column, overflow="fold")
        for check in found:
            mark = (
                "[green]ok[/green]"
                if check.ok
                else "[red]missing[/red]"
                if check.required
                else "[yellow]note[/yellow]"
            )
            table.add_row(mark, check.name, check.message, "" if check.ok else check.cure)
        Console().print(table)
    return int(any(check.required and not check.ok for check in found))


def _service_checks(settings: Settings) -> list[Check]:
    """The real services, as far as they are configured; a machine that only runs the demo needs none of them."""
    return [
        _configured(
            "GitHub App",
            bool(settings.github_app_id),
            "set GITHUB_APP_ID and GITHUB_PRIVATE_KEY",
            lambda: _github(settings),
        ),
        _configured(
            "webhook secret",
            bool(settings.github_webhook_secret.get_secret_value()),
            "set GITHUB_WEBHOOK_SECRET: without it every webhook is refused",
            lambda: "set",
        ),
        _configured(
            "Vers key",
            bool(settings.vers_api_key.get_secret_value()),
            "set VERS_API_KEY",
            lambda: _vers(settings),
        ),
        _configured(
            "Anthropic key",
            bool(settings.anthropic_api_key.get_secret_value()),
            "set ANTHROPIC_API_KEY; without it the demo plays a scripted model",
            lambda: "set",
        ),
        _attempt(
            "database",
            True,
            lambda: _database(settings),
            "check DATABASE_URL; `swarm-bot migrate` makes the tables",
        ),
        Check(
            "chromium",
            shutil.which("chromium") is not None,
            "for the browser test",
            "apt-get install chromium",
            False,
        ),
    ]


def _configured(name: str, is_set: bool, cure: str, look: Callable[[], str]) -> Check:
    if not is_set:
        return Check(name, False, "not configured", cure, False)
    return _attempt(name, False, look, cure)


def _attempt(name: str, required: bool, look: Callable[[], str], cure: str) -> Check:
    try:
        return Check(name, True, look(), "", required)
    except BotError as error:
        return Check(name, False, str(error), cure, required)


def _github(settings: Settings) -> str:
    return f"GitHub knows us as {wiring.github_app(settings).login()}"


def _vers(settings: Settings) -> str:
    vers = wiring.provider(settings)
    if secret := secret_like(vers.account_variables()):
        raise UserError(f"the account's variables {', '.join(secret)} would be written into every machine")
    return f"{len(vers.vms())} machines on this account"


def _database(settings: Settings) -> str:
    wiring.stores(settings).runs.ping()
    return settings.database_url.partition("://")[0]
