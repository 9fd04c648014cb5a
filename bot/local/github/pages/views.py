"""What the pages' templates see: one frozen view per page."""

from dataclasses import dataclass

from markupsafe import Markup

from bot.local.github.gitstore import TreeEntry
from bot.local.github.pages.diffs import DiffView


@dataclass(frozen=True, slots=True)
class Frame:
    """What every page has around it. `me` is the person who looks; `people` are those one can be."""

    title: str
    owner: str
    name: str
    tab: str
    me: str
    people: tuple[str, ...]
    open_issues: int
    open_pulls: int
    here: str


@dataclass(frozen=True, slots=True)
class LabelView:
    name: str
    color: str
    ink: str


@dataclass(frozen=True, slots=True)
class Entry:
    """A comment, or the description at the top."""

    anchor: str
    author: str
    bot: bool
    role: str
    when: str
    exact: str
    edited: bool
    body: Markup
    reactions: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Row:
    """An issue or a pull request in a list."""

    number: int
    title: str
    state: str
    pull: bool
    author: str
    when: str
    labels: tuple[LabelView, ...]
    comments: int


@dataclass(frozen=True, slots=True)
class DeploymentView:
    environment: str
    state: str
    active: bool
    url: str
    log_url: str
    creator: str
    when: str
    description: str


@dataclass(frozen=True, slots=True)
class CheckView:
    id: int
    name: str
    state: str
    title: str
    summary: Markup
    text: Markup
    actions: tuple[tuple[str, str, str], ...]
    details_url: str


@dataclass(frozen=True, slots=True)
class Talk:
    """The conversation of an issue or a pull request: the part of the page that refreshes itself."""

    number: int
    title: str
    state: str
    """"open", "closed", "not planned", "draft" or "merged"."""
    pull: bool
    author: str
    when: str
    closed_by: str
    entries: tuple[Entry, ...]
    labels: tuple[LabelView, ...]
    other_labels: tuple[str, ...]
    may_label: bool
    may_close: bool


@dataclass(frozen=True, slots=True)
class Code:
    """The code side of a pull request."""

    head: str
    base: str
    head_sha: str
    commits: int
    additions: int
    deletions: int
    changed_files: int
    deployments: tuple[DeploymentView, ...]
    checks: tuple[CheckView, ...]
    mergeable: bool
    may_merge: bool
    merged_sha: str


@dataclass(frozen=True, slots=True)
class ListPage:
    frame: Frame
    pulls: bool
    state: str
    rows: tuple[Row, ...]
    open: int
    closed: int


@dataclass(frozen=True, slots=True)
class IssuePage:
    frame: Frame
    talk: Talk


@dataclass(frozen=True, slots=True)
class PullPage:
    frame: Frame
    talk: Talk
    code: Code
    files: tuple[DiffView, ...]


@dataclass(frozen=True, slots=True)
class CommitPage:
    frame: Frame
    sha: str
    message: str
    author: str
    when: str
    verified: bool
    files: tuple[DiffView, ...]


@dataclass(frozen=True, slots=True)
class CheckPage:
    frame: Frame
    check: CheckView
    may_press: bool


@dataclass(frozen=True, slots=True)
class CodePage:
    """A folder (`entries`, with the README) or a file (`lines`) of a repository."""

    frame: Frame
    branch: str
    branches: tuple[str, ...]
    path: str
    crumbs: tuple[tuple[str, str], ...]
    entries: tuple[TreeEntry, ...]
    lines: tuple[Markup, ...]
    readme: Markup
    commit: str
    message: str
    author: str
    when: str
    clone_url: str
    description: str


@dataclass(frozen=True, slots=True)
class HomePage:
    frame: Frame
    repositories: tuple[tuple[str, str, bool], ...]


@dataclass(frozen=True, slots=True)
class NewIssuePage:
    frame: Frame


@dataclass(frozen=True, slots=True)
class ManifestPage:
    frame: Frame
    app: str
    manifest: str
    permissions: tuple[tuple[str, str], ...]
    events: tuple[str, ...]
    state: str
    account: str


@dataclass(frozen=True, slots=True)
class InstallPage:
    frame: Frame
    app: str
    slug: str
    accounts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ProblemPage:
    frame: Frame
    status: int
    message: str


@dataclass(frozen=True, slots=True)
class NoView:
    """For a template that needs nothing."""
