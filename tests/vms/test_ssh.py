"""The line to a machine, against a real SSH server inside TLS that runs its commands on this computer."""

import io
import os
import random
import socket
import tarfile
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import paramiko
import pytest

from bot.core.errors import BotError, NotFound, Permanent, Transient, Unauthentic
from bot.core.models import VmId
from bot.vms.base import Dial, SshKey
from bot.vms.channels import FOREIGN
from bot.vms.shell import _GRACE_S
from bot.vms.ssh import _KEEPALIVE_S, _SILENCE_S, LineLost, SshConnector, SshShell
from bot.vms.tls import _FLUSH_S, _TCP_USER_TIMEOUT_MS
from tests.relay import Relay
from tests.vms.sshd import DOMAIN, KeyDesk, TlsSshd, certificate, new_key, tls_sshd
from tests.waiting import wait_until

VM = VmId("vm-1")
World = tuple[TlsSshd, KeyDesk]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with tls_sshd(tmp_path_factory.mktemp("sshd"), VM) as made:
        yield made


def connector(world: World, **options: Any) -> SshConnector:
    sshd, desk = world
    options = {"ca_file": sshd.pem, "front": sshd.front, "patience_s": 5.0, **options}
    return SshConnector(desk.provider, vm_domain=DOMAIN, **options)


@pytest.fixture
def shell(world: World) -> Iterator[SshShell]:
    made = connector(world)(VM, timeout_s=10)
    yield made
    made.close()


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


# Trust -----------------------------------------------------------------------------------------------


def test_another_host_key_is_refused_at_once(world: World) -> None:
    """The pinned key is the only one that is believed; there is no second try."""
    sshd, desk = world
    wrong = KeyDesk(replace(desk.ssh, host_key=new_key()[1]))
    started = time.monotonic()
    with pytest.raises(Unauthentic, match="host key"):
        connector((sshd, wrong))(VM, timeout_s=10)
    assert time.monotonic() - started < 5


def test_a_host_key_that_was_made_meanwhile_is_the_pin(world: World) -> None:
    """A clone's own key is written while it boots: what its provider says now counts, and nothing else does."""
    sshd, desk = world
    parents = replace(desk.ssh, host_key=new_key()[1])

    class Booting(KeyDesk):
        def ssh_key(self, vm: VmId) -> SshKey:
            answers.append(parents if not answers else self.ssh)
            return answers[-1]

    answers: list[SshKey] = []
    shell = connector((sshd, Booting(desk.ssh)))(VM, timeout_s=10)
    assert shell.run("echo up").text == "up\n"
    shell.close()
    answers.clear()
    with pytest.raises(Unauthentic, match="host key"):
        connector((sshd, Booting(replace(desk.ssh, host_key=new_key()[1]))))(VM, timeout_s=10)


def test_a_certificate_of_another_authority_is_refused(world: World, tmp_path: Path) -> None:
    """The machine's certificate must come from an authority that we were told to trust."""
    other = certificate(tmp_path, f"{VM}.{DOMAIN}")
    with pytest.raises(Unauthentic, match="certificate"):
        connector(world, ca_file=other)(VM, timeout_s=10)
    with pytest.raises(Unauthentic, match="certificate"):
        connector(world, ca_file=None)(VM, timeout_s=10)


def test_a_certificate_for_another_name_is_refused(world: World) -> None:
    """A machine cannot be passed off as another one of the same domain."""
    with pytest.raises(Unauthentic, match=r"(?i)hostname mismatch"):
        connector(world)(VmId("vm-2"), timeout_s=10)


def test_a_machine_that_is_gone_is_told_from_one_that_boots(world: World) -> None:
    """While nothing answers, the provider is asked; boot is waited for, deletion is not."""
    sshd, desk = world
    sshd.refusing = True
    try:
        with pytest.raises(Transient):
            connector(world)(VM, timeout_s=0.3)
        with pytest.raises(NotFound):
            connector((sshd, replace(desk, exists=False)))(VM, timeout_s=20)
    finally:
        sshd.refusing = False


def test_connecting_waits_until_the_machine_answers(world: World) -> None:
    """A machine that is still booting is dialled again until it is there."""
    sshd, _ = world
    sshd.refusing = True
    threading.Timer(0.4, lambda: setattr(sshd, "refusing", False)).start()
    shell = connector(world)(VM, timeout_s=10)
    assert shell.run("echo up").text == "up\n"
    shell.close()


def test_every_foreign_error_has_its_translation() -> None:
    """No exception of paramiko leaves this room, except those for wrong arguments of ours."""
    foreign = [
        kind for kind in vars(paramiko).values() if isinstance(kind, type) and issubclass(kind, Exception)
    ]
    ours = {paramiko.UnknownKeyType, paramiko.SFTPError}  # from calls that we do not make
    assert len(foreign) > 8
    for kind in set(foreign) - ours:
        assert any(issubclass(kind, known) for known in FOREIGN), kind


# Commands --------------------------------------------------------------------------------------------


def test_output_errors_and_status_are_told_apart(shell: SshShell) -> None:
    """Three streams and the status arrive as they are."""
    done = shell.run("cat; echo oops >&2; exit 3", stdin=b"\x00\xffhi\n", check=False)
    assert (done.exit_status, done.stdout, done.stderr) == (3, b"\x00\xffhi\n", b"oops\n")
    with pytest.raises(Permanent, match=r"exit status 3.*oops"):
        shell.run("echo oops >&2; exit 3")


def test_big_streams_in_all_directions_do_not_block_one_another(shell: SshShell) -> None:
    """6 MB in and out, and a megabyte on standard error, at the same time."""
    data = os.urandom(6_000_000)
    done = shell.run("tee >(head -c 1000000 >&2; cat >/dev/null)", stdin=data)
    assert done.stdout == data
    assert done.stderr == data[:1_000_000]


@pytest.mark.parametrize(
    ("command", "sentence"),
    [("yes", "16777216 bytes of output"), ("yes >&2", "1048576 bytes on standard error"),
     ("head -c 2000000 /dev/zero >&2; echo done", "1048576 bytes on standard error")],
)  # fmt: skip
def test_a_command_that_writes_without_end_is_stopped(shell: SshShell, command: str, sentence: str) -> None:
    """What it says is held in memory, so there is a limit to it."""
    with pytest.raises(Permanent, match=sentence):
        shell.run(command)


class Talker:
    """A session whose command never stops talking, and never ends."""

    def read(self) -> bytes | None:
        return b"y"

    def read_error(self) -> bytes | None:
        return b""

    def pending_error(self) -> bytes:
        return b""

    def write(self, data: memoryview) -> int:
        return len(data)

    def end_input(self) -> None:
        pass

    def exit_status(self, timeout_s: float) -> int | None:
        return None

    def close(self) -> None:
        pass


class TalkersLine:
    """A line to a machine that does not keep the limit it was told."""

    vm = VM

    def session(self, command: str, *, poll_s: float) -> Talker:
        return Talker()

    def forward(self, vm_port: int, dial: Dial) -> None:
        pass

    def close(self) -> None:
        pass


def test_the_limit_holds_while_output_flows() -> None:
    """Our own clock ends it, even if the machine's does not."""
    with pytest.raises(Transient, match="did not end within"):
        SshShell(TalkersLine()).run("x", timeout_s=0.2 - _GRACE_S)


def test_a_command_that_does_not_read_its_input_still_ends(shell: SshShell) -> None:
    """Its exit status counts, not the input that nobody wanted."""
    assert shell.run("exit 5", stdin=b"x" * 5_000_000, check=False).exit_status == 5


def test_a_command_that_dies_by_a_signal_has_a_status(shell: SshShell) -> None:
    """It is not taken for a lost line."""
    assert shell.run("kill -9 $$", check=False).exit_status == 137


def test_at_the_limit_the_whole_process_group_is_ended(shell: SshShell, tmp_path: Path) -> None:
    """Children that ignore polite signals are gone, too, on the machine and not only on our side."""
    pids = tmp_path / "pids"
    command = f"trap '' TERM; (trap '' TERM; echo $BASHPID >>{pids}; sleep 300) & echo $$ >>{pids}; wait"
    with pytest.raises(Transient, match="did not end within 1 s"):
        shell.run(command, timeout_s=1)
    recorded = [int(line) for line in pids.read_text().split()]
    assert len(recorded) == 2
    wait_until(lambda: not any(alive(pid) for pid in recorded), 15, "both processes have ended")


def test_a_process_left_in_the_background_does_not_hold_the_command(shell: SshShell) -> None:
    """A daemon that keeps the output open is not waited for."""
    started = time.monotonic()
    done = shell.run("setsid sleep 30 & echo pid $!; exit 4", check=False)
    assert done.exit_status == 4
    assert time.monotonic() - started < 10
    os.kill(int(done.text.split()[1]), 9)


def test_a_lost_line_is_never_a_success(world: World, shell: SshShell) -> None:
    """A command whose status did not come raises and is not repeated; the next one uses a new connection."""
    sshd, _ = world
    before = len(sshd.pids)
    threading.Timer(0.3, sshd.cut).start()
    with pytest.raises(LineLost):
        shell.run("sleep 2; echo late")
    assert len(sshd.pids) == before + 1
    assert shell.run("echo again").text == "again\n"


def test_many_threads_share_one_line(world: World, shell: SshShell) -> None:
    """More commands than sshd allows sessions wait for their turn on the one connection."""
    sshd, _ = world
    connections = len(sshd.transports)
    answers: list[str] = []
    threads = [
        threading.Thread(target=lambda n=n: answers.append(shell.run(f"sleep 0.1; echo {n}").text.strip()))
        for n in range(24)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert sorted(answers, key=int) == [str(n) for n in range(24)]
    assert len(sshd.transports) == connections


def test_a_closed_line_stays_closed(world: World) -> None:
    """Closing is final: nothing dials again behind our back."""
    shell = connector(world)(VM)
    shell.close()
    with pytest.raises(BotError, match="closed"):
        shell.run("true")


# Files -----------------------------------------------------------------------------------------------


def test_a_file_arrives_whole_with_its_mode(shell: SshShell, tmp_path: Path) -> None:
    """Binary, larger than an argument can be, into a folder with an awkward name; nothing else is left there."""
    path = tmp_path / 'it\'s a "folder" $HOME' / "dä ta\n.bin"
    data = os.urandom(700_000)
    shell.write_file(str(path), data, mode=0o751)
    assert path.read_bytes() == data
    assert path.stat().st_mode & 0o7777 == 0o751
    assert list(path.parent.iterdir()) == [path]
    assert shell.read_file(str(path)) == data
    shell.write_file(str(path), b"")
    assert shell.read_file(str(path)) == b""


def test_a_file_beyond_the_limit_or_missing_is_an_error(shell: SshShell, tmp_path: Path) -> None:
    """A limit is a limit, not a cut."""
    (tmp_path / "big").write_bytes(b"x" * 1001)
    with pytest.raises(Permanent, match="more than 1000 bytes"):
        shell.read_file(str(tmp_path / "big"), limit_bytes=1000)
    with pytest.raises(Permanent, match="No such file"):
        shell.read_file(str(tmp_path / "none"))


def test_a_line_lost_while_writing_leaves_the_old_file(world: World, shell: SshShell, tmp_path: Path) -> None:
    """Half a file never takes the name; the writing is repeated on the next connection."""
    sshd, _ = world
    path = tmp_path / "target"
    path.write_bytes(b"old")
    seen: set[bytes] = set()
    stop = threading.Event()

    def observe() -> None:
        while not stop.is_set():
            seen.add(path.read_bytes()[:3])

    observer = threading.Thread(target=observe)
    observer.start()
    threading.Timer(0.05, sshd.cut).start()
    shell.write_file(str(path), b"new" * 5_000_000)
    stop.set()
    observer.join()
    assert path.stat().st_size == 15_000_000
    assert seen <= {b"old", b"new"}


def test_trees_go_both_ways(shell: SshShell, tmp_path: Path) -> None:
    """A folder comes as a tar without what is excluded, and is unpacked below another one."""
    source, target = tmp_path / "source", tmp_path / "a" / "target"
    (source / "node_modules" / "x").mkdir(parents=True)
    (source / "run.sh").write_text("echo hi")
    (source / "run.sh").chmod(0o755)
    (source / "node_modules" / "x" / "y").write_text("no")
    tar = shell.read_tree(str(source), exclude=["node_modules"])
    with tarfile.open(fileobj=io.BytesIO(tar)) as members:
        names = sorted(members.getnames())
    assert names == [".", "./run.sh"]
    shell.write_tree(str(target), tar)
    assert (target / "run.sh").stat().st_mode & 0o777 == 0o755
    with pytest.raises(Permanent):
        shell.read_tree(str(tmp_path / "none"))


# Following -------------------------------------------------------------------------------------------


def test_following_resumes_byte_exact_after_a_lost_line(
    world: World, shell: SshShell, tmp_path: Path
) -> None:
    """Three cuts while a file grows: every byte once, in its order."""
    sshd, _ = world
    path = tmp_path / "out.jsonl"
    line = '{"text": "ä\u2028…"}\n'.encode()
    lines = 3000

    def write() -> None:
        with path.open("ab", buffering=0) as out:
            for n in range(lines):
                out.write(b"%d %s" % (n, line))
                if n % 1000 == 500:
                    sshd.cut()
                if n % 50 == 0:
                    time.sleep(0.005)

    writer = threading.Thread(target=write)
    writer.start()
    expected = b"".join(b"%d %s" % (n, line) for n in range(lines))
    received = b""
    cuts = 0
    while len(received) < len(expected):
        try:
            for data in shell.follow(str(path), len(received), idle_s=0.2):
                received += data
                if len(received) >= len(expected):
                    break
        except Transient:
            cuts += 1
            assert cuts < 20
    writer.join()
    assert received == expected
    assert cuts >= 1


def test_following_from_200_random_offsets(world: World, shell: SshShell, tmp_path: Path) -> None:
    """Each time all that was under way is lost, and each tenth time the connection, too: the bytes are those of the file."""
    sshd, _ = world
    draw = random.Random(3)  # noqa: S311  # the same offsets each time
    text = "".join(f"{n} ä\u2028😀\r\n" for n in range(20_000))
    data = f'{text}"{"y" * (2 << 20)}"\n{text}no end'.encode()
    path = tmp_path / "out.jsonl"
    path.write_bytes(data)
    received = bytearray()
    connections = len(sshd.transports)
    for number, offset in enumerate(sorted(draw.sample(range(len(data)), 200))):
        stream = shell.follow(str(path), len(received))
        while len(received) < offset:
            received += next(stream)[: offset - len(received)]
        stream.close()  # type: ignore[attr-defined]  # it is a generator
        if number % 10 == 0:
            sshd.cut()
    for chunk in shell.follow(str(path), len(received)):
        received += chunk
        if len(received) >= len(data):
            break
    assert sha256(received).hexdigest() == sha256(data).hexdigest()
    assert len(sshd.transports) >= connections + 20


class Growing:
    """A file that grows while a test follows it, and what it will have been."""

    def __init__(self, path: Path, lines: int, pause_s: float) -> None:
        self.path = path
        self.expected = "".join(f'{{"n": {n}, "text": "ä\u2028😀"}}\n' for n in range(lines)).encode()
        self._pause_s = pause_s
        self._thread = threading.Thread(target=self._write, daemon=True)
        self._thread.start()

    def _write(self) -> None:
        with self.path.open("ab", buffering=0) as out:
            for start in range(0, len(self.expected), 1_000):  # also in the middle of a character
                out.write(self.expected[start : start + 1_000])
                time.sleep(self._pause_s)

    def followed(self, shell: SshShell) -> tuple[str, list[float]]:
        """The sha256 of what arrived, and when lines were lost."""
        received, lost = bytearray(), []
        while len(received) < len(self.expected):
            try:
                for data in shell.follow(str(self.path), len(received), idle_s=0.2):
                    received += data
                    if len(received) >= len(self.expected):
                        break
            except Transient:
                lost.append(time.monotonic())
        return sha256(received).hexdigest(), lost

    @property
    def digest(self) -> str:
        return sha256(self.expected).hexdigest()


def test_following_through_bursts_of_loss(world: World, tmp_path: Path) -> None:
    """Nothing passes for 30 % of the time, in bursts of 10 to 150 ms, and one burst in ten ends the connection."""
    relay = Relay(world[0].front)
    shell = connector(world, front=relay.address)(VM)
    growing = Growing(tmp_path / "out.jsonl", lines=20_000, pause_s=0.005)
    draw, over = random.Random(30), threading.Event()  # noqa: S311  # the same weather each time
    held = cuts = 0.0

    def storm() -> None:
        nonlocal held, cuts
        while not over.is_set():
            burst_s = draw.uniform(0.01, 0.15)
            relay.hold()
            over.wait(burst_s)
            held += burst_s
            if draw.random() < 0.1:
                cuts += 1
                relay.cut()
            relay.release()
            over.wait(burst_s * 7 / 3)

    weather = threading.Thread(target=storm)
    began = time.monotonic()
    weather.start()
    try:
        digest, lost = growing.followed(shell)
    finally:
        over.set()
        weather.join()
        shell.close()
        relay.close()
    assert digest == growing.digest
    assert cuts >= 1
    assert len(lost) >= 1
    assert 0.2 < held / (time.monotonic() - began) < 0.4


def test_a_connection_that_is_half_open_for_long(world: World, tmp_path: Path) -> None:
    """Neither side hears of it. We do within 30 s, dial in vain, and go on where we were when the way is free again.

    `SWARM_HALF_OPEN_S=120` tries it with the product's own patience instead of a short one.
    """
    half_open_s = float(os.environ.get("SWARM_HALF_OPEN_S", "4"))
    silence_s = _SILENCE_S if half_open_s > _SILENCE_S else 1.0
    relay = Relay(world[0].front)
    shell = connector(world, front=relay.address, silence_s=silence_s, patience_s=1.0)(VM)
    growing = Growing(tmp_path / "out.jsonl", lines=10_000, pause_s=0.005)
    muted_at: list[float] = []

    def outage() -> None:
        wait_until(lambda: growing.path.exists() and growing.path.stat().st_size > 50_000, 15, "it has begun")
        muted_at.append(time.monotonic())
        relay.muted = True
        time.sleep(half_open_s)
        relay.muted = False

    weather = threading.Thread(target=outage)
    weather.start()
    try:
        digest, lost = growing.followed(shell)
    finally:
        weather.join()
        shell.close()
        relay.close()
    assert digest == growing.digest
    assert lost[0] - muted_at[0] < min(half_open_s, 30)


def test_following_shows_that_it_lives_and_ends_its_process(
    world: World, shell: SshShell, tmp_path: Path
) -> None:
    """A silent file yields b"" in time, one that does not exist is waited for, and closing leaves no tail behind."""
    sshd, _ = world
    path = tmp_path / "late"
    stream = shell.follow(str(path), 0, idle_s=0.1)
    assert next(stream) == b""
    path.write_bytes(b"now")
    wait_until(lambda: next(stream) == b"now", 15, "the file is read")
    tail = sshd.pids[-1]
    assert alive(tail)
    stream.close()  # type: ignore[attr-defined]  # it is a generator
    wait_until(lambda: not alive(tail), 15, "tail has ended")


def test_a_truncated_file_is_an_error(shell: SshShell, tmp_path: Path) -> None:
    """Bytes that were counted and are gone cannot be followed: at the start, and while following."""
    path = tmp_path / "short"
    path.write_bytes(b"12345")
    with pytest.raises(Permanent, match="truncated"):
        next(shell.follow(str(path), 6))
    stream = shell.follow(str(path), 5, idle_s=0.1)
    assert next(stream) == b""
    path.write_bytes(b"")
    with pytest.raises(Permanent, match="truncated"):
        wait_until(lambda: next(stream) and False, 15, "the truncation is noticed")


@pytest.mark.parametrize("replaced", [True, False], ids=["replaced", "moved away"])
def test_a_rotated_file_is_an_error(shell: SshShell, tmp_path: Path, *, replaced: bool) -> None:
    """What comes after is another file: not a byte of it is taken for the first one's."""
    path = tmp_path / "log"
    path.write_bytes(b"first\n")
    stream = shell.follow(str(path), 0, idle_s=0.1)
    received = next(stream)
    path.rename(tmp_path / "log.1")
    if replaced:
        path.write_bytes(b"another\n" * 1_000)

    def told() -> bool:
        nonlocal received
        received += next(stream)
        return False

    with pytest.raises(Permanent, match="another file"):
        wait_until(told, 15, "the rotation is noticed")
    assert received == b"first\n"


# Forwarded ports -------------------------------------------------------------------------------------


class Echo:
    """A service on our side: greets, then sends back what it gets, and ends when its caller does."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                taken, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(taken,), daemon=True).start()

    @staticmethod
    def _answer(taken: socket.socket) -> None:
        with taken:
            taken.sendall(b"hello\n")
            while data := taken.recv(65536):
                taken.sendall(data)
            taken.sendall(b"bye\n")

    def dial(self) -> socket.socket:
        return socket.create_connection(self.listener.getsockname())


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def test_a_forwarded_port_carries_both_directions_and_half_closes(shell: SshShell) -> None:
    """4 MB through and back; the end of one direction does not end the other."""
    echo, port = Echo(), free_port()
    shell.forward(port, echo.dial)
    data = os.urandom(4_000_000)
    with socket.create_connection(("127.0.0.1", port), 10) as client:
        assert client.recv(6) == b"hello\n"
        sender = threading.Thread(target=lambda: (client.sendall(data), client.shutdown(socket.SHUT_WR)))
        sender.start()
        received = bytearray()
        while chunk := client.recv(1 << 16):
            received += chunk
        sender.join()
    assert bytes(received) == data + b"bye\n"


def test_a_service_that_cannot_be_dialled_closes_the_connection(shell: SshShell) -> None:
    """The machine sees a closed connection, not one that hangs."""

    def dial() -> socket.socket:
        raise ConnectionRefusedError("nobody")

    port = free_port()
    shell.forward(port, dial)
    with socket.create_connection(("127.0.0.1", port), 10) as client:
        assert client.recv(10) == b""


def test_forwarded_ports_are_set_again_after_a_lost_line(world: World, shell: SshShell) -> None:
    """Each port keeps its own service, without anybody using the shell in between."""
    sshd, _ = world
    first, second, ports = Echo(), Echo(), (free_port(), free_port())
    shell.forward(ports[0], first.dial)
    shell.forward(ports[1], second.dial)
    connections = len(sshd.transports)
    sshd.cut()
    wait_until(lambda: len(sshd.transports) > connections, 15, "the line dials again by itself")

    def greeted(port: int) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", port), 5) as client:
                return client.recv(6) == b"hello\n"
        except OSError:
            return False

    for port in ports:
        wait_until(lambda port=port: greeted(port), 15, "the port serves again")


def test_the_numbers_add_up_to_a_dead_peer_within_30_seconds() -> None:
    """It is asked twice before it is given up, the pump looks once a second, and the kernel gives up what it sent."""
    assert 2 * _KEEPALIVE_S < _SILENCE_S
    assert _SILENCE_S + 1.0 + _FLUSH_S < 30
    assert _TCP_USER_TIMEOUT_MS / 1000 < 30


def test_a_peer_that_falls_silent_is_dead_soon(world: World) -> None:
    """A connection that stays open without a word ends by itself, and its command with it."""
    shell = connector(world, silence_s=1.5, patience_s=1.0)(VM)
    started = time.monotonic()
    with pytest.raises(LineLost):
        shell.run("sleep 60", timeout_s=30)
    assert time.monotonic() - started < 10
    shell.close()
