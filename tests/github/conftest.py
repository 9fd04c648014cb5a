"""One local GitHub for all tests of this folder, a fresh repository for each test."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import yaml

from bot.local.github import seed
from bot.local.github.server import Running, start
from tests.github.hub import Hub, make_repo

MANIFEST = Path(__file__).parents[2] / "app.yml"


@pytest.fixture(scope="session")
def local_github(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """The stand-in, with our App made from its manifest."""
    running = start(tmp_path_factory.mktemp("github"), manifest=yaml.safe_load(MANIFEST.read_text()))
    yield running
    running.stop()


@pytest.fixture
def hub(local_github: Running) -> Iterator[Hub]:
    """A repository of its own; afterwards, no request may have left GitHub's description."""
    with httpx.Client(timeout=30, trust_env=False) as http:
        http.delete(f"{local_github.web_url}/_local/violations")
        repo = make_repo(local_github, http, {"README.md": "# A game\n"})
        hub = Hub(local_github, http, repo, seed.ROLES)
        yield hub
        hub.calm()
        for opened in hub.open:
            opened.close()
    assert not [found for found in local_github.violations() if found["where"] == "request"]
