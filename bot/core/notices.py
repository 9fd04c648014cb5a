"""What we say in a comment of its own because somebody commanded something: the views of those templates."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from bot.core import words
from bot.core.models import Brief, RunId

_SPEC_SHOWN = 20_000
_HEADINGS_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Owner:
    """A worker and its files."""

    label: str
    produces: str


@dataclass(frozen=True, slots=True)
class GateView:
    """`github/gate.md.j2`: a specification that waits for approval."""

    run: RunId
    login: str
    goal: str
    headings: tuple[str, ...]
    spec: str
    cut: bool
    owners: tuple[Owner, ...]
    estimate: str
    budget: str
    until: str


def gate_view(
    *,
    run: RunId,
    login: str,
    spec: str,
    brief: Brief,
    labels: Sequence[str],
    past: Sequence[tuple[float, int]],
    budget_microusd: int,
    until: float,
) -> GateView:
    """A specification for people: the workers with these `labels` are about to start.

    `past` has seconds and millionths of a dollar of builds that succeeded; `until` is in seconds since the epoch.
    """
    produces = {component.label: component.produces for component in brief.components}
    estimate = "unknown: no build has succeeded here yet"
    if past:
        seconds, microusd = median(each[0] for each in past), round(median(each[1] for each in past))
        estimate = f"{words.duration(seconds)} and {words.dollars(microusd)}, as the last {len(past)} builds"
    headings = re.findall(r"^#{1,3} +(.+?) *#*$", spec, re.MULTILINE)
    return GateView(
        run=run,
        login=login,
        goal=words.clip(brief.goal, 1_000),
        headings=tuple(words.one_line(each, 120) for each in headings[:_HEADINGS_SHOWN]),
        spec=spec[:_SPEC_SHOWN],
        cut=len(spec) > _SPEC_SHOWN,
        owners=tuple(
            Owner(label, words.one_line(str(produces.get(label, "see the specification")), 200))  # type: ignore[call-overload]
            for label in labels
        ),
        estimate=estimate,
        budget=words.dollars(budget_microusd),
        until=words.moment(until),
    )


@dataclass(frozen=True, slots=True)
class QuestionsView:
    """`github/questions.md.j2`: what has to be known first."""

    login: str
    questions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class MovedView:
    """`github/moved.md.j2`: what stands below a pull request's text when other commits came in while it was built."""

    branch: str
    head: str
    """Where the branch is by now."""
    start: str
    """What the agents started from, and what the evidence is of."""
    below: str
    """What the commit lies on."""
    paths: tuple[str, ...]
    """What both have changed; with these nobody but a person can merge."""
    more: int


@dataclass(frozen=True, slots=True)
class ExtendedView:
    """`github/extended.md.j2`."""

    url: str
    until: str
    already: bool
    """It lived longer than was asked for anyway."""


@dataclass(frozen=True, slots=True)
class ShownView:
    """`github/shown.md.j2`: what became of `/swarm preview`."""

    sha: str
    url: str
    until: str
    problem: str
    """Empty when it can be seen."""
    log: str


@dataclass(frozen=True, slots=True)
class CiView:
    """`github/ci.md.j2`: what became of `/swarm ci`."""

    sha: str
    """The commit that workflows run on; empty when the branch has moved."""
    seen: str
    head: str


@dataclass(frozen=True, slots=True)
class TranscriptLink:
    """Where one agent's transcript can be read."""

    agent: str
    url: str


@dataclass(frozen=True, slots=True)
class ExhibitsView:
    """`github/exhibits.md.j2`: what is added to a pull request after it was opened."""

    picture: str
    """Address of the picture; empty without one."""
    commit: str
    """What the preview shows."""
    problem: str
    """Why there is no picture, though there should be one."""
    transcripts: tuple[TranscriptLink, ...]
