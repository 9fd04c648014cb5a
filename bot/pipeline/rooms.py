"""All that a build touches, handed in by the composition root."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bot.agents.camera import CameraImages
from bot.agents.golden import GoldenImages
from bot.agents.lines import Lines
from bot.agents.outside import Outside
from bot.agents.swarm import Swarm
from bot.core.models import BriefResult, BuildRequest, CommitId, RunId
from bot.core.pictures import AttachedImage
from bot.core.plan import Allowed, Plan
from bot.core.policy import Permission
from bot.core.prompts import Remark
from bot.core.texts import Texts
from bot.github.app import GitHubApp
from bot.pipeline.engine import Jobs
from bot.pipeline.journal.fleet import Fleet
from bot.pipeline.journal.orders import Orders
from bot.pipeline.journal.results import Results
from bot.pipeline.journal.runs import Runs
from bot.pipeline.journal.transcripts import Transcripts
from bot.pipeline.journal.usage import Usage
from bot.pipeline.pace import Pace
from bot.pipeline.preview import PreviewTools
from bot.vms.base import Connect, Provider


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one build and of its preview."""

    run_minutes: float
    start_seconds: float
    approval_hours: float
    """How long a specification waits for people."""


@dataclass(frozen=True, slots=True)
class Rooms:
    """The adapters and stores of the process."""

    runs: Runs
    fleet: Fleet
    usage: Usage
    results: Results
    orders: Orders
    jobs: Jobs
    provider: Provider
    connect: Connect
    lines: Lines
    github: GitHubApp
    golden: GoldenImages
    camera: CameraImages | None
    """None if no pictures are taken."""
    transcripts: Transcripts
    texts: Texts
    preview_tools: PreviewTools
    limits: Limits
    deployment: str
    allowed: Allowed
    least: Permission
    """What it takes to start or steer a build."""
    read_issue: Callable[[RunId, BuildRequest, Sequence[Remark], Sequence[AttachedImage]], BriefResult]
    make_swarm: Callable[[RunId, CommitId, float, Plan, Outside], Swarm]
    """(run, golden commit, deadline in seconds since the epoch, plan, the people around)."""
    status_page: Callable[[RunId], str]
    now: Callable[[], float]
    pace: Pace
