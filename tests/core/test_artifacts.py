"""The inspection of a workspace: real tars, hostile names, damaged archives."""

import io
import subprocess
import tarfile
import time
import unicodedata
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bot.core.artifacts import Limits, exclude_patterns, inspect, require
from bot.core.errors import Permanent, UserError
from bot.core.models import AppKind, Artifact

Change = Callable[[tarfile.TarInfo], object]


def tar_of(*files: tuple[str, bytes], change: Change | None = None) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, content in files:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            if change:
                change(member)
            archive.addfile(member, io.BytesIO(content))
    return out.getvalue()


def paths(files: Sequence[Artifact]) -> list[str]:
    return [file.path for file in files]


def reasons(tar: bytes, limits: Limits | None = None) -> dict[str, str]:
    return {row.path: row.reason for row in inspect(tar, limits=limits or Limits()).left_out}


def test_a_folder_packed_by_tar_comes_through_whole(tmp_path: Path) -> None:
    """What GNU tar makes of a real folder is read back with content, order and executable bit."""
    (tmp_path / "src").mkdir()
    (tmp_path / "src/app.js").write_bytes(b"let a\n")
    (tmp_path / "run.sh").write_bytes(b"#!/bin/sh\n")
    (tmp_path / "run.sh").chmod(0o755)
    (tmp_path / "logo.png").write_bytes(bytes(range(256)))
    (tmp_path / ("deep" * 30)).mkdir()
    (tmp_path / ("deep" * 30) / ("long" * 30)).write_text("ü")
    (tmp_path / "node_modules/x").mkdir(parents=True)
    (tmp_path / "node_modules/x/index.js").write_text("no")
    (tmp_path / "link").symlink_to("/etc/passwd")
    excludes = [f"--exclude={pattern}" for pattern in exclude_patterns()]
    packed = subprocess.run(
        ["tar", "-C", tmp_path, *excludes, "-cf", "-", "."], check=True, capture_output=True
    )
    inspection = inspect(packed.stdout)
    assert inspection.files == (
        Artifact("deep" * 30 + "/" + "long" * 30, "ü".encode()),
        Artifact("logo.png", bytes(range(256))),
        Artifact("run.sh", b"#!/bin/sh\n", 0o100755),
        Artifact("src/app.js", b"let a\n"),
    )
    assert [(row.path, row.reason) for row in inspection.left_out] == [("link", "a link")]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("/etc/passwd", "absolute"),
        ("../x", "out of the workspace"),
        ("a/../../x", "out of the workspace"),
        ("a//b", "component"),
        (".git/config", "git's own"),
        ("sub/.GIT/hooks/pre-commit", "git's own"),
        (".git./config", "Windows"),
        (".git /config", "Windows"),
        (".git::$INDEX_ALLOCATION/config", "Windows"),
        ("git~1/config", "git's own"),
        (".g\u200cit/config", "invisible"),
        (".gitmodules", "git's own"),
        ("a\\.git\\config", "Windows"),
        (".github/workflows/ci.yml", "how GitHub runs"),
        (".GitHub/CODEOWNERS", "how GitHub runs"),
        ("GITHUB~1/x", "git's own"),
        ("a\nb", "control"),
        ("a\x1bb", "control"),
        ("safe\u202egnp.js", "invisible"),
        ("nul", "Windows"),
        ("src/COM1.txt", "Windows"),
        (".pi/extensions/x.ts", "instruct agents"),
        ("docs/.claude/settings.json", "instruct agents"),
        ("AGENTS.md", "instruct agents"),
        (".cursorrules", "instruct agents"),
        (".roo/rules/a.md", "instruct agents"),
        (".kiro/steering/a.md", "instruct agents"),
        (".aider.conf.yml", "instruct agents"),
        (".devcontainer/devcontainer.json", "opened in a container"),
        ("web/.devcontainer.json", "opened in a container"),
        (".vscode/tasks.json", "opened in an editor"),
        ("web/.VSCode/settings.json", "programs that an editor runs"),
        (".envrc", "enters the folder"),
        (".husky/pre-commit", "git's commands"),
        (".npmrc", "npm fetches"),
        (".circleci/config.yml", "continuous integration"),
        (".gitlab-ci.yml", "continuous integration"),
        ("Jenkinsfile", "continuous integration"),
        (".env", "environment file"),
        ("web/.env.local", "environment file"),
        (".ssh/id_ed25519", "credentials"),
    ],
)
def test_hostile_names_stay_out(name: str, reason: str) -> None:
    """A name that escapes, or that means something to git, GitHub, Windows or an agent, is left out with its reason."""
    inspection = inspect(tar_of((name, b"x"), ("ok.txt", b"y")))
    assert paths(inspection.files) == ["ok.txt"]
    (row,) = inspection.left_out
    assert reason in row.reason


@pytest.mark.parametrize(
    "name",
    [
        ".gitignore",
        ".gitattributes",
        ".vscode/extensions.json",
        "settings.json",
        "tasks.json",
        "docs/.github.md",
        ".env.example",
        "src/[id].tsx",
        "console.js",
        "-",
        "…",
    ],
)
def test_names_that_only_look_hostile_pass(name: str) -> None:
    """Ordinary names near the forbidden ones are taken."""
    assert paths(inspect(tar_of((name, b"x"))).files) == [name]


def test_undecodable_names_are_shown_escaped() -> None:
    """A name that is not UTF-8 is left out, and its row can be stored and shown."""
    tar = tar_of(("a" * 9, b"x")).replace(b"a" * 9, b"caf\xe9.txt\0\0"[:9])
    header = bytearray(tar[:512])
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    (row,) = inspect(bytes(header) + tar[512:]).left_out
    assert row.path.startswith("caf\\")
    row.path.encode("utf-8")


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (tarfile.SYMTYPE, "link"),
        (tarfile.LNKTYPE, "link"),
        (tarfile.CHRTYPE, "regular"),
        (tarfile.BLKTYPE, "regular"),
        (tarfile.FIFOTYPE, "regular"),
    ],
)
def test_only_regular_files(kind: bytes, reason: str) -> None:
    """Links, devices and FIFOs are left out whatever they point to."""

    def change(member: tarfile.TarInfo) -> None:
        member.type, member.linkname = kind, "/etc/shadow"

    assert reason in reasons(tar_of(("x", b""), change=change))["x"]


def test_dependencies_are_one_row() -> None:
    """A folder of dependencies is named once, not once per file."""
    files = [(f"web/node_modules/p{n}/index.js", b"x") for n in range(50)]
    assert list(reasons(tar_of(*files, ("web/app.js", b"y")))) == ["web/node_modules/"]


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"key = 'sk-ant-api03-" + b"A" * 40 + b"'", "Anthropic"),
        (b"ghp_" + b"a1" * 18, "GitHub"),
        (b"ghs_12345_" + b"e.y-" * 130, "GitHub"),
        (b"github_pat_" + b"A" * 40, "GitHub"),
        (b"-----BEGIN OPENSSH PRIVATE KEY-----\n", "private key"),
        (b"-----BEGIN PRIVATE KEY-----\n", "private key"),
        (b"AKIA" + b"Q" * 16, "AWS"),
    ],
)
def test_secrets_stay_out(content: bytes, kind: str) -> None:
    """A file that holds what looks like a secret is left out, and the row does not repeat the secret."""
    row = reasons(tar_of(("config.js", content)))["config.js"]
    assert kind in row
    assert content.decode() not in row


def test_talk_about_keys_is_no_secret() -> None:
    """Documentation that names the shape of a key passes."""
    text = b"Set ANTHROPIC_API_KEY (sk-ant-...) and GITHUB_TOKEN=ghp_xxx; never commit a PRIVATE KEY."
    assert paths(inspect(tar_of(("README.md", text))).files) == ["README.md"]


def test_limits_name_their_numbers() -> None:
    """Too large, too many and too much in all are three reasons; files near the root come first."""
    limits = Limits(max_files=2, max_file_bytes=10, max_total_bytes=12)
    tar = tar_of(
        ("a/deep.txt", b"1"), ("big", b"x" * 11), ("one", b"123456"), ("two", b"1234567"), ("zed", b"1")
    )
    found = inspect(tar, limits=limits)
    assert paths(found.files) == ["one", "zed"]
    assert {row.path: row.reason for row in found.left_out} == {
        "a/deep.txt": "more than 2 files",
        "big": "11 bytes; at most 10 are taken",
        "two": "more than 12 bytes in all",
    }


def test_rows_are_bounded() -> None:
    """A workspace full of rubbish does not make a report without end."""
    tar = tar_of(*((f"x{n}:", b"") for n in range(30)))
    rows = inspect(tar, limits=Limits(max_rows=10)).left_out
    assert len(rows) == 11
    assert rows[-1].reason == "20 more"


def test_names_that_collide_without_case() -> None:
    """Of two names that are one on macOS and Windows, the first stays; a file cannot be a folder too."""
    found = inspect(
        tar_of(("readme.md", b"2"), ("README.md", b"1"), ("a", b"x"), ("A/b", b"x"), ("a2/x", b""))
    )
    assert paths(found.files) == ["README.md", "a", "a2/x"]
    assert [row.path for row in found.left_out] == ["A/b", "readme.md"]


def test_names_that_collide_in_another_normal_form() -> None:
    """A composed and a decomposed letter are one on macOS."""
    found = inspect(tar_of(("caf\u00e9", b"1"), ("cafe\u0301", b"2")))
    assert len(found.files) == 1


def test_order_does_not_depend_on_the_archive() -> None:
    """The same files in another order give the same answer."""
    files = [("b/x", b"1"), ("a", b"2"), ("B/x", b"3"), (".env", b"")]
    assert inspect(tar_of(*files)) == inspect(tar_of(*reversed(files)))


@pytest.mark.parametrize("end", [0, 100, 512, 600, 1024, 1030, 1536])
def test_a_tar_that_was_cut_is_refused(end: int) -> None:
    """A stream that ended early is an error, not a smaller workspace."""
    tar = tar_of(("a", b"x" * 20), ("b", b"y"))
    with pytest.raises(Permanent, match="could not be read"):
        inspect(tar[:end])


def test_a_damaged_header_is_refused() -> None:
    """`tarfile` would take a broken header for the end."""
    tar = bytearray(tar_of(("a", b"x"), ("b", b"y")))
    tar[1024 + 150] ^= 0xFF
    with pytest.raises(Permanent, match="cut short"):
        inspect(bytes(tar))


def test_a_negative_size_does_not_go_in_circles() -> None:
    """A header that points back to itself is refused at once."""
    tar = bytearray(tar_of(("a", b"")))
    tar[124:136] = b"\xff" * 10 + b"\xfc\x00"  # base-256 for -1024
    tar[148:156] = b" " * 8
    tar[148:156] = b"%06o\0 " % sum(tar[:512])
    with pytest.raises(Permanent):
        inspect(bytes(tar))


def test_an_empty_workspace_is_empty() -> None:
    """No file at all is an answer, not an error."""
    assert inspect(tar_of()).files == ()


PART = st.one_of(
    st.text(alphabet="aA.gitGITHUB~1 :\\\u200c\0-", max_size=9),
    st.sampled_from(["..", ".", "", ".git", ".GIT", ".github", "node_modules", "CON", "x"]),
    st.text(max_size=8),
)


@given(st.lists(st.lists(PART, min_size=1, max_size=4).map("/".join), max_size=6))
@settings(max_examples=300, deadline=None)
@example([".git\u200d/config"])
def test_what_passes_is_safe(names: list[str]) -> None:
    """Whatever the names, a path that passes is relative, stays below the workspace and is no folder of git's."""
    entries = [(name, b"x") for name in names if name.isprintable() or "\0" not in name]
    try:
        tar = tar_of(*entries)
    except (
        UnicodeEncodeError
    ):  # lone surrogates cannot be written, and the test above covers undecodable bytes
        return
    found = inspect(tar)
    assert len({path.casefold() for path in paths(found.files)}) == len(found.files)
    for path in paths(found.files):
        parts = path.split("/")
        assert not path.startswith("/")
        assert not {"", ".", ".."} & set(parts)
        plain = [
            "".join(c for c in part if unicodedata.category(c) != "Cf").casefold().rstrip(". ")
            for part in parts
        ]
        assert ".git" not in plain
        assert "git~1" not in plain
        assert plain[0] != ".github"
        assert "\\" not in path
    for row in found.left_out:
        row.path.encode("utf-8")


@given(st.binary(max_size=4096), st.integers(0, 3000), st.binary(min_size=1, max_size=40))
@settings(max_examples=300, deadline=None)
def test_random_bytes_end_in_an_answer(noise: bytes, at: int, patch: bytes) -> None:
    """Noise, and a good archive with noise written into it, give files or one of our errors, and end."""
    tar = bytearray(tar_of(("a", b"x" * 700), ("ü" * 60, b"y"), ("b/c", b"z")))
    tar[at : at + len(patch)] = patch
    for data in (noise, bytes(tar)):
        try:
            inspect(data)
        except Permanent as error:
            assert "could not be read" in str(error)  # noqa: PT017


def test_a_result_needs_its_specification() -> None:
    """Without SPEC.md a build has failed, with a sentence for the person."""
    with pytest.raises(UserError, match=r"SPEC\.md"):
        require([Artifact("a.js", b"")], AppKind.STATIC)


def header_block(kind: bytes, content: bytes) -> bytes:
    """An extension header as a forger writes it."""
    member = tarfile.TarInfo("x")
    member.type, member.size = kind, len(content)
    return member.tobuf(tarfile.USTAR_FORMAT) + content + bytes(-len(content) % 512)


@pytest.mark.parametrize(
    ("kind", "size", "count"),
    [*((kind, 1 << 20, 1) for kind in (b"x", b"g", b"X", b"L", b"K")), (b"x", 30 << 10, 1000)],
)
def test_a_forged_extension_header_takes_no_time(kind: bytes, size: int, count: int) -> None:
    """One that is long is not read at all, and many that are not quite so long are not read for ever."""
    tar = header_block(kind, b"1" * size) * count + tar_of(("a", b"x"))
    began = time.monotonic()
    with pytest.raises(Permanent, match="extension headers"):
        inspect(tar)
    assert time.monotonic() - began < (2 if count == 1 else 40)


def test_ordinary_extension_headers_are_read() -> None:
    """Thousands of long names, as pax writes them."""
    names = [f"{'ü' * 60}/{'n' * 100}/{number}" for number in range(2000)]
    assert len(inspect(tar_of(*((name, b"x") for name in names))).files) == 2000


@pytest.mark.parametrize("procfile", [None, b"", b"web:\n", b"node server.js"])
def test_a_web_app_says_how_it_starts(procfile: bytes | None) -> None:
    """A web app without a process in its Procfile has failed; others need none."""
    files = [Artifact("SPEC.md", b"x")] + ([Artifact("Procfile", procfile)] if procfile is not None else [])
    with pytest.raises(UserError, match="Procfile"):
        require(files, AppKind.WEB)
    require(files, AppKind.NONE)
    require([*files[:1], Artifact("Procfile", b"web: node server.js\n")], AppKind.WEB)
