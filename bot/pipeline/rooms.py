"""All that a build touches, handed in by the composition root."""

from collections.abc import Callable
from dataclasses import dataclass

from bot.agents.golden import GoldenImages
from bot.agents.lines import Lines
from bot.agents.swarm import Swarm
from bot.core.models import BuildRequest, CommitId, RunId
from bot.core.texts import Texts
from bot.github.app import GitHubApp
from bot.pipeline.brief import BriefResult
from bot.pipeline.engine import Jobs
from bot.pipeline.journal.fleet import Fleet
from bot.pipeline.journal.results import Results
from bot.pipeline.journal.runs import Runs
from bot.pipeline.journal.usage import Usage
from bot.pipeline.pace import Pace
from bot.pipeline.preview import PreviewTools
from bot.vms.base import Connect, Provider


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one build and of its preview."""

    run_minutes: float
    start_seconds: float
    preview_hours: float
    agent_model: str


@dataclass(frozen=True, slots=True)
class Rooms:
    """The adapters and stores of the process."""

    runs: Runs
    fleet: Fleet
    usage: Usage
    results: Results
    jobs: Jobs
    provider: Provider
    connect: Connect
    lines: Lines
    github: GitHubApp
    golden: GoldenImages
    texts: Texts
    preview_tools: PreviewTools
    limits: Limits
    deployment: str
    read_issue: Callable[[RunId, BuildRequest], BriefResult]
    make_swarm: Callable[[RunId, CommitId, float], Swarm]
    """(run, golden commit, deadline in seconds since the epoch)."""
    status_page: Callable[[RunId], str]
    now: Callable[[], float]
    pace: Pace
