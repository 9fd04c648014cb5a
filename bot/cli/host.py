"""What this host's own package managers use: a mirror that serves the host serves its local machines, too."""

import shutil
import subprocess
from urllib.parse import urlsplit

from bot.settings import Settings


def with_host_registries(settings: Settings) -> Settings:
    """Settings whose registries are the host's, where the operator did not set them; their hosts are let through."""
    changes: dict[str, object] = {}
    if "npm_registry" not in settings.model_fields_set and (
        npm := _say(["npm", "config", "get", "registry"])
    ):
        changes["npm_registry"] = npm
    if "pypi_index" not in settings.model_fields_set and (
        pip := _say(["pip3", "config", "get", "global.index-url"])
    ):
        changes["pypi_index"] = pip
    if "registry_hosts" not in settings.model_fields_set:
        extra = {host for url in changes.values() if (host := urlsplit(str(url)).hostname)}
        changes["registry_hosts"] = tuple(dict.fromkeys([*settings.registry_hosts, *sorted(extra)]))
    return settings.model_copy(update=changes)


def _say(argv: list[str]) -> str:
    """What a program prints, if it is there and prints an address; otherwise nothing."""
    if shutil.which(argv[0]) is None:
        return ""
    done = subprocess.run(argv, capture_output=True, text=True, timeout=30, check=False)
    text = done.stdout.strip()
    return text if done.returncode == 0 and text.startswith("http") else ""
