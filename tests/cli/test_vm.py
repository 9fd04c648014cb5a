"""`swarm-bot vm …` on real local machines."""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from bot.cli.place import place_of
from bot.cli.tables import age
from bot.core.errors import UserError
from bot.core.models import VmId
from bot.settings import Settings
from tests.cli.conftest import Say

pytestmark = pytest.mark.machines

Program = Callable[..., "subprocess.CompletedProcess[bytes]"]
EVERY_BYTE = bytes(range(256)) * 1200


def ids(swarm_bot: Say, *options: str) -> set[str]:
    """Of the listed machines."""
    return {row["id"] for row in swarm_bot("vm", "list", "--json", *options)}


def test_the_life_of_a_machine(swarm_bot: Say, box: str) -> None:
    """Branch, commit, restore, pause, resume and delete, by id, by the beginning of an id and by name."""
    (row,) = (row for row in swarm_bot("vm", "list", "--json") if row["id"] == box)
    assert (row["state"], row["deployment"]) == ("running", "local.cli")
    assert swarm_bot("vm", "pause", "--json", box[:8])["state"] in ("paused", "sleeping")
    assert swarm_bot("vm", "resume", "--json", row["name"])["state"] == "running"
    branched = [
        vm["id"] for vm in swarm_bot("vm", "branch", "--count", "2", "--name", "twin", "--json", box)["vms"]
    ]
    names = {row["id"]: row["name"] for row in swarm_bot("vm", "list", "--json")}
    assert [names[vm] for vm in branched] == ["twin-1", "twin-2"]
    commit = swarm_bot("vm", "commit", "--json", box)["commit_id"]
    (restored,) = (vm["id"] for vm in swarm_bot("vm", "restore", "--json", commit)["vms"])
    assert {box, restored, *branched} <= ids(swarm_bot)
    gone = swarm_bot("vm", "delete", "--yes", "--json", restored, *branched)["deleted"]
    assert set(gone) == {restored, *branched}
    assert not {restored, *branched} & ids(swarm_bot, "--all")


def test_exec_is_the_command(program: Program, box: str) -> None:
    """Every byte of three streams, the exit status, the arguments as given, and nothing of ours among the output."""
    echoed = program("vm", "exec", box, "cat; echo oh no >&2; exit 7", stdin=EVERY_BYTE)
    assert (echoed.returncode, echoed.stdout, echoed.stderr) == (7, EVERY_BYTE, b"oh no\n")
    words = program("vm", "exec", "-n", box, "--", "printf", "%s|", "a  b", "$HOME", "it's")
    assert words.stdout == b"a  b|$HOME|it's|"


def test_a_limit_really_ends_the_command(program: Program, box: str) -> None:
    """Status 124, and nothing of it runs on."""
    assert (
        program("vm", "exec", "-n", "--timeout", "1", box, "sleep 4711 & sleep 4711; true").returncode == 124
    )
    assert program("vm", "exec", "-n", box, "pgrep -f 'sleep 471[1]'").returncode == 1


def test_ctrl_c_ends_the_command_there(environment: dict[str, str], program: Program, box: str) -> None:
    """As it would if it ran here."""
    words = [sys.executable, "-m", "bot", "vm", "exec", box, "echo started; sleep 4712"]
    with subprocess.Popen(
        words, env=environment, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL
    ) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == b"started\n"
        running.send_signal(2)
        assert running.wait(30) == 130
    assert program("vm", "exec", "-n", box, "pgrep -f 'sleep 471[2]'").returncode == 1


def test_ssh_is_openssh(program: Program, box: str) -> None:
    """Over our own verified line; the exit status and the bytes are the command's."""
    done = program("vm", "ssh", box, "cat; exit 3", stdin=EVERY_BYTE)
    assert (done.returncode, done.stdout) == (3, EVERY_BYTE), done.stderr


def test_copy_both_ways(swarm_bot: Say, program: Program, box: str, tmp_path: Path) -> None:
    """Folders with modes, links, empty folders and binary files come back as they went; a single file, too."""
    there = tmp_path / "tree"
    (there / "empty").mkdir(parents=True)
    (there / "sub dir").mkdir(mode=0o750)
    (there / "sub dir" / "bytes.bin").write_bytes(EVERY_BYTE)
    (there / "no-newline").write_text("end")
    (there / "tool.sh").write_text("#!/bin/sh\n")
    (there / "tool.sh").chmod(0o755)
    (there / "link").symlink_to("sub dir/bytes.bin")
    swarm_bot("vm", "copy", "--json", str(there), f"{box}:/srv/tree")
    swarm_bot("vm", "copy", "--json", f"{box}:/srv/tree", str(tmp_path / "back"))
    back = tmp_path / "back"
    assert sorted(p.relative_to(back) for p in back.rglob("*")) == sorted(
        p.relative_to(there) for p in there.rglob("*")
    )
    for path in there.rglob("*"):
        twin = back / path.relative_to(there)
        assert twin.lstat().st_mode == path.lstat().st_mode, path
        assert not path.is_file() or twin.read_bytes() == path.read_bytes()
    assert str((back / "link").readlink()) == "sub dir/bytes.bin"
    swarm_bot("vm", "copy", "--json", str(there / "tool.sh"), f"{box}:")  # into root's home, under its name
    assert program("vm", "exec", "-n", box, "stat -c %a /root/tool.sh").stdout == b"755\n"


def test_what_a_machine_sends_stays_in_the_folder(
    swarm_bot: Say, program: Program, box: str, tmp_path: Path
) -> None:
    """A link that leads out of the target is left out and told, not followed."""
    program("vm", "exec", "-n", box, "mkdir /srv/evil; cd /srv/evil; ln -s /etc out; echo fine >in")
    told = swarm_bot("vm", "copy", "--json", f"{box}:/srv/evil", str(tmp_path / "evil"))
    assert told["left_out"] == ["./out"]
    assert [p.name for p in (tmp_path / "evil").iterdir()] == ["in"]


def test_logs_of_the_api(swarm_bot: Say, settings: Settings, box: str) -> None:
    """What was run over the API, stream by stream."""
    httpx.post(
        f"{settings.vers_url}/api/v1/vm/{box}/exec",
        json={"command": ["sh", "-c", "echo out; echo err >&2"]},
        headers={"Authorization": f"Bearer {settings.vers_api_key.get_secret_value()}"},
        timeout=30,
    ).raise_for_status()
    told = {(entry["stream"], entry["text"]) for entry in swarm_bot("vm", "logs", "--json", box)}
    assert told == {("stdout", "out\n"), ("stderr", "err\n")}


def test_only_our_machines_unless_all_is_said(swarm_bot: Say, settings: Settings) -> None:
    """A machine of somebody else on the same account is neither listed nor touched by accident."""
    vers = place_of(settings).vers
    stranger = vers.create(memory_mib=512, disk_mib=1024, vcpus=1, labels={"app": "something-else"})
    try:
        assert stranger not in ids(swarm_bot)
        assert stranger in ids(swarm_bot, "--all")
        with pytest.raises(UserError, match="--all"):
            swarm_bot("vm", "delete", "--yes", stranger)
        swarm_bot("vm", "delete", "--yes", "--all", "--json", stranger)
        assert VmId(stranger) not in {vm.id for vm in vers.vms()}
    finally:
        vers.delete(stranger)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("exec", "nobody", "true"), "There is no machine 'nobody'"),
        (("delete", "nobody"), "There is no machine 'nobody'"),
        (("copy", "/etc/hosts", "/tmp/hosts"), "Neither path is on a machine"),
        (("copy", "nobody:/x", "."), "There is no machine 'nobody'"),
    ],
)
def test_bad_input_gets_a_sentence(swarm_bot: Say, words: tuple[str, ...], sentence: str) -> None:
    """No stack trace, and what to do."""
    with pytest.raises(UserError, match=sentence):
        swarm_bot("vm", *words)


def test_deleting_asks(program: Program, box: str) -> None:
    """Where nobody can answer, nothing is deleted; without a key, the first sentence says so."""
    refused = program("vm", "delete", box)
    assert (refused.returncode, refused.stdout) == (1, b"")
    assert refused.stderr.startswith(b"Deleting asks first")


def test_ages() -> None:
    """In the largest whole unit."""
    at = "2026-01-02T00:00:00+00:00"
    begin = 1767312000.0
    assert [age(at, begin + s) for s in (5, 200, 7300, 200000)] == ["5 s", "3 min", "2 h", "2 d"]
    assert age("", time.time()) == ""
