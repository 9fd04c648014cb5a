"""Several workspaces become one."""

import io
import tarfile

import pytest

from bot.agents.collect import merge, pack, relative, report
from bot.core.artifacts import Inspection, inspect
from bot.core.errors import UserError
from bot.core.models import AgentLabel, Artifact, LeftOut

SERVER, CLIENT = AgentLabel("server"), AgentLabel("client")


def made(**files: str) -> Inspection:
    """A workspace with these files; `_` stands for a dot."""
    return Inspection(
        tuple(Artifact(name.replace("_", "."), text.encode()) for name, text in files.items()), ()
    )


def test_clashes_have_a_winner() -> None:
    """The first worker wins unless another is preferred; the same content is no clash."""
    found = [(SERVER, made(a_js="1", same_js="s")), (CLIENT, made(a_js="2", same_js="s", b_js="3"))]
    merged = merge(found)
    assert {path: file.content for path, file in merged.files.items()} == {
        "a.js": b"1", "same.js": b"s", "b.js": b"3",
    }  # fmt: skip
    assert [(clash.path, clash.winner, clash.losers) for clash in merged.clashes] == [
        ("a.js", SERVER, (CLIENT,))
    ]
    preferred = merge(found, prefer=CLIENT)
    assert preferred.files["a.js"].content == b"2"
    assert merged.by_worker == {SERVER: ("a.js", "same.js"), CLIENT: ("b.js",)}


def test_the_specification_stays() -> None:
    """No worker's SPEC.md replaces the architect's, in any spelling."""
    merged = merge([(SERVER, made(SPEC_md="mine", spec_md="mine"))])
    assert merged.files == {}
    assert [row.reason for _, row in merged.refused] == ["the specification is yours"] * 2
    assert "public/SPEC.md" in merge([(SERVER, made(SPEC_md="x"))], destination="public").files


def test_only_the_paths_that_were_asked_for() -> None:
    """Files and folders; what nobody has is named."""
    files = Inspection(
        tuple(Artifact(path, b"") for path in ("public/a.js", "publicity.js", "b.js")),
        (LeftOut("c/link", "a link"), LeftOut("public/link", "a link")),
    )
    merged = merge([(SERVER, files)], paths=["public", "gone.js"])
    assert list(merged.files) == ["public/a.js"]
    assert merged.missing == ("gone.js",)
    assert [row.path for _, row in merged.refused] == ["public/link"]


def test_what_is_packed_is_what_arrives() -> None:
    """Contents and executable bits go through a tar and back."""
    files = {"run.sh": Artifact("run.sh", b"#!/bin/sh\n", 0o100755), "d/é.txt": Artifact("d/é.txt", b"x")}
    unpacked = {file.path: file for file in inspect(pack(files, 1e9)).files}
    assert unpacked == files
    with tarfile.open(fileobj=io.BytesIO(pack(files, 1e9))) as tar:
        assert {member.mtime for member in tar} == {10**9}


@pytest.mark.parametrize(
    ("given", "path"),
    [
        ("", ""),
        (".", ""),
        ("/root/workspace", ""),
        ("/root/workspace/public/", "public"),
        ("./a/b", "a/b"),
        ("a", "a"),
    ],
)
def test_paths_below_the_workspace(given: str, path: str) -> None:
    """As a model may write them."""
    assert relative(given) == path


@pytest.mark.parametrize(
    "given", ["/etc", "/root/workspace2", "../up", "a/../../b", ".git/hooks", "AGENTS.md", "/"]
)
def test_paths_elsewhere_are_refused(given: str) -> None:
    """Out of the workspace, or onto names that mean something."""
    with pytest.raises(UserError):
        relative(given)


def test_the_report_names_everything() -> None:
    """What came from whom, clashes, refusals, and what is missing."""
    found = [
        (SERVER, made(a_js="1")),
        (CLIENT, Inspection((Artifact("a.js", b"22"),), (LeftOut("node_modules/", "dependencies"),))),
    ]
    text = report(merge(found, paths=()), "", ["landing could not be read: its machine is gone"])
    assert text.splitlines() == [
        "1 files were copied into /root/workspace.",
        "server: a.js (1 bytes)",
        "client: nothing",
        "Clash: a.js was made differently by client; the version of server was taken. Collect with prefer to take another.",
        "Left out: node_modules/ of client: dependencies.",
        "landing could not be read: its machine is gone",
    ]
