"""`swarm-bot vm copy`: files and folders between this computer and machines, both ways, byte for byte with their modes."""

import io
import re
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from shlex import quote
from typing import Protocol

from bot.core.errors import UserError
from bot.vms.base import Shell

LIMIT_BYTES = 1 << 30
"""A folder travels through memory."""
_REMOTE = re.compile(r"(?P<vm>[\w-]{2,}):(?P<path>.*)", re.DOTALL)


class End(Protocol):
    """A path here or on a machine."""

    @property
    def name(self) -> str:
        """Its last part."""
        ...

    def kind(self) -> str:
        """What it is: "file", "folder", or "" if there is nothing."""
        ...

    def below(self, name: str) -> "End":
        """A path inside this folder."""
        ...

    def read_file(self) -> tuple[bytes, int]:
        """Content and mode."""
        ...

    def write_file(self, content: bytes, mode: int) -> None: ...

    def read_folder(self) -> bytes:
        """A tar of what is inside."""
        ...

    def write_folder(self, tar: bytes) -> list[str]:
        """Unpack it; names that were left out, because they lead out of the folder."""
        ...


@dataclass(frozen=True, slots=True)
class Here:
    """A path on this computer."""

    path: Path

    @property
    def name(self) -> str:
        return self.path.absolute().name

    def kind(self) -> str:
        return "folder" if self.path.is_dir() else "file" if self.path.exists() else ""

    def below(self, name: str) -> "Here":
        return Here(self.path / name)

    def read_file(self) -> tuple[bytes, int]:
        return self.path.read_bytes(), self.path.stat().st_mode & 0o777

    def write_file(self, content: bytes, mode: int) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_bytes(content)
        self.path.chmod(mode)

    def read_folder(self) -> bytes:
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
            tar.add(self.path, arcname=".", filter=_nobodys)
        return buffer.getvalue()

    def write_folder(self, tar: bytes) -> list[str]:
        # What a machine says is not trusted: no member and no link may lead out of the folder.
        left_out = []
        self.path.mkdir(parents=True, exist_ok=True)
        folders = []
        with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
            for member in archive:
                try:
                    archive.extract(member, self.path, filter="data")
                except tarfile.FilterError:
                    left_out.append(member.name)
                    continue
                if member.isfile():
                    (self.path / member.name).chmod(member.mode & 0o777)
                elif member.isdir() and member.name != ".":
                    folders.append(member)
        for member in reversed(folders):  # last, or a folder that may not be written to could not be filled
            (self.path / member.name).chmod(member.mode & 0o777)
        return left_out


@dataclass(frozen=True, slots=True)
class There:
    """A path on a machine; a relative one counts from root's home."""

    shell: Shell
    path: str

    @property
    def name(self) -> str:
        return PurePosixPath(self.path).name

    def kind(self) -> str:
        at = quote(self.path)
        asked = self.shell.run(f"if [ -d {at} ]; then echo folder; elif [ -e {at} ]; then echo file; fi")
        return asked.text.strip()

    def below(self, name: str) -> "There":
        return There(self.shell, str(PurePosixPath(self.path) / name))

    def read_file(self) -> tuple[bytes, int]:
        mode = int(self.shell.run(f"stat -Lc %a {quote(self.path)}").text, 8) & 0o777
        return self.shell.read_file(self.path, limit_bytes=LIMIT_BYTES), mode

    def write_file(self, content: bytes, mode: int) -> None:
        self.shell.write_file(self.path, content, mode=mode)

    def read_folder(self) -> bytes:
        return self.shell.read_tree(self.path, limit_bytes=LIMIT_BYTES)

    def write_folder(self, tar: bytes) -> list[str]:
        self.shell.write_tree(self.path, tar)
        return []


def end_of(text: str, shell_of: Callable[[str], Shell]) -> End:
    """`MACHINE:path`, or a path on this computer (`./a:b` for one with a colon)."""
    if (remote := _REMOTE.fullmatch(text)) is None:
        return Here(Path(text))
    path = remote["path"] or "."
    return There(shell_of(remote["vm"]), path if path.startswith("/") else f"/root/{path}")


def copy(source: End, target: End) -> list[str]:
    """Copy a file or a folder as `cp -r` does: into the target if that is a folder, else under its name.

    Returns: names inside a folder that were left out, because they lead out of it.

    Raises:
        UserError: there is nothing at the source, or the target is a file where a folder has to go.
    """
    kind = source.kind()
    if not kind:
        raise UserError(f"There is no {source.name or 'such path'} to copy.")
    into = target.kind()
    if into == "folder":
        target = target.below(source.name)
        into = target.kind()
    if into not in ("", kind):
        raise UserError(f"{target.name} is a {into} already: a {kind} cannot take its place.")
    if kind == "file":
        target.write_file(*source.read_file())
        return []
    return target.write_folder(source.read_folder())


def _nobodys(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Who owns a file here means nothing there."""
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member
