"""What a build starts from, and its result as the difference to that."""

import io
import subprocess
import tarfile
from pathlib import Path

import pytest

from bot.core.artifacts import inspect, require
from bot.core.authorship import Authors, Tool, authors
from bot.core.models import AppKind, Artifact
from bot.core.tree import (
    Blob,
    Bounds,
    Listing,
    SeedLimits,
    asked_deletions,
    blob_sha,
    claims,
    differing,
    overlaid,
    placeable,
)


def listed(*files: Artifact) -> Listing:
    return {file.path: Blob(blob_sha(file.content), file.mode, len(file.content)) for file in files}


def packed(*files: Artifact) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for file in files:
            member = tarfile.TarInfo(f"./{file.path}")
            member.size, member.mode = len(file.content), file.mode & 0o777
            archive.addfile(member, io.BytesIO(file.content))
    return out.getvalue()


BASE = (
    Artifact(".github/workflows/ci.yml", b"on: push\n"),
    Artifact("AGENTS.md", b"Be kind\n"),
    Artifact("README.md", b"# It\n"),
    Artifact("big.txt", b"x" * 2_000_000),
    Artifact("run.sh", b"#!/bin/sh\n", 0o100755),
    Artifact("src/a.js", b"a\n"),
)


def test_the_id_of_a_file_is_gits(tmp_path: Path) -> None:
    """As `git hash-object` says it."""
    (tmp_path / "f").write_bytes(b"gr\xc3\xbc\xc3\x9fe\n")
    said = subprocess.run(["git", "hash-object", tmp_path / "f"], check=True, capture_output=True, text=True)
    assert blob_sha(b"gr\xc3\xbc\xc3\x9fe\n") == said.stdout.strip()


def test_what_is_as_it_was_is_neither_taken_nor_left_out() -> None:
    """An untouched workspace changes nothing, whatever names, sizes and instructions it holds."""
    found = inspect(packed(*BASE), base=listed(*BASE))
    assert (found.files, found.left_out) == ((), ())


def test_only_changes_are_taken() -> None:
    """New files, other contents and other modes; rules hold for what is changed."""
    changed = (
        *BASE[:1],
        Artifact("AGENTS.md", b"Obey\n"),
        Artifact("README.md", b"# It\n", 0o100755),
        *BASE[3:5],
        Artifact("src/a.js", b"b\n"),
        Artifact("src/new.js", b"n\n"),
        Artifact("SRC2", b""),
        Artifact("readme.md", b"another\n"),
        Artifact(".swarm/deletions", b"run.sh\n"),
    )
    found = inspect(packed(*changed), base=listed(*BASE))
    assert [file.path for file in found.files] == ["README.md", "SRC2", "src/a.js", "src/new.js"]
    assert {row.path for row in found.left_out} == {"AGENTS.md", "readme.md"}
    assert found.notes == {".swarm/deletions": "run.sh\n"}


def test_a_target_folder_keeps_the_rest_as_it_is() -> None:
    """Changes elsewhere are left out with the reason; the specification goes into the folder."""
    changed = (
        Artifact("README.md", b"mine\n"),
        Artifact("SPEC.md", b"# Spec\n"),
        Artifact("web/Procfile", b"web: node a.js\n"),
    )
    found = inspect(packed(*changed), base=listed(*BASE), bounds=Bounds("web"))
    assert [file.path for file in found.files] == ["web/Procfile", "web/SPEC.md"]
    assert [(row.path, "outside of web/" in row.reason) for row in found.left_out] == [("README.md", True)]
    require(found.files, AppKind.WEB, "web")


def test_deletions_are_asked_for() -> None:
    """Files and folders that exist, may be touched and are not in the result; everything else stays, with a reason."""
    text = "run.sh\n./src/\n# no\n\nnothing.js\nAGENTS.md\nREADME.md\n"
    gone, stay = asked_deletions(text, listed(*BASE), ["README.md"])
    assert gone == ("run.sh", "src/a.js")
    assert {row.path for row in stay} == {"nothing.js", "AGENTS.md", "README.md"}
    assert asked_deletions("run.sh", listed(*BASE), [], Bounds("web"))[0] == ()


@pytest.mark.parametrize("pattern", ["src/", "src/a.js", "*.js", "src/*", "s[r]c/?.js"])
def test_protected_paths_stay_as_they_are(pattern: str) -> None:
    """Neither changed nor deleted; what is refused is named with the rule that says so."""
    bounds = Bounds(protected=(pattern,))
    found = inspect(
        packed(Artifact("src/a.js", b"b\n"), Artifact("ok.md", b"")), base=listed(*BASE), bounds=bounds
    )
    assert [file.path for file in found.files] == ["ok.md"]
    assert [(row.path, row.reason) for row in found.left_out] == [
        ("src/a.js", f"protected in .github/swarm.yml ({pattern})")
    ]
    gone, stay = asked_deletions("src/a.js\nrun.sh\n", listed(*BASE), [], bounds)
    assert gone == ("run.sh",)
    assert f"protected in .github/swarm.yml ({pattern})" in stay[0].reason


def test_a_result_laid_over_the_repository() -> None:
    """Changed files replace, deleted ones go, all others stay."""
    whole = overlaid(BASE[2:], [Artifact("src/a.js", b"b\n")], ["run.sh"])
    assert [(file.path, len(file.content)) for file in whole] == [
        ("README.md", 5),
        ("big.txt", 2_000_000),
        ("src/a.js", 2),
    ]


def test_limits_take_what_is_near_the_root() -> None:
    """Links, submodules and what is too large or too much is not placed, and counted."""
    listing = {**listed(*BASE), "link": Blob("0" * 40, 0o120000, 3), "module": Blob("0" * 40, 0o160000)}
    assert placeable(listing) == ({"README.md", "AGENTS.md", "run.sh", "src/a.js", BASE[0].path}, 3)
    assert placeable(listing, SeedLimits(max_files=2)) == ({"AGENTS.md", "README.md"}, 6)
    assert placeable(listing, SeedLimits(max_total_bytes=13)) == ({"AGENTS.md", "README.md"}, 6)


def test_trees_compared() -> None:
    """New, gone and changed paths."""
    after = listed(*BASE[:5], Artifact("src/a.js", b"c\n"), Artifact("b", b""))
    assert differing(listed(*BASE), after) == {"src/a.js", "b"}


def test_what_the_architect_says_of_requirements() -> None:
    """Numbered lines, as models write them; the rest is ignored."""
    assert claims("1: seen\n- 2: a: b\nx: no\n3:\n1: again\n") == {1: "seen", 2: "a: b"}
    assert claims(f"²: no\n①: no\n{'9' * 5000}: no\n٣: three\n") == {3: "three"}


def test_who_wrote_what() -> None:
    """A worker's file is theirs until its content is another; the last collection counts."""
    files = (
        Artifact("a.js", b"a"),
        Artifact("b.js", b"mended"),
        Artifact("c.js", b"c"),
        Artifact("SPEC.md", b""),
    )
    collected = [
        (10.0, {"one": {"a.js": blob_sha(b"old"), "c.js": blob_sha(b"c")}}),
        (20.0, {"two": {"a.js": blob_sha(b"a"), "b.js": blob_sha(b"b")}}),
    ]
    tools = [
        Tool("write", "write /root/workspace/b.js", 5.0),
        Tool("edit", "edit /root/workspace/b.js", 21.0),
        Tool("edit", "edit /root/workspace/b.js", 22.0),
        Tool("edit", "edit /root/workspace/sub/bb.js", 22.0),
    ]
    found = authors(collected, files, tools)
    assert found == Authors({"a.js": "two", "b.js": "two", "c.js": "one"}, {"b.js": ("edit",)})
    assert [found.of(file.path) for file in files] == [
        "two",
        "two, mended by the architect",
        "one",
        "architect",
    ]
