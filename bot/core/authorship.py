"""Who wrote which file of a result: told by what was collected from whom, and by what became of it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from bot.core.models import Artifact
from bot.core.tree import blob_sha

ARCHITECT = "architect"


@dataclass(frozen=True, slots=True)
class Authors:
    """Writers by path. What nobody else brought is the architect's."""

    writer: Mapping[str, str] = field(default_factory=dict)
    mended: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Files that are not as their writer left them -> the architect's tools that named them since, as far as known."""

    def of(self, path: str) -> str:
        """Who wrote a file, for people."""
        writer = self.writer.get(path, ARCHITECT)
        return f"{writer}, mended by the architect" if path in self.mended else writer


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool call of the architect's: "edit", and what it was about: "edit /root/workspace/server.js"."""

    name: str
    text: str
    at: float


def authors(
    collected: Iterable[tuple[float, Mapping[str, Mapping[str, str]]]],
    files: Sequence[Artifact],
    tools: Sequence[Tool] = (),
) -> Authors:
    """The writers of `files`.

    Args:
        collected: per collection its time and worker -> path -> git's id of the content; the last one counts.
        files: what the result has.
        tools: the architect's, on the same clock.
    """
    brought: dict[str, tuple[float, str, str]] = {}
    for at, workers in collected:
        for worker, found in workers.items():
            brought |= {path: (at, worker, sha) for path, sha in found.items()}
    writer: dict[str, str] = {}
    mended: dict[str, tuple[str, ...]] = {}
    for file in files:
        if file.path not in brought:
            continue
        at, writer[file.path], sha = brought[file.path]
        if blob_sha(file.content) != sha:
            used = (tool.name for tool in tools if tool.at >= at and tool.text.endswith(f"/{file.path}"))
            mended[file.path] = tuple(dict.fromkeys(used))
    return Authors(writer, mended)
