"""What becomes of a stored delivery: permission looked up, decision taken, carried out. Never waits for a build."""

import hashlib
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace

from bot.core import policy, requests, words
from bot.core.codec import load
from bot.core.decisions import (
    Answer,
    CancelRun,
    Decision,
    EndIssue,
    EndPullRequest,
    ExtendPreview,
    GiveOrder,
    LetCiRun,
    Nothing,
    OutdatePreview,
    Refuse,
    ShowAgain,
    StartBuild,
)
from bot.core.errors import BotError, NotFound, Transient, UserError
from bot.core.events import Event, IssueLabeled, IssueUnlabeled, PullRequestClosed, load_event
from bot.core.installations import InstallationEvent
from bot.core.models import Brief, OrderKind, Repo, RunId, RunState
from bot.core.policy import Ask, Concern, Permission
from bot.core.prompts import AnsweredPrompt
from bot.core.views import answer_view, refusal_view
from bot.github.client import Repository
from bot.pipeline import narrate, planning
from bot.pipeline.desk import Desk
from bot.pipeline.journal.runs import Run
from bot.pipeline.lifecycle import Lifecycle
from bot.pipeline.rooms import Rooms
from bot.pipeline.standing import builds_of, standing_of

Steering = GiveOrder | ExtendPreview | LetCiRun | ShowAgain | Refuse

log = logging.getLogger(__name__)


def run_id_of(delivery: str) -> RunId:
    """The build that a delivery starts: the same each time the delivery is handled."""
    return RunId(hashlib.sha256(delivery.encode()).hexdigest()[:12])


@dataclass(frozen=True, slots=True)
class _Case:
    """One delivery on its way through."""

    delivery: str
    event: Event
    concern: Concern
    repository: Repository
    builds: list[Run]


@dataclass(frozen=True, slots=True)
class Intake:
    """Handles one delivery after the other."""

    rooms: Rooms
    desk: Desk
    trigger_label: str
    lifecycle: Lifecycle
    outdate_preview: Callable[[Repo, int, str, str], None]
    """Say that the preview of a pull request is old: repository, number, new head, who pushed it."""

    def handle(self, delivery: str) -> str:
        """Do what a stored delivery asks for; what was done, for the log. Doing it twice changes nothing more.

        Raises:
            Transient: GitHub or the database did not answer; worth another try.
        """
        event = load_event(self.rooms.runs.delivery(delivery))
        if isinstance(event, InstallationEvent):
            return self._note(delivery, self.lifecycle.moved(event))
        label = self._trigger(event)
        concern = policy.concerns(event, label)
        if concern is None:
            return self._note(delivery, "it asks nothing of us")
        repository = self.rooms.github.repository(concern.repo)
        builds = builds_of(self.rooms.runs, concern)
        decision = policy.decide(
            event,
            trigger_label=label,
            permission=self._permission(repository, concern) if concern.needs_permission else Permission.NONE,
            least=self.rooms.least,
            standing=standing_of(self.rooms, concern, builds, delivery),
        )
        case = _Case(delivery, event, concern, repository, builds)
        return self._note(delivery, self._carry_out(decision, case))

    def _note(self, delivery: str, outcome: str) -> str:
        self.rooms.runs.note_outcome(delivery, outcome)
        log.info("delivery %s: %s", delivery, outcome)
        return outcome

    def _trigger(self, event: Event) -> str:
        """The label that starts builds: ours, or the event's if the repository has chosen it."""
        if not isinstance(event, IssueLabeled | IssueUnlabeled):
            return self.trigger_label
        if policy.concerns(event, self.trigger_label) or not policy.plausible_label(event.label):
            return self.trigger_label
        repository = self.rooms.github.repository(event.repo)
        try:
            chosen = planning.configured(repository, repository.base().branch).label
        except (
            UserError
        ) as error:  # whether it is the label can't be known; the build that it may mean names every problem
            log.info("label %s of %s: %s", event.label, event.repo.full_name, error)
            return event.label if isinstance(event, IssueLabeled) else self.trigger_label
        return chosen or self.trigger_label

    def _permission(self, repository: Repository, concern: Concern) -> Permission:
        """What the sender may do now; an error, unless it passes, is no permission."""
        try:
            return repository.permission(concern.sender)
        except Transient:
            raise
        except BotError as error:
            log.warning("permission of %s: %s; taken as none", concern.sender, error)
            return Permission.NONE

    def _carry_out(self, decision: Decision, case: _Case) -> str:  # noqa: PLR0911  # a case per decision
        match decision:
            case StartBuild():
                return self._start(decision, case)
            case CancelRun(run=run, reason=reason):
                self.rooms.runs.cancel(run, case.concern.sender, reason)
                return f"build {run} asked to stop: {reason}"
            case EndIssue() | EndPullRequest():
                return self._end(decision, case)
            case OutdatePreview(pull_request=number, head_sha=sha):
                self.outdate_preview(case.concern.repo, number, sha, case.concern.sender)
                return f"the branch of #{number} was moved to {sha[:9]}"
            case Answer():
                return self._answer(decision, case)
            case Nothing(why=why):
                return why
            case _:
                return self._steer(decision, case)

    def _end(self, decision: EndIssue | EndPullRequest, case: _Case) -> str:
        repo, sender, event = case.concern.repo, case.concern.sender, case.event
        if isinstance(event, IssueUnlabeled) and self._labelled(event, case.repository):
            return "the label was taken off and put on again since"
        if isinstance(decision, EndIssue):
            return self.lifecycle.end_issue(repo, decision.issue, sender, decision.reason)
        merged = event.head_branch if isinstance(event, PullRequestClosed) and event.merged else ""
        return self.lifecycle.end_pull_request(
            repo, decision.pull_request, sender, decision.reason, delete_branch=merged
        )

    def _steer(self, decision: Steering, case: _Case) -> str:
        number, delivery = case.concern.number, case.delivery
        match decision:
            case GiveOrder():
                return self._give(decision, case)
            case ExtendPreview(run=run, seconds=seconds):
                return self.desk.extend(run, seconds, number, delivery)
            case LetCiRun(run=run, seen=seen):
                return self.desk.let_ci_run(run, seen, number, delivery)
            case ShowAgain(run=run):
                self.rooms.jobs.show_again(f"{run} {number} {delivery}", delivery)
                self._heard(case)
                return f"build {run} is shown again"
            case Refuse(why=why):
                body = self.rooms.texts.render("github/refusal.md.j2", refusal_view(case.concern.sender, why))
                case.repository.say(number, body, f"refusal={case.concern.sender}")  # once, however often
                return f"refused @{case.concern.sender}: {why}"

    def _start(self, decision: StartBuild, case: _Case) -> str:
        if isinstance(case.event, IssueLabeled) and not self._labelled(case.event, case.repository):
            return "the label came late: it is gone again, or the issue is closed"
        run, earlier = run_id_of(case.delivery), case.builds[0].request if case.builds else None
        request = requests.request_of(case.event, decision, case.delivery, earlier)
        if request is None:
            return "no build of this issue is known"
        if case.concern.ask is Ask.ANSWER:
            request = replace(request, feedback=self._answered(request.feedback, case))
        made = self.rooms.runs.create(
            run, request, lambda db: self.rooms.jobs.build(db, run, request.repo.full_name)
        )
        if case.concern.number != request.issue:
            self._heard(case)
        return f"build {run} {'queued' if made else 'was queued before'}"

    @staticmethod
    def _labelled(event: IssueLabeled | IssueUnlabeled, repository: Repository) -> bool:
        """Whether the label is on an open issue now: a webhook may come days after what it tells of, and after what undid that."""
        try:
            issue = repository.issue(event.issue)
        except NotFound:
            return False
        return issue.state == "open" and event.label.casefold() in map(str.casefold, issue.labels)

    def _answered(self, answer: str, case: _Case) -> str:
        """The answer together with what was asked: the next reader of the issue has not heard the questions."""
        asked = next(run for run in case.builds if run.state is RunState.WAITING)
        view = AnsweredPrompt(load(Brief, asked.result["brief"]).questions, answer)
        return self.rooms.texts.render("prompts/answered.md.j2", view)

    def _give(self, decision: GiveOrder, case: _Case) -> str:
        sender = case.concern.sender
        if self.rooms.orders.give(decision.run, case.delivery, decision.order, decision.text, sender):
            said = decision.text if decision.order is OrderKind.ALSO else decision.order
            self.rooms.runs.record(decision.run, "note", text=f"@{sender} says: {said}")
        self._heard(case)
        return f"build {decision.run} was told: {decision.order}"

    @staticmethod
    def _heard(case: _Case) -> None:
        """A reaction says that a command was understood where no words are needed."""
        try:
            if case.concern.comment_id is not None:
                case.repository.react_to_comment(case.concern.comment_id, "+1")
        except BotError as error:  # the command is followed all the same
            log.warning("reaction on comment %s: %s", case.concern.comment_id, error)

    def _answer(self, answer: Answer, case: _Case) -> str:
        view = answer_view(
            answer,
            build=narrate.seen_progress(self.rooms, answer.run) if answer.run else None,
            doing=words.PHASES[self.rooms.runs.get(answer.run).phase] if answer.run else "",
            trigger_label=self.trigger_label,
        )
        text = self.rooms.texts.render(f"github/{answer.reply}.md.j2", view)
        # Whoever may not build gets each kind of answer once, or anybody could use up what we may write in an hour.
        heard = case.concern.needs_permission or self._permission(case.repository, case.concern).covers(
            self.rooms.least
        )
        marker = case.delivery if heard else f"{answer.reply}-{case.concern.sender}"
        case.repository.say(case.concern.number, text, f"answer={marker}")
        return f"answered with {answer.reply}"
