"""What this machine and the configuration lack, each with the cure: a table, or the reason why a demo does not start."""

import json
import shutil
import sys
from dataclasses import replace

from rich.console import Console
from rich.table import Table

from bot.cli.services import service_checks
from bot.core.errors import UserError
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
    """Print all checks; 0 if nothing that is required is missing.

    What local machines need is required as long as no Vers is configured; a service, as soon as it is.
    """
    here = [
        replace(check, required=check.required and not settings.vers_api_key.get_secret_value())
        for check in checks(settings.swarm_cache)
    ]
    found = [*here, *service_checks(settings), *_programs()]
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


def _programs() -> list[Check]:
    chromium = shutil.which("chromium") is not None
    return [Check("chromium", chromium, "for the browser test", "apt-get install chromium", False)]
