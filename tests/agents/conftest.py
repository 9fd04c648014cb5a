"""The world of an agent: a journal, the local Vers, the gateway, a scripted model, and one golden image for all tests."""

import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bot.agents.daemon import Daemon
from bot.agents.golden import GoldenImages, GoldenSettings
from bot.agents.lines import Lines
from bot.agents.outcome import SwarmLimits
from bot.agents.outside import Outside
from bot.agents.swarm import Swarm
from bot.core.models import BuildRequest, CommitId, Repo, RunId
from bot.core.texts import Texts, default_loader
from bot.gateway.server import Gateway
from bot.local.vers.server import Running
from bot.pipeline.journal.database import metadata, open_database
from bot.pipeline.journal.fleet import Fleet
from bot.pipeline.journal.runs import Runs
from bot.pipeline.journal.usage import Usage
from bot.settings import load_settings
from bot.vms.base import Connect
from bot.vms.ssh import SshConnector
from bot.vms.vers import VersProvider
from tests.agents.scripted import ScriptedModel
from tests.conftest import one_builder

TEMPLATES = Path(__file__).parents[2] / "templates"
MODEL = "claude-sonnet-4-5"
DEPLOYMENT = "local"  # the same image as the walks: it is built once
NEW_PI = "@earendil-works/pi-coding-agent@0.87.1"
OLD_PI = "@mariozechner/pi-coding-agent@0.73.1"


@dataclass(frozen=True)
class World:
    """Everything that a swarm needs, wired as the composition root does it."""

    provider: VersProvider
    connect: Connect
    gateway: Gateway
    model: ScriptedModel
    runs: Runs
    fleet: Fleet
    usage: Usage
    texts: Texts
    lines: Lines

    def images(self, pi_package: str = NEW_PI) -> GoldenImages:
        """The golden images of one package of pi."""
        settings = load_settings()
        return GoldenImages(
            provider=self.provider,
            connect=self.connect,
            fleet=self.fleet,
            lines=self.lines,
            texts=self.texts,
            vm_files=TEMPLATES / "vm",
            settings=GoldenSettings(DEPLOYMENT, pi_package, settings.npm_registry, settings.pypi_index),
            new_secret=new_secret,
        )

    def new_run(self) -> RunId:
        """A build in the journal."""
        run = RunId(secrets.token_hex(6))
        request = BuildRequest(Repo("o/r", 1, 1), 1, "a title", "a body", "someone", "delivery")
        assert self.runs.create(run, request)
        return run

    def swarm(
        self,
        run: RunId,
        golden: CommitId,
        outside: Outside | None = None,
        now: Callable[[], float] = time.time,
        connect: Connect | None = None,
        **limits: Any,
    ) -> Swarm:
        """A swarm as a fresh process would make it."""
        return Swarm(
            run,
            golden=golden,
            provider=self.provider,
            connect=connect or self.connect,
            runs=self.runs,
            fleet=self.fleet,
            usage=self.usage,
            lines=self.lines,
            texts=self.texts,
            limits=SwarmLimits(
                **{
                    "deployment": DEPLOYMENT,
                    "model": MODEL,
                    "max_agents": 4,
                    "warm_workers": 2,
                    "run_deadline": time.time() + 120,
                    **limits,
                }
            ),
            now=now,
            new_secret=new_secret,
            outside=outside,
        )


def new_secret() -> str:
    """A bearer."""
    return secrets.token_hex(24)


@pytest.fixture(scope="session")
def world(local_vers: Running, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The real adapters on the local stand-ins; only the model is played."""
    engine = open_database(f"sqlite:///{tmp_path_factory.mktemp('journal')}/journal.db")
    metadata.create_all(engine)
    provider = VersProvider(
        url=local_vers.base_url, api_key=local_vers.api_key, vm_domain=local_vers.vm_domain
    )
    usage = Usage(engine, time.time, 1_000_000_000)
    model = ScriptedModel()
    gateway = Gateway(
        accounts=usage,
        anthropic_url=model.url,
        anthropic_key="the-real-key",
        max_tokens=32_000,
        budget_usd=1000.0,
        registry_hosts=load_settings().registry_hosts,
        refused=lambda _vm, _what: None,
    )
    yield World(
        provider=provider,
        connect=SshConnector(
            provider, vm_domain=local_vers.vm_domain, front=local_vers.front, ca_file=local_vers.ca_file
        ),
        gateway=gateway,
        model=model,
        runs=Runs(engine, time.time),
        fleet=Fleet(engine, time.time),
        usage=usage,
        texts=Texts(default_loader(TEMPLATES)),
        lines=Lines(gateway.llm_dial, gateway.registry_dial),
    )
    gateway.close()
    model.close()
    provider.close()


@pytest.fixture(scope="session")
def golden(world: World) -> CommitId:
    """The golden image of the present recipe; built once per host."""
    with one_builder():
        return world.images().ensure(print)


@pytest.fixture(scope="session")
def old_golden(world: World, golden: CommitId) -> Iterator[CommitId]:
    """The golden image with the guide's own package of pi in place of the present one."""
    (vm,) = world.provider.branch(golden)
    try:
        shell = world.connect(vm)
        world.lines.open_on(shell)
        shell.run(
            ". /etc/profile.d/swarm.sh; rm /usr/local/bin/pi; "
            f"npm install --global --prefix /usr/local --loglevel=error {OLD_PI}",
            timeout_s=240,
        )
        daemon = Daemon(shell, "old")
        daemon.start(model="claude-sonnet-4-5", thinking="off")
        daemon.wait_ready()
        daemon.stop()
        daemon.clean()
        shell.close()
        commit = world.provider.commit(vm, "swarm-tests-old-pi")
    finally:
        world.provider.delete(vm)
    yield commit
    world.provider.delete_commit(commit)


@pytest.fixture
def build(world: World, golden: CommitId) -> Iterator[Callable[..., Swarm]]:
    """Makes swarms; all their machines are gone at the end of the test."""
    made: list[Swarm] = []

    def make(run: RunId, outside: Outside | None = None, **limits: Any) -> Swarm:
        made.append(world.swarm(run, golden, outside, **limits))
        return made[-1]

    yield make
    for swarm in made:
        swarm.teardown()
    assert [vm.id for vm in world.provider.vms() if vm.labels.get("deployment") == DEPLOYMENT] == []
