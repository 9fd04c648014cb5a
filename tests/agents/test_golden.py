"""The golden image on real machines."""

import dataclasses
import shutil
from pathlib import Path

import httpx
import pytest

from bot.agents.daemon import START, Daemon
from bot.agents.golden import secret_like
from bot.agents.lines import STARTS
from bot.core.errors import Permanent, Transient, UserError
from bot.core.models import CommitId, VmId
from bot.core.texts import Texts, default_loader
from bot.local.vers.server import Running
from bot.pipeline.journal.database import metadata, open_database
from bot.pipeline.journal.fleet import Fleet
from bot.vms.base import Shell
from tests.agents.conftest import DEPLOYMENT, MODEL, TEMPLATES, World
from tests.contracts.conftest import striking
from tests.waiting import wait_until


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
        assert (
            shell.run("find / -xdev -type p; ls -d /tmp/tmux-* /home/agent/sessions", check=False).text == ""
        )
        assert shell.run("ls /var/lib/systemd/random-seed", check=False).text == ""
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


def test_what_a_snapshot_brings_along(world: World, golden: CommitId) -> None:
    """A pi that runs on in a branch of a snapshot with memory is taken as it is, if it is as one wants it; where only its
    traces are left, or it is otherwise, another is started. Each branch is a machine of its own. Pi knows the skill.
    """
    (first,) = world.provider.branch(golden)
    made = [first]
    commit = None
    usual = {"model": MODEL, "thinking": "off"}

    def look(shell: Shell) -> tuple[str, str, str, str]:
        names = f"{STARTS}/{START}/pid {STARTS}/{START}/vm {STARTS}/bearer /etc/machine-id"
        pid, vm, bearer, machine = shell.run(f"for f in {names}; do cat $f; echo; done").text.split()
        return pid, vm, bearer, machine

    try:
        shell = world.connect(first)
        daemon = Daemon(shell)
        assert daemon.start(**usual, bearer="one")
        daemon.wait_ready()
        daemon.deliver("commands", b'{"id":"commands","type":"get_commands"}\n')
        wait_until(
            lambda: b'"command":"get_commands"' in shell.read_file(daemon.events), 20, "pi says what it knows"
        )
        assert b"skill:architect-pattern" in shell.read_file(daemon.events)
        before = look(shell)
        commit = world.provider.commit(first, "swarm-tests-warm")

        made += world.provider.branch(commit)
        branch = Daemon(world.connect(made[1]))
        assert branch.start(**usual, bearer="two"), "no memory was kept here"
        branch.wait_ready()
        after = look(world.connect(made[1]))
        assert after[1:3] == (made[1], "two")
        assert after[3] != before[3]

        shell.run(f"echo {made[1]} >{STARTS}/{START}/vm")  # as if this were the branch, with pi still running
        assert not daemon.start(**usual, bearer="three")
        daemon.wait_ready(5)
        assert look(shell) == (before[0], first, "three", before[3])
        shell.run(f"echo {made[1]} >{STARTS}/{START}/vm")
        assert daemon.start(model="claude-haiku-4-5", thinking="off", bearer="four")
        daemon.wait_ready()
        assert look(shell)[0] != before[0]
    finally:
        for vm in made:
            world.provider.delete(vm)
        if commit:
            world.provider.delete_commit(commit)


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


def test_a_script_that_fails_leaves_no_machine(world: World, tmp_path: Path) -> None:
    """Its last words are the reason."""
    shutil.copytree(TEMPLATES, tmp_path / "templates")
    (tmp_path / "templates" / "vm" / "golden.sh.j2").write_text("echo half-way; exit 3")
    broken = dataclasses.replace(world, texts=Texts(default_loader(tmp_path / "templates")))
    with pytest.raises(Permanent, match=r"could not be built \(exit status 3\): half-way"):
        broken.images().ensure(lambda _: None)
    assert world.provider.vms() == []
    assert not [commit for commit in world.provider.commits() if commit.name == broken.images().name]


def test_a_machine_whose_origin_is_not_told_hides_no_image(world: World, local_vers: Running) -> None:
    """The images are listed, with those users that are known."""
    vm = world.provider.create(memory_mib=512, disk_mib=1024, vcpus=1, labels={"purpose": "origin"})
    commit = world.provider.commit(vm, f"swarm-golden-{DEPLOYMENT}-{'0' * 12}")
    try:
        with striking(local_vers) as strike:
            strike(f"GET /vm/{vm}/metadata", "before", status=403)
            listed = world.images().stock().images()
        assert commit in [image.commit for image in listed]
    finally:
        world.provider.delete(vm)
        world.provider.delete_commit(commit)


def test_names_that_look_like_secrets() -> None:
    """Whatever the case."""
    assert secret_like({"A_Token": "", "db_password": "", "SECRETS": "", "KEYS": "", "PLAIN": ""}) == [
        "A_Token", "KEYS", "SECRETS", "db_password",
    ]  # fmt: skip
