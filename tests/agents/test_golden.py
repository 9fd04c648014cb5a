"""The golden image on real machines."""

from bot.core.models import CommitId
from tests.agents.conftest import World


def test_it_is_found_again(world: World, golden: CommitId) -> None:
    """A second builder finds the image by its row, a stranger with an empty journal by its tag."""
    assert world.images().find() == golden
    assert world.provider.tagged(world.images().name) == golden
