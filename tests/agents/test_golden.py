"""The golden image on real machines."""

import dataclasses

import httpx
import pytest

from bot.agents.golden import secret_like
from bot.core.errors import Transient, UserError
from bot.core.models import CommitId, VmId
from bot.local.vers.server import Running
from bot.pipeline.journal.database import metadata, open_database
from bot.pipeline.journal.fleet import Fleet
from bot.vms.base import Shell
from tests.agents.conftest import DEPLOYMENT, World


def test_it_is_found_again(world: World, golden: CommitId) -> None:
    """By its row, and by its tag where the journal is empty; a build then makes no machine."""
    assert world.images().find() == golden
    engine = open_database("sqlite://")
    metadata.create_all(engine)
    stranger = dataclasses.replace(world, fleet=Fleet(engine, lambda: 0.0))
    assert stranger.images().find() == golden
    assert stranger.images().ensure(lambda _: None) == golden
    assert world.provider.vms() == []


def test_the_recipe_is_what_is_in_the_image(world: World) -> None:
    """Another package of pi is another image; another name of the installation is not another recipe."""
    images = world.images()
    assert images.recipe == world.images().recipe
    assert world.images("some-pi@1.0.0").recipe != images.recipe
    assert images.name == f"swarm-golden-{DEPLOYMENT}-{images.recipe[:12]}"


def test_no_agent_state_and_no_secret_in_it(world: World, golden: CommitId) -> None:
    """A fresh branch has no start of pi, no bearer, no identity, and belongs to root where it must."""
    (vm,) = world.provider.branch(golden)
    try:
        shell = world.connect(vm)
        assert shell.run("ls -A /var/lib/swarm").text.split() == [".lock"]
        assert shell.run("ls /root/.swarm").text.split() == ["registry.json", "status"]
        assert shell.run("ps -u agent -o pid= || true").text.strip() == ""
        assert shell.run("stat -c '%U %a' /root /root/workspace /opt/swarm/wrapper.sh").text.split("\n")[:3] == [
            "root 711", "agent 755", "root 755",
        ]  # fmt: skip
        login = "runuser -u agent -- bash -lc"
        assert "v22." in shell.run(f"{login} 'node --version'").text
        assert shell.run(f"{login} 'npm config get proxy'").text.strip() == "http://127.0.0.1:8898"
        assert shell.run(f"{login} 'rg --version && fd --version && git config core.editor'").text.endswith(
            "true\n"
        )
        assert shell.run(f"{login} 'touch /opt/swarm/x'", check=False).exit_status != 0
        shell.close()
    finally:
        world.provider.delete(vm)


def test_account_variables_with_secrets_stop_the_build(world: World, local_vers: Running) -> None:
    """Vers would write them into every machine: the operator is told which ones, and no machine is made."""
    http = httpx.Client(
        base_url=local_vers.base_url.rstrip("/").removesuffix("/api/v1") + "/api/v1",
        headers={"authorization": f"Bearer {local_vers.api_key}"},
    )
    http.put("/env_vars", json={"vars": {"MY_API_KEY": "x", "HARMLESS": "y"}}).raise_for_status()
    try:
        with pytest.raises(UserError, match="MY_API_KEY"):
            world.images("never-built@0.0.0").ensure(lambda _: None)
    finally:
        for name in ("MY_API_KEY", "HARMLESS"):
            http.delete(f"/env_vars/{name}")
    assert world.provider.vms() == []


def test_a_failed_build_leaves_no_machine(world: World) -> None:
    """Whatever goes wrong on the machine, it is deleted before the error is raised."""

    def unreachable(vm: VmId, *, timeout_s: float = 60.0) -> Shell:
        raise Transient(f"{vm} does not answer within {timeout_s} s")

    notes: list[str] = []
    with pytest.raises(Transient, match="does not answer"):
        dataclasses.replace(world, connect=unreachable).images("never-built@0.0.0").ensure(notes.append)
    assert len(notes) == 1
    assert world.provider.vms() == []


def test_names_that_look_like_secrets() -> None:
    """Whatever the case."""
    assert secret_like({"A_Token": "", "db_password": "", "SECRETS": "", "KEYS": "", "PLAIN": ""}) == [
        "A_Token", "KEYS", "SECRETS", "db_password",
    ]  # fmt: skip
