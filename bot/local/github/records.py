"""What the local GitHub remembers beside git objects: one frozen record per thing, kept by `store`.

Times are RFC 3339 in UTC with whole seconds ("2026-11-23T08:00:00Z"), as GitHub prints them.
"""

from dataclasses import dataclass, field
from typing import Any

ROLES = ("none", "read", "triage", "write", "maintain", "admin")
"""Repository roles, each able to do what those before it can."""


@dataclass(frozen=True, slots=True)
class Account:
    """A user, an organisation, or the bot user of an App ("slug[bot]")."""

    id: int
    login: str
    type: str
    """"User", "Organization" or "Bot"."""
    created_at: str
    app_id: int | None = None


@dataclass(frozen=True, slots=True)
class Repository:
    """A repository; its objects are in a bare git repository named after `id`."""

    id: int
    owner: str
    name: str
    private: bool
    default_branch: str
    description: str
    created_at: str
    pushed_at: str
    roles: dict[str, str] = field(default_factory=dict)
    """Login -> one of `ROLES`."""
    archived: bool = False

    @property
    def full_name(self) -> str:
        return f"{self.owner}/{self.name}"


@dataclass(frozen=True, slots=True)
class App:
    """A GitHub App. The stand-in keeps the public key only, as GitHub does."""

    id: int
    slug: str
    name: str
    owner: str
    client_id: str
    client_secret: str
    public_key_pem: str
    permissions: dict[str, str]
    events: tuple[str, ...]
    webhook_url: str | None
    webhook_secret: str
    hook_id: int
    external_url: str
    created_at: str


@dataclass(frozen=True, slots=True)
class Installation:
    """An App on an account. `repository_ids` counts only with `repository_selection` "selected"."""

    id: int
    app_id: int
    account: str
    repository_selection: str
    repository_ids: tuple[int, ...]
    permissions: dict[str, str]
    events: tuple[str, ...]
    created_at: str
    suspended_at: str | None = None


@dataclass(frozen=True, slots=True)
class Token:
    """A bearer: a user's (`login`) or an installation's."""

    id: int
    value: str
    login: str | None = None
    installation_id: int | None = None
    repository_ids: tuple[int, ...] | None = None
    """None: all repositories of the installation."""
    permissions: dict[str, str] = field(default_factory=dict)
    expires_at: str | None = None


@dataclass(frozen=True, slots=True)
class ManifestCode:
    """A code of the manifest flow: exchanged once, within an hour, for a new App."""

    id: int
    code: str
    manifest: dict[str, Any]
    owner: str
    expires_at: str


@dataclass(frozen=True, slots=True)
class Label:
    """A label of a repository; names are unique without regard to case."""

    id: int
    repo: int
    name: str
    color: str
    description: str | None


@dataclass(frozen=True, slots=True)
class Issue:
    """An issue, or the issue side of a pull request (`pull`)."""

    id: int
    repo: int
    number: int
    title: str
    body: str | None
    author: str
    created_at: str
    updated_at: str
    labels: tuple[int, ...] = ()
    assignees: tuple[str, ...] = ()
    state: str = "open"
    state_reason: str | None = None
    closed_at: str | None = None
    closed_by: str | None = None
    via_app: int | None = None
    pull: bool = False
    parent: int | None = None
    """Id of the issue that this one is a sub-issue of."""


@dataclass(frozen=True, slots=True)
class Pull:
    """The pull request side of issue `number`; head and base are branches of the same repository."""

    id: int
    repo: int
    number: int
    head: str
    base: str
    head_sha: str
    """Follows the branch while the pull request is open."""
    base_sha: str
    draft: bool
    merged_at: str | None = None
    merged_by: str | None = None
    merge_commit_sha: str | None = None


@dataclass(frozen=True, slots=True)
class Comment:
    """A comment on an issue or on a pull request's conversation."""

    id: int
    repo: int
    number: int
    author: str
    body: str
    created_at: str
    updated_at: str
    via_app: int | None = None


@dataclass(frozen=True, slots=True)
class ReviewComment:
    """A comment on a line of a pull request's diff."""

    id: int
    repo: int
    number: int
    review_id: int
    author: str
    body: str
    path: str
    line: int | None
    side: str
    commit_sha: str
    diff_hunk: str
    in_reply_to: int | None
    created_at: str


@dataclass(frozen=True, slots=True)
class Reaction:
    """A reaction to an issue or to a comment; one per person, subject and content."""

    id: int
    repo: int
    subject: str
    """"issue:<issue id>" or "comment:<comment id>"."""
    author: str
    content: str
    created_at: str


@dataclass(frozen=True, slots=True)
class Deployment:
    """A deployment of a commit to an environment."""

    id: int
    repo: int
    sha: str
    ref: str
    task: str
    environment: str
    description: str | None
    payload: Any
    transient: bool
    production: bool
    creator: str
    created_at: str
    via_app: int | None


@dataclass(frozen=True, slots=True)
class DeploymentStatus:
    """One state in the life of a deployment; the newest is where it stands."""

    id: int
    repo: int
    deployment: int
    state: str
    description: str
    environment: str
    environment_url: str
    log_url: str
    creator: str
    created_at: str
    via_app: int | None


@dataclass(frozen=True, slots=True)
class Environment:
    """A deployment environment; deployments create it, and only an administrator removes it."""

    id: int
    repo: int
    name: str
    created_at: str


@dataclass(frozen=True, slots=True)
class CheckSuite:
    """All check runs of one App on one commit."""

    id: int
    repo: int
    app_id: int
    head_sha: str
    head_branch: str | None
    before: str | None
    created_at: str


@dataclass(frozen=True, slots=True)
class CheckRun:
    """A check run. `output` holds title, summary and text; annotations are kept beside it."""

    id: int
    repo: int
    suite: int
    app_id: int
    name: str
    head_sha: str
    status: str
    conclusion: str | None
    started_at: str
    completed_at: str | None
    details_url: str | None
    external_id: str
    output: dict[str, Any] = field(default_factory=dict)
    annotations: tuple[dict[str, Any], ...] = ()
    actions: tuple[dict[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class CommitStatus:
    """A commit status; the newest per context counts."""

    id: int
    repo: int
    sha: str
    state: str
    context: str
    description: str | None
    target_url: str | None
    creator: str
    created_at: str


@dataclass(frozen=True, slots=True)
class Delivery:
    """One attempt to deliver a webhook. Redeliveries share the `guid`."""

    id: int
    app_id: int
    guid: str
    event: str
    action: str | None
    installation_id: int | None
    repository_id: int | None
    url: str
    headers: dict[str, str]
    body: str
    redelivery: bool = False
    delivered_at: str = ""
    duration_s: float = 0.0
    status: str = "pending"
    status_code: int = 0
    response_headers: dict[str, str] = field(default_factory=dict)
    response_body: str = ""
