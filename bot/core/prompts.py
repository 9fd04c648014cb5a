"""What the prompts in `templates/prompts` see: one frozen view each."""

from dataclasses import dataclass

from bot.core.models import Component
from bot.core.tree import DELETIONS, EVIDENCE

EXISTING_SHOWN = 200


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
