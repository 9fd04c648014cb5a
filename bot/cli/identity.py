"""Who we are on GitHub: from the environment, else from what set-up stored; and the exchange that set-up makes."""

import contextlib
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
from pydantic import SecretStr

from bot.core.errors import Transient, UserError
from bot.pipeline.journal.credentials import Credentials
from bot.pipeline.journal.database import sqlite_file
from bot.settings import Settings
from bot.web.setup import AppIdentity, Vault, new_key

TIMEOUT_S = 20.0


def vault(settings: Settings, credentials: Credentials) -> Vault:
    """The sealed credentials of this deployment."""
    return Vault(credentials, _key(settings))


def configured(settings: Settings, credentials: Credentials) -> Settings:
    """These settings, with the stored identity in the place of one that the environment does not give."""
    stored = None if settings.github_app_id else _stored(settings, credentials)
    if stored is None:
        return settings
    return settings.model_copy(
        update={
            "github_app_id": stored.app_id,
            "github_private_key": SecretStr(stored.private_key),
            "github_private_key_file": None,
            "github_webhook_secret": SecretStr(stored.webhook_secret),
        }
    )


def identity(settings: Settings, credentials: Credentials) -> AppIdentity:
    """Id and webhook secret as the web process needs them; empty before set-up."""
    found = configured(settings, credentials)
    return AppIdentity(found.github_app_id, found.github_webhook_secret.get_secret_value())


def is_set_up(settings: Settings, credentials: Credentials) -> bool:
    """Whether there is an App, also one whose credentials cannot be opened any more."""
    return bool(settings.github_app_id) or vault(settings, credentials).holds()


def exchange(settings: Settings, code: str) -> Mapping[str, Any]:
    """The App's id, key and secret for a code that works once.

    Source: https://docs.github.com/rest/apps/apps#create-a-github-app-from-a-manifest

    Raises:
        UserError: GitHub does not know the code, or no longer.
        Transient: GitHub cannot be reached.
    """
    url = f"{settings.github_url.rstrip('/')}/app-manifests/{code}/conversions"
    headers = {"Accept": "application/vnd.github+json", "User-Agent": "swarm-build"}
    try:
        answer = httpx.post(url, headers=headers, timeout=TIMEOUT_S)
    except httpx.TransportError as error:
        raise Transient(f"GitHub cannot be reached: {error}") from error
    if answer.status_code >= 500:
        raise Transient(f"GitHub answered {answer.status_code}")
    if answer.status_code != 201:
        raise UserError(f"GitHub answered {answer.status_code}; its codes work once, and for an hour")
    return dict(answer.json())


def _stored(settings: Settings, credentials: Credentials) -> AppIdentity | None:
    return vault(settings, credentials).load() if credentials.get("app") else None


def _key(settings: Settings) -> str:
    if given := settings.settings_key.get_secret_value():
        return given
    database = sqlite_file(settings.database_url)
    if database is None:
        raise UserError("set SETTINGS_KEY to a Fernet key: only beside a SQLite file one is made by itself")
    file = database.with_name(f"{database.name}.key")
    if not file.exists():
        _write_once(file, new_key())
    return file.read_text().strip()


def _write_once(file: Path, text: str) -> None:
    """Make a file of mode 0600, whole or not at all; one that another process made meanwhile stays."""
    handle, name = tempfile.mkstemp(dir=file.parent)  # mode 0600
    with os.fdopen(handle, "w") as stream:
        stream.write(text)
    with contextlib.suppress(FileExistsError):
        os.link(name, file)
    Path(name).unlink()
