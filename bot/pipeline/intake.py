"""What becomes of a stored delivery: permission looked up, decision taken, carried out. Never waits for a build."""

import hashlib
import logging
from collections.abc import Callable
from dataclasses import dataclass

from bot.core import policy
from bot.core.codec import load
from bot.core.errors import BotError, Transient
from bot.core.events import CommentCreated, Event, IssueLabeled, PullRequestClosed
from bot.core.installations import InstallationEvent
from bot.core.models import Repo, RunId
from bot.core.policy import (
    Answer,
    CancelRun,
    Concern,
    EndIssue,
    EndPullRequest,
    Nothing,
    OutdatePreview,
    Permission,
    Refuse,
    StartBuild,
)
from bot.core.texts import Texts
from bot.core.views import answer_view, refusal_view
from bot.github.app import GitHubApp
from bot.github.client import Repository
from bot.pipeline.engine import Jobs
from bot.pipeline.journal.runs import Run, Runs
from bot.pipeline.journal.usage import Usage
from bot.pipeline.lifecycle import Lifecycle

log = logging.getLogger(__name__)


def run_id_of(delivery: str) -> RunId:
    """The build that a delivery starts: the same each time the delivery is handled."""
    return RunId(hashlib.sha256(delivery.encode()).hexdigest()[:12])


@dataclass(frozen=True, slots=True)
class Intake:
    """Handles one delivery after the other."""

    runs: Runs
    usage: Usage
    jobs: Jobs
    github: GitHubApp
    texts: Texts
    trigger_label: str
    least: Permission
    status_page: Callable[[RunId], str]
    lifecycle: Lifecycle
    outdate_preview: Callable[[Repo, int, str, str], None]
    """Say that the preview of a pull request is old: repository, number, new head, who pushed it."""

    def handle(self, delivery: str) -> str:
        """Do what a stored delivery asks for; what was done, for the log. Doing it twice changes nothing more.

        Raises:
            Transient: GitHub or the database did not answer; worth another try.
        """
        event: Event = load(Event, self.runs.delivery(delivery))  # type: ignore[arg-type]  # a union, which pydantic takes
        if isinstance(event, InstallationEvent):
            return self._note(delivery, self.lifecycle.moved(event))
        concern = policy.concerns(event, self.trigger_label)
        if concern is None:
            return self._note(delivery, "it asks nothing of us")
        repository = self.github.repository(concern.repo)
        active = self._active(concern)
        decision = policy.decide(
            event,
            trigger_label=self.trigger_label,
            permission=self._permission(repository, concern),
            least=self.least,
            active=active.id if active else None,
        )
        return self._note(delivery, self._carry_out(decision, event, concern, repository, delivery))

    def _note(self, delivery: str, outcome: str) -> str:
        self.runs.note_outcome(delivery, outcome)
        log.info("delivery %s: %s", delivery, outcome)
        return outcome

    def _active(self, concern: Concern) -> Run | None:
        builds = self.runs.of_issue(concern.repo.full_name, concern.number)
        return next(
            (run for run in builds if not run.state.ended and not self.runs.cancellation(run.id)), None
        )

    def _permission(self, repository: Repository, concern: Concern) -> Permission:
        if not concern.needs_permission:
            return Permission.NONE
        try:
            return repository.permission(concern.sender)
        except Transient:
            raise
        except BotError as error:
            log.warning("permission of %s: %s; taken as none", concern.sender, error)
            return Permission.NONE

    def _carry_out(  # noqa: PLR0911 - one case per decision
        self, decision: policy.Decision, event: Event, concern: Concern, repository: Repository, delivery: str
    ) -> str:
        match decision:
            case StartBuild():
                assert isinstance(event, IssueLabeled | CommentCreated)  # noqa: S101  # the only events that can ask for it
                return self._start(event, decision, delivery)
            case CancelRun(run=run, reason=reason):
                self.runs.cancel(run, concern.sender, reason)
                return f"build {run} asked to stop: {reason}"
            case EndIssue() | EndPullRequest():
                return self._end(decision, event, concern)
            case OutdatePreview(pull_request=number, head_sha=sha):
                self.outdate_preview(concern.repo, number, sha, concern.sender)
                return f"the branch of #{number} was moved to {sha[:9]}"
            case Refuse(why=why):
                body = self.texts.render("github/refusal.md.j2", refusal_view(concern.sender, why))
                repository.say(concern.number, body, f"refusal={delivery}")
                return f"refused @{concern.sender}: {why}"
            case Answer():
                return self._answer(decision, concern, repository, delivery)
            case Nothing(why=why):
                return why

    def _end(self, decision: EndIssue | EndPullRequest, event: Event, concern: Concern) -> str:
        if isinstance(decision, EndIssue):
            return self.lifecycle.end_issue(concern.repo, decision.issue, concern.sender, decision.reason)
        merged = event.head_branch if isinstance(event, PullRequestClosed) and event.merged else ""
        return self.lifecycle.end_pull_request(
            concern.repo, decision.pull_request, concern.sender, decision.reason, delete_branch=merged
        )

    def _start(self, event: IssueLabeled | CommentCreated, decision: StartBuild, delivery: str) -> str:
        run = run_id_of(delivery)
        request = policy.request_of(event, decision, delivery)
        made = self.runs.create(run, request, lambda db: self.jobs.build(db, run, request.repo.full_name))
        return f"build {run} {'queued' if made else 'was queued before'}"

    def _answer(self, answer: Answer, concern: Concern, repository: Repository, delivery: str) -> str:
        run = self.runs.get(answer.run) if answer.run else None
        spent = self.usage.committed_microusd(run.id) if run else 0
        view = answer_view(
            answer,
            run=run.id if run else None,
            phase=run.phase if run else None,
            spent_microusd=spent,
            cap_microusd=self.usage.cap_microusd,
            status_url=self.status_page(run.id) if run else "",
            trigger_label=self.trigger_label,
        )
        repository.say(
            concern.number, self.texts.render(f"github/{answer.reply}.md.j2", view), f"answer={delivery}"
        )
        return f"answered with {answer.reply}"
