"""Writes docs/configuration.md from the settings: python tools/configuration.py > docs/configuration.md."""

from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from bot.settings import Settings

HEAD = """# Configuration

Every setting is an environment variable. This page is made by `tools/configuration.py` from `bot/settings.py`.

| variable | default | |
|---|---|---|
"""


def default_of(name: str, field: FieldInfo) -> str:
    """The default as a person would type it."""
    if name == "swarm_cache":
        return "`~/.cache/swarm-build`"
    value = field.default
    if value is PydanticUndefined or value is None or value == "" or isinstance(value, SecretStr):
        return ""
    return f"`{','.join(value) if isinstance(value, tuple) else value}`"


def page() -> str:
    """The whole page."""
    rows = [
        f"| `{name.upper()}` | {default_of(name, field)} | {field.description or ''} |"
        for name, field in Settings.model_fields.items()
    ]
    return HEAD + "\n".join(rows) + "\n"


if __name__ == "__main__":
    print(page(), end="")
