"""Fixtures that every room may use: one local Vers for the whole session, and the proof that it leaves nothing."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bot.local.vers.layout import locked
from bot.local.vers.preflight import checks
from bot.local.vers.server import Running, start
from bot.local.vers.tls import ensure_authority
from bot.settings import load_settings
from tests.leftovers import Snapshot
from tests.waiting import wait_until


def require_machines(cache: Path) -> None:
    """Fail in CI, skip elsewhere, where this host cannot run machines; the reason says what to do about it."""
    lacking = [f"{c.name}: {c.message} ({c.cure})" for c in checks(cache) if c.required and not c.ok]
    if lacking:
        reason = "no local machines here. " + "; ".join(lacking)
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)


@contextmanager
def one_builder() -> Iterator[None]:
    """Held while a golden image may be built: the suite's processes share a host's images, and one build is enough."""
    cache = load_settings().swarm_cache
    cache.mkdir(parents=True, exist_ok=True)
    with locked(cache / "tests.lock"):
        yield


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Tests of the real service cost money: they run where `-m` names them, and nowhere else."""
    if "live" in re.findall(r"\w+", config.option.markexpr):
        return
    live = [item for item in items if item.get_closest_marker("live")]
    if live:
        config.hook.pytest_deselected(items=live)
        items[:] = [item for item in items if item not in live]


@pytest.fixture(scope="session", autouse=True)
def _trust_nobody(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Tests know no authority of the world: they talk to stand-ins alone, and a client need not read 140 of them. The real
    service is known by the world's.
    """
    if any(item.get_closest_marker("live") for item in request.session.items):
        return
    os.environ["SSL_CERT_FILE"] = str(ensure_authority(tmp_path_factory.mktemp("nobody")))


@pytest.fixture(scope="session")
def local_vers() -> Iterator[Running]:
    """The real stand-in on the shared cache: base tree and golden image are built once per host."""
    cache = load_settings().swarm_cache
    require_machines(cache)
    before = Snapshot.take()
    running = start(cache)
    yield running
    running.stop()
    run = running.run
    wait_until(lambda: not before.left_by(run), 5, "the machines' server has left nothing")
