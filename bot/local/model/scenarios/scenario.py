"""A scenario as data, read from its folder."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from bot.core.codec import load
from bot.core.models import AgentLabel, Brief

UNKNOWN = (
    "The scripted model only plays the example issues of this project (docs/issues); "
    "set ANTHROPIC_API_KEY to build this issue."
)

WORKSPACE = "/root/workspace"


@dataclass(frozen=True, slots=True)
class Part:
    """One worker's share.

    Attributes:
        task: what the architect asks of it; the specification is added by the product.
        check: a shell command that the worker runs on what it wrote, or "".
        files: path below the workspace -> content.
    """

    label: AgentLabel
    task: str
    check: str
    files: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Mend:
    """How the architect mends a seam that its check finds."""

    path: str
    old: str
    new: str
    why: str


@dataclass(frozen=True, slots=True)
class Scenario:
    """One build.

    Attributes:
        words: by which an issue or a prompt is recognised.
        brief: the answer to the issue.
        wrong_briefs: how many answers to the issue fail the schema before a right one.
        parts: the workers, in the order of their components.
        files: what the architect writes itself, SPEC.md among it.
        check: the architect's integration check, a shell command, or "".
        mends: what it mends when the check fails.
        closing: its last words when all is well.
    """

    name: str
    words: re.Pattern[str]
    brief: Brief
    wrong_briefs: int
    parts: tuple[Part, ...]
    files: Mapping[str, str]
    check: str
    mends: tuple[Mend, ...]
    closing: str

    @property
    def labels(self) -> list[str]:
        """The workers' labels."""
        return [part.label for part in self.parts]


def load_scenario(folder: Path) -> Scenario:
    """Read a scenario's folder.

    Raises:
        KeyError, pydantic.ValidationError: `scenario.yaml` lacks something or has it in the wrong shape.
    """
    data: dict[str, Any] = yaml.safe_load((folder / "scenario.yaml").read_text())
    checks = data.get("worker_checks", {})
    return Scenario(
        name=folder.name,
        words=re.compile(data["words"], re.IGNORECASE),
        brief=load(Brief, {"fits": True, "reason": "", **data["brief"]}),
        wrong_briefs=data.get("wrong_briefs", 0),
        parts=tuple(
            Part(AgentLabel(label), task.strip(), checks.get(label, ""), _files(folder / label))
            for label, task in data["tasks"].items()
        ),
        files=_files(folder / "architect"),
        check=data.get("check", "").strip(),
        mends=tuple(Mend(**mend) for mend in data.get("mends", ())),
        closing=data["closing"].strip(),
    )


def _files(folder: Path) -> dict[str, str]:
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_text() for path in found}
