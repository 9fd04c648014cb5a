"""What every `Provider` with its `Connect` must do, shown on the local Vers: real machines, real sshd, real TLS.

With `-m live` and VERS_API_KEY the same tests ask the real service, or whatever Vers the settings lead to. Those that need
the stand-in's fault switch, or a relay before its front, are skipped there.
"""

import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from bot.cli.place import place_of
from bot.cli.probe import Probe
from bot.core.errors import Conflict, NotFound, Permanent, Transient, Unauthentic
from bot.core.models import CommitId, VmId
from bot.local.vers.habits import DEFAULT, Habits, named
from bot.local.vers.server import Running, start
from bot.settings import Settings, load_settings
from bot.vms.base import SshKey, VmState
from bot.vms.profile import Profile
from bot.vms.ssh import LineLost, SshConnector, SshShell
from bot.vms.vers import LocalAddresses, VersProvider
from tests.cli.conftest import settings_at
from tests.contracts.conftest import connector, striking, unlabelled_children
from tests.relay import Relay
from tests.vms.sshd import certificate, new_key
from tests.waiting import wait_until

pytestmark = pytest.mark.machines

LABELS = {"app": "swarm-build", "deployment": "contract"}


PROFILES = {
    DEFAULT: Habits(),
    "june": replace(named("june"), exec_limit_s=2),
    "strict": replace(named("strict"), exec_limit_s=2, forwarding=True),  # no swarm without forwarding
}


LIVE = "live"


@pytest.fixture(scope="module", params=[*PROFILES, pytest.param(LIVE, marks=pytest.mark.live)])
def habits(request: pytest.FixtureRequest) -> Habits | None:
    """None: those of the real service, which nobody has told."""
    return PROFILES.get(request.param)


@pytest.fixture(scope="module")
def server(habits: Habits | None, request: pytest.FixtureRequest) -> Iterator[Running | None]:
    """A local server with these habits."""
    if habits is None:
        yield None
    elif habits == Habits():
        yield request.getfixturevalue("local_vers")
    else:
        with start(load_settings().swarm_cache, habits=habits) as other:
            yield other


@pytest.fixture(scope="module")
def vers(server: Running | None, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Where to work."""
    folder = tmp_path_factory.mktemp("contract")
    if server is not None:
        return settings_at(server, folder)
    settings = load_settings()
    if not settings.vers_api_key.get_secret_value():
        pytest.skip("VERS_API_KEY is not set")
    return settings.model_copy(update={"swarm_cache": folder, "deployment": "contract"})


@pytest.fixture(scope="module")
def stand_in(server: Running | None) -> Running:
    """The local server, for what the real service has not got."""
    if server is None:
        pytest.skip("the real service has no fault switch, and no front on loopback")
    return server


@pytest.fixture(scope="module")
def profile(vers: Settings) -> Profile:
    """What the probe finds there."""
    return Probe(place_of(vers), exec_seconds=4).run()


@pytest.fixture(scope="module")
def provider(vers: Settings, server: Running | None, profile: Profile) -> Iterator[VersProvider]:
    with VersProvider(
        url=vers.vers_url,
        api_key=vers.vers_api_key.get_secret_value(),
        vm_domain=vers.vers_vm_domain,
        deployment_labels=LABELS,
        address=LocalAddresses(vers.vers_publish_url) if vers.vers_publish_url else None,
        patience_s=5.0 if server else 60.0,
        profile=profile,
    ) as made:
        yield made


@pytest.fixture(scope="module")
def vm(provider: VersProvider) -> Iterator[VmId]:
    made = provider.create(memory_mib=512, disk_mib=1024, vcpus=1, labels={"purpose": "contract"})
    yield made
    provider.delete(made)


@pytest.fixture(scope="module")
def relay(stand_in: Running) -> Iterator[Relay]:
    made = Relay(stand_in.front)
    yield made
    made.close()


@pytest.fixture(scope="module")
def shell(
    vers: Settings, server: Running | None, provider: VersProvider, vm: VmId, request: pytest.FixtureRequest
) -> Iterator[SshShell]:
    front = request.getfixturevalue("relay").address if server else ""
    made = connector(vers, provider, front)(vm, timeout_s=60)
    yield made
    made.close()


def test_the_probe_finds_what_is_so(habits: Habits | None, profile: Profile) -> None:
    """Every habit, and the client is told."""
    assert profile.failures == {}
    assert profile.forwarding is True
    if habits is None:
        return
    assert (profile.list_paths, profile.pause_words) == (habits.list_paths, habits.pause_words)
    assert profile.state_after_commit == ("paused" if habits.commit_pauses else "running")
    assert profile.branch_count == (habits.max_branches or 2)
    assert profile.branch_inherits_labels is habits.inherits_labels
    assert profile.clones_share_host_key is not habits.fresh_host_keys
    assert profile.forwarding is habits.forwarding
    assert profile.exec_limited is bool(habits.exec_limit_s)
    assert profile.max_memory_mib == (habits.max_memory_mib or None)
    too_big = profile.errors["a machine beyond every limit"].status
    assert too_big == (habits.limit_status if habits.max_memory_mib else 201)


# Machines --------------------------------------------------------------------------------------------


def test_a_machine_is_seen_as_it_was_made(provider: VersProvider, vm: VmId) -> None:
    """State, labels and origin; the list has it once."""
    assert provider.status(vm).state is VmState.RUNNING
    [listed] = [info for info in provider.vms() if info.id == vm]
    assert listed.labels == {**LABELS, "purpose": "contract"}
    provider.label(vm, {"run": "r1"})
    assert provider.status(vm).labels == {**LABELS, "purpose": "contract", "run": "r1"}
    metadata = provider.metadata(vm)
    assert ":" in metadata.ip
    assert metadata.parent_commit is None


def test_what_does_not_exist_is_not_found(provider: VersProvider) -> None:
    """An unknown machine, snapshot or tag; deleting one is fine."""
    nobody = VmId(str(uuid.uuid4()))
    for ask in (provider.status, provider.metadata, provider.ssh_key):
        with pytest.raises(NotFound):
            ask(nobody)
    with pytest.raises(NotFound):
        provider.branch(CommitId(str(uuid.uuid4())))
    assert provider.tagged("contract-none") is None
    provider.delete(nobody)
    provider.delete_commit(CommitId(str(uuid.uuid4())))


def test_snapshots_branch_into_machines_of_their_own(
    vers: Settings, provider: VersProvider, vm: VmId
) -> None:
    """Files of the parent, writes apart, lost names found by their origin, and no deletion under living machines."""
    provider.write_file(vm, "/root/seen", b"parent")
    commit = provider.commit(vm, "contract-golden")
    children: list[VmId] = []
    try:
        provider.tag("contract-golden", commit)
        provider.tag("contract-golden", commit)
        assert provider.tagged("contract-golden") == commit
        assert (commit, "contract-golden") in [(info.id, info.name) for info in provider.commits()]
        children = provider.branch(commit, 2)
        assert len(set(children)) == 2
        assert sorted(unlabelled_children(provider, commit)) == sorted(children)
        provider.label(children[0], {"run": "r1"})
        assert unlabelled_children(provider, commit) == [children[1]]
        assert provider.metadata(children[0]).parent_commit == commit
        shells = [connector(vers, provider)(child) for child in children]
        assert [shell.run("cat /root/seen").text for shell in shells] == ["parent", "parent"]
        shells[0].write_file("/root/seen", b"child")
        assert [shell.run("cat /root/seen").text for shell in shells] == ["child", "parent"]
        assert provider.read_file(vm, "/root/seen") == b"parent"
        with pytest.raises(Conflict):
            provider.delete_commit(commit)
        for shell in shells:
            shell.close()
    finally:
        for child in children:
            provider.delete(child)
        provider.delete_commit(commit)
    assert not {info.id for info in provider.vms()} & set(children)
    assert commit not in [info.id for info in provider.commits()]


def test_an_answer_that_is_lost_leaves_a_machine_that_can_be_found(
    stand_in: Running, provider: VersProvider, vm: VmId
) -> None:
    """The branch happens, its answer does not come, nothing is repeated, and the machine is found by its origin."""
    commit = provider.commit(vm, "contract-lost")
    try:
        with striking(stand_in) as strike:
            strike("POST /vm/branch/by_commit/*", "cut")
            with pytest.raises(Transient):
                provider.branch(commit)
        [lost] = unlabelled_children(provider, commit)
        provider.delete(lost)
    finally:
        provider.delete_commit(commit)


def test_a_paused_machine_comes_back(provider: VersProvider, vm: VmId) -> None:
    """Paused and running again, with what it ran."""
    provider.set_paused(vm, paused=True)
    assert provider.status(vm).state in (VmState.PAUSED, VmState.SLEEPING)
    provider.set_paused(vm, paused=False)
    assert provider.status(vm).state is VmState.RUNNING


def test_files_go_over_the_api(provider: VersProvider, vm: VmId) -> None:
    """Binary, with folders and mode."""
    data = os.urandom(300_000)
    provider.write_file(vm, "/root/a/b/c.bin", data, mode=0o700)
    assert provider.read_file(vm, "/root/a/b/c.bin") == data
    with pytest.raises(NotFound):
        provider.read_file(vm, "/root/none")


def test_the_accounts_variables_are_read(provider: VersProvider) -> None:
    """A stand-in has none; the call works."""
    assert isinstance(provider.account_variables(), dict)


# The line --------------------------------------------------------------------------------------------


def test_another_host_key_or_authority_is_refused(
    vers: Settings, provider: VersProvider, vm: VmId, tmp_path: Path
) -> None:
    """The real sshd and the real front, with a pin and an authority that are not theirs."""

    class WrongPin(SshConnector):
        def key(self, vm: VmId) -> SshKey:
            return SshKey(super().key(vm).private_key, new_key()[1])

    domain, front = vers.vers_vm_domain, vers.vers_front
    with pytest.raises(Unauthentic, match="host key"):
        WrongPin(provider, vm_domain=domain, front=front, ca_file=vers.vers_ca_file)(vm)
    other = certificate(tmp_path, f"{vm}.{domain}")
    with pytest.raises(Unauthentic, match="certificate"):
        SshConnector(provider, vm_domain=domain, front=front, ca_file=other)(vm)


def test_a_machine_that_is_gone_is_told(vers: Settings, provider: VersProvider) -> None:
    """Within the time of a look at its state, not at the end of the patience."""
    started = time.monotonic()
    with pytest.raises(NotFound):
        connector(vers, provider)(VmId(str(uuid.uuid4())), timeout_s=60)
    assert time.monotonic() - started < 20


def test_big_streams_and_statuses(shell: SshShell) -> None:
    """4 MB each way with OpenSSH's windows, and on both streams what each may carry; the status is the command's."""
    data = os.urandom(4_000_000)
    done = shell.run("cat; exit 7", stdin=data, check=False)
    assert (done.exit_status, done.stdout == data) == (7, True)
    done = shell.run("tee /dev/stderr; exit 7", stdin=data[:900_000], check=False)
    assert (done.exit_status, done.stdout == data[:900_000], done.stderr == data[:900_000]) == (7, True, True)
    with pytest.raises(Permanent, match="standard error"):
        shell.run("cat >&2", stdin=data, check=False)
    assert shell.run("kill -9 $$", check=False).exit_status == 137
    assert shell.run("id -un").text == "root\n"


def test_a_command_at_its_limit_is_gone_from_the_machine(shell: SshShell) -> None:
    """With its children."""
    with pytest.raises(Transient, match="did not end"):
        shell.run("(trap '' TERM HUP; exec -a stubborn sleep 300) & wait", timeout_s=1)
    wait_until(
        lambda: shell.run("pgrep -fc '^stubborn' || true").text.strip() == "0", 10, "the child is gone"
    )


def test_a_background_process_does_not_hold_the_command(shell: SshShell) -> None:
    """The sshd keeps the channel open for it; we do not wait."""
    started = time.monotonic()
    shell.run("setsid sleep 20 & true")
    assert time.monotonic() - started < 10


def test_files_and_trees_for_another_user(shell: SshShell) -> None:
    """Written as that user, so that a link in their folder leads nowhere that they could not go themselves."""
    shell.run("id agent 2>/dev/null || useradd -m agent")
    shell.write_file("/home/agent/work/deep/x.sh", b"#!/bin/sh\n", mode=0o755, owner="agent")
    assert shell.run("stat -c '%U %a' /home/agent/work/deep/x.sh").text == "agent 755\n"
    shell.run("ln -s /etc /home/agent/link && chown -h agent: /home/agent/link")
    with pytest.raises(Permanent):
        shell.write_file("/home/agent/link/owned", b"x", owner="agent")
    tar = shell.read_tree("/home/agent/work")
    shell.write_tree("/srv/new/place", tar, owner="agent")
    assert shell.run("stat -c '%U %a' /srv/new/place/deep/x.sh").text == "agent 755\n"
    assert shell.run("ls /etc/owned 2>&1 || true").text.startswith("ls: cannot access")


def test_following_goes_on_where_a_killed_connection_ended(shell: SshShell, relay: Relay) -> None:
    """Every byte once, while the line is cut three times; no tail is left behind."""
    count = 400
    write = f"rm -f /root/log; (for n in $(seq {count}); do echo line $n; sleep 0.01; done) >/root/log"
    shell.run(f"setsid bash -c {write!r} >/dev/null 2>&1 </dev/null &")
    expected = b"".join(b"line %d\n" % n for n in range(1, count + 1))
    received, cuts = b"", 0
    while len(received) < len(expected):
        try:
            for data in shell.follow("/root/log", len(received), idle_s=0.5):
                received += data
                if cuts < 3 and len(received) > (cuts + 1) * len(expected) // 5:
                    cuts += 1
                    relay.cut()
                if len(received) >= len(expected):
                    break
        except LineLost:
            continue
    assert received == expected
    assert cuts == 3
    wait_until(lambda: shell.run("pgrep -fc '4<[/]root/log' || true").text.strip() == "0", 15, "tails end")


def test_an_unprivileged_process_streams_through_a_forwarded_port(shell: SshShell, relay: Relay) -> None:
    """With little lag; and again after the line was cut, without anybody asking for it."""
    port = 8899
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                taken, _ = listener.accept()
            except OSError:
                return
            with taken:
                taken.recv(100)
                for _ in range(50):
                    taken.sendall(b"%f\n" % time.time())
                    time.sleep(0.005)

    threading.Thread(target=serve, daemon=True).start()
    shell.forward(port, lambda: socket.create_connection(listener.getsockname()))
    client = (
        f"exec 3<>/dev/tcp/127.0.0.1/{port}; echo hi >&3; "
        'while read -r sent <&3; do echo "$EPOCHREALTIME $sent"; done'
    )
    command = f"runuser -u nobody -- bash -c '{client}'"

    def lags() -> list[float]:
        lines = shell.run(command, check=False).text.splitlines()
        return sorted(float(now) - float(sent) for now, sent in (line.split() for line in lines))

    measured = lags()
    assert len(measured) == 50
    assert measured[25] < 0.05
    relay.cut()
    wait_until(lambda: len(lags()) == 50, 15, "the port serves again")
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()


def test_a_port_that_a_dead_line_still_holds_is_taken_over(
    vers: Settings, stand_in: Running, provider: VersProvider, vm: VmId
) -> None:
    """A line that broke without a word leaves an sshd that listens; the next line does not wait for its end."""
    relay = Relay(stand_in.front)
    dead = connector(vers, provider, relay.address)(vm)
    living = connector(vers, provider)(vm)
    service, other = socket.create_server(("127.0.0.1", 0)), socket.create_server(("127.0.0.1", 0))
    try:
        dead.forward(8897, lambda: socket.create_connection(other.getsockname()))
        relay.muted = True
        living.forward(8897, lambda: socket.create_connection(service.getsockname()))
        caller = threading.Thread(target=lambda: living.run("exec 3<>/dev/tcp/127.0.0.1/8897; cat <&3"))
        caller.start()
        service.settimeout(10)
        taken, _ = service.accept()
        taken.close()
        caller.join(10)
    finally:
        dead.close()
        living.close()
        relay.close()


def test_the_public_address_reaches_the_machine(shell: SshShell, provider: VersProvider, vm: VmId) -> None:
    """A server on IPv6 inside answers at the address that the provider names."""
    shell.run("mkdir -p /srv/www && echo hello >/srv/www/index.html")
    shell.run("cd /srv/www && setsid python3 -m http.server --bind :: 3000 >/dev/null 2>&1 </dev/null &")
    url = provider.public_url(vm, 3000)

    def answered() -> str:
        try:
            return httpx.get(url, timeout=5).text.strip()
        except httpx.HTTPError:
            return ""

    assert wait_until(answered, 15, "the server answers") == "hello"
