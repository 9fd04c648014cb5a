"""Workers' files brought together: judged, merged, and packed for the architect's workspace. Pure."""

import io
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from bot.agents.lines import WORKSPACE
from bot.core.artifacts import SPEC_FILE, Inspection
from bot.core.errors import UserError
from bot.core.models import AgentLabel, Artifact, LeftOut
from bot.core.paths import judge, shown

_MOST_REFUSALS = 20


@dataclass(frozen=True, slots=True)
class Clash:
    """Two or more workers made the same path with different content."""

    path: str
    winner: AgentLabel
    losers: tuple[AgentLabel, ...]


@dataclass(frozen=True, slots=True)
class Merged:
    """What goes into the architect's workspace, by path there, and what does not."""

    files: Mapping[str, Artifact]
    by_worker: Mapping[AgentLabel, tuple[str, ...]]
    clashes: tuple[Clash, ...]
    refused: tuple[tuple[AgentLabel, LeftOut], ...]
    missing: tuple[str, ...]
    """Of the paths that were asked for."""


def relative(path: str, base: str = WORKSPACE) -> str:
    """A path below the workspace `base` as the model may write it ("./a", "/root/workspace/a", "a/"), without its frills.

    Raises:
        UserError: it leads elsewhere.
    """
    inner = path.strip().removeprefix(base).strip("/") if path.startswith("/") else path.strip()
    inner = str(PurePosixPath(inner)) if inner else "."
    verdict = judge(inner) if inner != "." else None
    outside = path.startswith("/") and path.rstrip("/") != base and not path.startswith(base + "/")
    if outside or verdict:
        why = verdict.reason if verdict else "it is outside of the workspace"
        raise UserError(f"{shown(path)} cannot be used: {why}. Give a path below {base}.")
    return "" if inner == "." else inner


def merge(
    found: Sequence[tuple[AgentLabel, Inspection]],
    *,
    paths: Sequence[str] = (),
    destination: str = "",
    prefer: AgentLabel | None = None,
) -> Merged:
    """One workspace out of several.

    Where two workers made the same path with different content, `prefer` wins if it made it, else the worker that stands
    first in `found`. The specification is the architect's and stays.

    Args:
        found: the workers' workspaces, in the order in which they win.
        paths: only these files and what lies below these folders; everything without any.
        destination: folder below the architect's workspace; "" for the workspace itself.
        prefer: whose version wins.
    """
    order = sorted(found, key=lambda each: each[0] != prefer)  # stable: the others keep their order
    files: dict[str, Artifact] = {}
    owner: dict[str, AgentLabel] = {}
    losers: dict[str, list[AgentLabel]] = {}
    refused: list[tuple[AgentLabel, LeftOut]] = []
    for label, inspection in order:
        refused += [(label, row) for row in inspection.left_out if _wanted(row.path, paths)]
        for file in inspection.files:
            if not _wanted(file.path, paths):
                continue
            path = f"{destination}/{file.path}" if destination else file.path
            if path.casefold() == SPEC_FILE.casefold():
                refused.append((label, LeftOut(path, "the specification is yours")))
            elif path not in files:
                files[path], owner[path] = file, label
            elif files[path] != file:
                losers.setdefault(path, []).append(label)
    by_worker = {label: tuple(p for p, who in sorted(owner.items()) if who == label) for label, _ in found}
    clashes = tuple(Clash(path, owner[path], tuple(who)) for path, who in sorted(losers.items()))
    present = [file.path for _, inspection in found for file in inspection.files]
    missing = tuple(path for path in paths if not any(_wanted(each, [path]) for each in present))
    return Merged(files, by_worker, clashes, tuple(refused), missing)


def _wanted(path: str, paths: Sequence[str]) -> bool:
    return not paths or any(path == wanted or not wanted or path.startswith(wanted + "/") for wanted in paths)


def pack(files: Mapping[str, Artifact], mtime: float) -> bytes:
    """Files as a tar, with plain modes, nobody's name on them, and one time (seconds since the epoch)."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for path, file in sorted(files.items()):
            member = tarfile.TarInfo(path)
            member.size = len(file.content)
            member.mode = file.mode & 0o777
            member.mtime = int(mtime)
            tar.addfile(member, io.BytesIO(file.content))
    return buffer.getvalue()


def report(merged: Merged, destination: str, troubles: Sequence[str] = (), base: str = WORKSPACE) -> str:
    """What the architect is told, a line per fact. `base` is its workspace."""
    where = f"{base}/{destination}" if destination else base
    lines = [f"{len(merged.files)} files were copied into {where}."]
    for label, paths in merged.by_worker.items():
        sized = ", ".join(f"{shown(path)} ({len(merged.files[path].content):,} bytes)" for path in paths)
        lines.append(f"{label}: {sized or 'nothing'}")
    lines += [
        f"Clash: {shown(clash.path)} was made differently by {', '.join(clash.losers)}; "
        f"the version of {clash.winner} was taken. Collect with prefer to take another."
        for clash in merged.clashes
    ]
    lines += [
        f"Left out: {row.path} of {label}: {row.reason}." for label, row in merged.refused[:_MOST_REFUSALS]
    ]
    if len(merged.refused) > _MOST_REFUSALS:
        lines.append(f"Left out: {len(merged.refused) - _MOST_REFUSALS} more.")
    lines += [f"Not found on any of these workers: {shown(path)}" for path in merged.missing]
    return "\n".join([*lines, *troubles])
