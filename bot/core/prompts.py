"""What the prompts in `templates/prompts` see: one frozen view each; and the prompt that drives a build."""

from dataclasses import dataclass

from bot.core.models import Brief, Component
from bot.core.paths import shown
from bot.core.texts import Texts
from bot.core.tree import ANYWHERE, DELETIONS, EVIDENCE, NOTHING, Bounds, Start
from bot.core.visible import visible_text

EXISTING_SHOWN = 200
WORKSPACE = "/root/workspace"


@dataclass(frozen=True, slots=True)
class BriefPrompt:
    """`prompts/brief.md.j2`, the system prompt of the call that reads an issue."""

    tool: str
    """Name of the tool that takes the answer."""


@dataclass(frozen=True, slots=True)
class Remark:
    """What somebody who may write in the repository said in the issue before the build was asked for."""

    author: str
    text: str
    images: tuple[str, ...] = ()
    """Addresses of the images in it."""


@dataclass(frozen=True, slots=True)
class IssuePrompt:
    """`prompts/issue.md.j2`: the issue as data. All texts are what a person sees of them."""

    title: str
    body: str
    feedback: str
    insist: bool
    """A maintainer wants it built although it may not suit a swarm."""
    remarks: tuple[Remark, ...] = ()
    questions: bool = True
    """Whether it may ask back."""
    images: int = 0
    """How many images follow the text."""


@dataclass(frozen=True, slots=True)
class ArchitectPrompt:
    """`prompts/architect.md.j2`: the one prompt that drives a build."""

    title: str
    goal: str
    requirements: tuple[str, ...]
    stack: str
    components: tuple[Component, ...]
    kind: str
    """"web", "static" or "none"."""
    check: str
    feedback: str
    keep: str
    """What of the build before stays: "", "spec", "integrate" or "worker"."""
    keep_but: str
    """For "worker": whose part is made anew."""
    golden: str
    """The snapshot that workers start from."""
    workspace: str
    existing: tuple[str, ...] = ()
    """Paths of the repository's files in the workspace; the first of them, if there are many."""
    more_existing: int = 0
    unseen: int = 0
    """Files of the repository that were not placed."""
    branch: str = ""
    """Where an earlier build of the issue, and what people did with it, already is; the workspace is that."""
    target: str = ""
    """The folder that the build is kept in; empty for the whole repository."""
    protected: tuple[str, ...] = ()
    """Paths and patterns that stay as they are."""
    deletions: str = DELETIONS
    evidence: str = EVIDENCE


@dataclass(frozen=True, slots=True)
class FinishPrompt:
    """`prompts/finish.md.j2`: what the architect is told when somebody wants it to wrap up."""


@dataclass(frozen=True, slots=True)
class AlsoPrompt:
    """`prompts/also.md.j2`: what the architect is told when a review says more while it works."""

    by: str
    text: str


@dataclass(frozen=True, slots=True)
class RevisePrompt:
    """`prompts/revise.md.j2`: the answer to a spawn that was not approved."""

    by: str
    text: str
    labels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AnsweredPrompt:
    """`prompts/answered.md.j2`: questions of a former build with their answer, as the feedback of the next."""

    questions: tuple[str, ...]
    answer: str


def architect_prompt(
    brief: Brief,
    *,
    texts: Texts,
    golden: str,
    feedback: str = "",
    start: Start = NOTHING,
    branch: str = "",
    bounds: Bounds = ANYWHERE,
    keep: str = "",
) -> str:
    """The prompt that drives a build. It carries no secret.

    Args:
        brief: the issue, read.
        texts: renders it.
        golden: the snapshot that workers start from.
        feedback: what a maintainer wrote after `/swarm rebuild`.
        start: what lies in the workspace already.
        branch: where that comes from if it is an earlier build's branch; "" for the repository's own.
        bounds: what of the repository may be changed.
        keep: which work of the build before is kept, see `Options.start`.
    """
    keep, _, keep_but = keep.partition(":")
    placed = [shown(file.path) for file in start.files]
    view = ArchitectPrompt(
        title=brief.title,
        goal=brief.goal,
        requirements=brief.requirements,
        stack=brief.stack,
        components=brief.components,
        kind=brief.kind,
        check=brief.check,
        feedback=visible_text(feedback),
        keep=keep,
        keep_but=keep_but,
        golden=golden,
        workspace=WORKSPACE,
        existing=tuple(placed[:EXISTING_SHOWN]),
        more_existing=max(0, len(placed) - EXISTING_SHOWN),
        unseen=len(start.listing) - len(placed),
        branch=branch,
        target=bounds.target,
        protected=tuple(bounds.protected),
    )
    return texts.render("prompts/architect.md.j2", view)
