"""The nouns of the product. All frozen and JSON-safe (`core.codec`), because the journal stores them between steps."""

import hashlib
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal, NewType

RunId = NewType("RunId", str)
"""One build: 12 lower-case hex characters; part of branch, VM label and marker names."""
VmId = NewType("VmId", str)
"""A machine, as the provider names it (a UUID on Vers)."""
CommitId = NewType("CommitId", str)
"""A machine snapshot, as the provider names it. Not a git commit: those are plain `sha` strings."""
AgentLabel = NewType("AgentLabel", str)
"""An agent within its run: "architect", "server". Unique within the run; `[a-z0-9][a-z0-9-]{0,31}`."""


class Role(StrEnum):
    """What an agent is in its swarm."""

    ARCHITECT = "architect"
    WORKER = "worker"


class AppKind(StrEnum):
    """How the result is shown: a process that serves, files that are served, or a check that is run."""

    WEB = "web"
    STATIC = "static"
    NONE = "none"


class AgentState(StrEnum):
    """Honest states. A silent agent is stalled, never done; an agent we cannot reach is lost, never failed."""

    STARTING = "starting"
    IDLE = "idle"
    WORKING = "working"
    DONE = "done"
    FAILED = "failed"
    STALLED = "stalled"
    LOST = "lost"

    @property
    def ended(self) -> bool:
        """Whether this agent will do nothing more by itself."""
        return self in (AgentState.DONE, AgentState.FAILED, AgentState.LOST)


class RunState(StrEnum):
    """Where a build is; the last five are terminal."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    DECLINED = "declined"
    WAITING = "waiting"
    """The issue left questions open: nothing runs, and an answer starts another build."""

    @property
    def ended(self) -> bool:
        """Whether the build has reached a terminal state."""
        return self not in (RunState.QUEUED, RunState.RUNNING)


class Phase(StrEnum):
    """The steps of a build in their order; the text is what people see."""

    ADMIT = "admit"
    PREPARE = "prepare"
    SWARM = "swarm"
    COLLECT = "collect"
    PREVIEW = "preview"
    PUBLISH = "publish"
    DONE = "done"


@dataclass(frozen=True, slots=True)
class Repo:
    """A repository and the App installation through which we may touch it."""

    full_name: str
    """"owner/name"."""
    id: int
    installation_id: int

    @property
    def owner(self) -> str:
        return self.full_name.partition("/")[0]

    @property
    def name(self) -> str:
        return self.full_name.partition("/")[2]


class OrderKind(StrEnum):
    """What a person may tell a build that runs."""

    FINISH = "finish"
    """Wrap up with what there is."""
    APPROVE = "approve"
    REVISE = "revise"
    ALSO = "also"
    """One more remark of a review: its comments come one by one, and the first of them has started the build."""


@dataclass(frozen=True, slots=True)
class Options:
    """What a person wrote after `/swarm build` as `name=value`; what is zero or empty was not written."""

    workers: int = 0
    """How many workers at most, and branched ahead."""
    model: str = ""
    start: str = ""
    """`from=`: which work of the build before is kept: "spec", "worker:NAME" (all but that worker's) or "integrate"."""


@dataclass(frozen=True, slots=True)
class BuildRequest:
    """What a person asked for: the issue as it stood in the signed payload that triggered the build."""

    repo: Repo
    issue: int
    """Issue number."""
    title: str
    body: str
    requested_by: str
    """Login of the event's sender."""
    delivery: str
    """X-GitHub-Delivery of the trigger."""
    insist: bool = False
    """Build even if the brief says that the issue does not suit a swarm (`/swarm build`)."""
    feedback: str = ""
    """What the person wrote after the command, if anything."""
    said_on: int = 0
    """Number of the pull request on which the person wrote it; 0 for the issue."""
    requested_by_id: int = 0
    """The sender's numeric id, for the commit's co-author; 0 if it is not known."""
    options: Options = field(default_factory=Options)

    @property
    def text_sha256(self) -> str:
        """Of title and text as they are built: whoever wants to can tell that nothing else was."""
        return hashlib.sha256(f"{self.title}\n\n{self.body}".encode("utf-8", "surrogatepass")).hexdigest()


@dataclass(frozen=True, slots=True)
class Component:
    """One worker's share of the work."""

    label: AgentLabel
    produces: str
    """Files or folders, in words."""


@dataclass(frozen=True, slots=True)
class Brief:
    """The issue, read by the model without tools: what the architect prompt is made from.

    `fits` is False when a swarm is the wrong tool (the guide's "When not to use swarms"); `reason` then says why.
    """

    title: str
    goal: str
    requirements: tuple[str, ...]
    stack: str
    components: tuple[Component, ...]
    kind: AppKind
    fits: bool
    reason: str
    check: str = ""
    """For kind "none": the shell command whose exit status and output are the evidence."""
    questions: tuple[str, ...] = ()
    """What has to be known before it can be built; at most three, none for an issue that is clear."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """What model calls used. `cost_microusd` is dollars x 1,000,000, from the price table at the time of the call."""

    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_write: int = 0
    cost_microusd: int = 0

    def __add__(self, other: "Tokens") -> "Tokens":
        return Tokens(
            self.input + other.input,
            self.output + other.output,
            self.cache_read + other.cache_read,
            self.cache_write + other.cache_write,
            self.cost_microusd + other.cost_microusd,
        )


@dataclass(frozen=True, slots=True)
class BriefResult:
    """A brief, and whose it is: the model's, or made from the issue's own text because the model gave none of use."""

    brief: Brief
    source: Literal["model", "fallback"]
    tokens: Tokens
    images_refused: str = ""
    """Why the model did not take the attached images."""


@dataclass(frozen=True, slots=True)
class Spender:
    """Who pays for a model call: an agent of a run, on a machine."""

    run: RunId
    agent: AgentLabel
    vm: VmId | None


@dataclass(frozen=True, slots=True)
class AgentView:
    """An agent as people see it: a row of the progress comment, the status page and the demo."""

    label: AgentLabel
    role: Role
    vm: VmId | None
    state: AgentState
    doing: str = ""
    """The last thing seen: "write server.js", "waiting for the workers"."""
    reason: str = ""
    """Why it failed or was lost."""
    tokens: Tokens = field(default_factory=Tokens)
    files: int = 0
    """How many it has written."""
    heard_at: float = 0.0
    """When it last began something else, in seconds since the epoch; 0 for never."""


@dataclass(frozen=True, slots=True)
class Artifact:
    """One file of the result. `mode` is git's: 0o100644 or 0o100755."""

    path: str
    content: bytes
    mode: int = 0o100644


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A path that did not make it into the pull request, and why, in words for a reviewer."""

    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class OwnTests:
    """The result's own tests, run on the clean machine before anything was started."""

    command: str
    exit_status: int
    output: str = ""
    """Last lines."""
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Evidence:
    """What happened when the collected files were started once more on a clean machine."""

    kind: AppKind
    ok: bool
    url: str = ""
    """The address that was probed, as a visitor would; empty for kind "none"."""
    status: int = 0
    """HTTP status of the probe; 0 if nothing answered."""
    command: str = ""
    exit_status: int | None = None
    """Of the check command (kind "none")."""
    output: str = ""
    """Last lines of the app's or the check's output."""
    bridged: bool = False
    """The app listens on IPv4 only, and the IPv6 bridge makes it reachable."""
    problem: str = ""
    """Why `ok` is False, in one sentence."""
    vm: VmId | None = None
    probed_at: str = ""
    """RFC 3339."""
    install_seconds: float = 0.0
    start_seconds: float = 0.0
    tests: OwnTests | None = None
    """None if the files have no tests that we know how to run."""

    @property
    def complete(self) -> bool:
        """Whether it works and no test says otherwise."""
        return self.ok and (self.tests is None or self.tests.exit_status == 0)


@dataclass(frozen=True, slots=True)
class Published:
    """What stands on GitHub at the end."""

    branch: str
    commit_sha: str
    pull_request: int
    pull_request_url: str
    draft: bool
    deployment_id: int | None = None
    check_id: int | None = None
