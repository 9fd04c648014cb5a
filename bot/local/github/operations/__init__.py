"""The REST operations, a module per chapter of GitHub's reference. Importing this package registers them all."""

from bot.local.github.api import HANDLERS
from bot.local.github.operations import (  # noqa: F401  # imported for what they register
    apps,
    archives,
    checks,
    contents,
    deployments,
    gitdata,
    issues,
    labels,
    pulls,
    repositories,
)

__all__ = ["HANDLERS"]
