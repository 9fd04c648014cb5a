"""The agents' world serves here, too: adapters on the local stand-ins and the one golden image."""

from tests.agents.conftest import golden, world

__all__ = ["golden", "world"]
