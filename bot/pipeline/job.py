"""What each step of a build does. A step may be run again after a crash: it finds what it made before."""

import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from bot.agents.swarm import Swarm
from bot.core import artifacts
from bot.core.codec import dump, load
from bot.core.errors import BotError, Declined, Permanent, Unclear, UserError
from bot.core.models import (
    AgentLabel,
    AgentState,
    Artifact,
    Brief,
    CommitId,
    Evidence,
    OrderKind,
    Phase,
    RunId,
)
from bot.core.notices import QuestionsView
from bot.core.pictures import AttachedImage
from bot.core.plan import Plan
from bot.core.policy import branch_of
from bot.core.prompts import Remark, architect_prompt
from bot.core.tree import SeedLimits
from bot.core.visible import visible_line
from bot.github.client import Repository
from bot.github.publish import CoAuthor, Publication, publish, start_of
from bot.github.values import Base
from bot.patience import watched
from bot.pipeline import narrate, planning
from bot.pipeline.clean import CleanMachine
from bot.pipeline.exhibits import keep_sessions
from bot.pipeline.gate import Gate, message_id
from bot.pipeline.journal.runs import Run
from bot.pipeline.previews import Previews
from bot.pipeline.progress import Reporter
from bot.pipeline.rooms import Rooms
from bot.pipeline.show import show
from bot.pipeline.workspace import Workspace

log = logging.getLogger(__name__)

_LOOKS_AROUND_ITSELF = (Phase.SWARM, Phase.PUBLISH, Phase.DONE)
"""The swarm's loop asks for itself each second; the last two are not to be given up half-way."""
ARCHITECT = AgentLabel("architect")


class Job:
    """One build in this process. What a later step needs goes through the journal, never through this object alone."""

    def __init__(self, rooms: Rooms, run: RunId) -> None:
        self._rooms = rooms
        self._run = run
        self._swarm: Swarm | None = None
        self._clean: CleanMachine | None = None
        self._workspace: Workspace | None = None
        self._background = ThreadPoolExecutor(4, thread_name_prefix=f"job-{run}")
        self._lock = threading.Lock()

    # Around the steps ------------------------------------------------------------------------------

    @contextmanager
    def reporting(self) -> Iterator[Callable[[], None]]:
        """While this is open, the progress comment follows the journal; what it yields writes the last word."""
        rooms, run = self._rooms, self._run
        try:
            with Reporter(
                run,
                rooms.runs,
                self._repository(),
                lambda: narrate.progress(rooms, run),
                rooms.now,
                rooms.pace,
            ) as reporter:
                yield reporter.conclude
        finally:
            self._background.shutdown(wait=False, cancel_futures=True)

    def enter(self, phase: Phase, step: Callable[[], None]) -> None:
        """Do one step, as its phase; how long it took goes into the history."""
        if phase is not Phase.DONE:  # with the pull request open there is nothing left to stop
            self.check_cancelled()
        self._rooms.runs.enter(self._run, phase)
        began = self._rooms.now()
        if phase in _LOOKS_AROUND_ITSELF:
            step()
        else:
            watched(step, self.check_cancelled)
        self._rooms.runs.record(self._run, "step", name=phase, seconds=round(self._rooms.now() - began, 3))

    def check_cancelled(self) -> None:
        """
        Raises:
            Cancelled: somebody asked the build to stop.
        """
        self._rooms.runs.check_cancelled(self._run)

    # The steps, in their order ---------------------------------------------------------------------

    def admit(self) -> None:
        """Refuse what cannot end in a pull request before any money is spent; fix the commit that is built upon."""
        repository = self._repository()
        base = repository.base()
        plan = planning.plan(self._rooms, repository, base.sha, self._record)
        start = start_of(repository, branch_of(self._record.request.issue), base)
        self._rooms.runs.keep(self._run, base=dump(base), plan=dump(plan), start=dump(start))

    def prepare(self) -> None:
        """Read the issue while the architect's machine is branched."""
        request = self._record.request
        golden = self._rooms.golden.ensure(lambda text: self._rooms.runs.record(self._run, "note", text=text))
        deadline = self._rooms.now() + self._rooms.limits.run_minutes * 60
        self._rooms.runs.keep(self._run, golden=golden, deadline=deadline)
        ahead = self._background.submit(self._the_swarm().prepare, self._the_workspace().start)
        try:
            self._read_issue()
        finally:
            ahead.exception()  # waited for, so that a second try does not branch beside the first
        ahead.result()
        brief = self._brief
        if not brief.fits and not request.insist:
            raise Declined(brief.reason)
        if brief.questions and not (request.insist or request.feedback):
            self._ask(brief.questions)

    def _read_issue(self) -> None:
        """Once: a second try of the step does not pay for the reading again."""
        request = self._record.request
        if "brief" in self._facts:
            return
        remarks = self._remarks()
        images = self._images(remarks)
        seen = [each.address for each in images if not each.problem]
        self._rooms.runs.keep(
            self._run, remarks=dump(list(remarks)), images=seen
        )  # what the model reads can be seen
        result = self._rooms.read_issue(self._run, request, remarks, images)
        problems = {each.address: each.problem or result.images_refused for each in images}
        for address, problem in problems.items():
            if problem:
                text = f"the image {visible_line(address)[:200]} was not read: {problem}"
                self._rooms.runs.record(self._run, "warning", text=text)
        if result.images_refused:
            self._rooms.runs.keep(self._run, images=[])
        self._rooms.runs.keep(self._run, brief=dump(result.brief), brief_source=result.source)

    def _remarks(self) -> Sequence[Remark]:
        return planning.remarks(self._repository(), self._record, self._rooms.least)

    def _images(self, remarks: Sequence[Remark]) -> Sequence[AttachedImage]:
        return planning.images(self._repository(), self._record, remarks)

    def _ask(self, questions: tuple[str, ...]) -> None:
        """Ask in the issue and end: an answer starts another build, so that nothing has to wait."""
        request = self._record.request
        text = self._rooms.texts.render(
            "github/questions.md.j2", QuestionsView(request.requested_by, questions)
        )
        self._repository().say(request.issue, text, f"questions={self._run}")
        raise Unclear("the issue leaves something open, see the questions below")

    def swarm(self) -> None:
        """The architect and its workers, until the architect settles; the clean machine is branched meanwhile."""
        self._clean_machine().branch_ahead(self._background)
        facts, request, workspace = self._facts, self._record.request, self._the_workspace()
        start = workspace.start()
        if workspace.not_placed:
            most = SeedLimits()
            self._rooms.runs.record(
                self._run,
                "warning",
                text=f"{workspace.not_placed} files of the repository (links, submodules, large files, and what is "
                f"past {most.max_files:,} files or {most.max_total_bytes >> 20} MiB) were not shown to the agents and are not on "
                "the preview's machine",
            )
        prompt = architect_prompt(
            load(Brief, facts["brief"]),
            texts=self._rooms.texts,
            golden=facts["golden"],
            feedback=request.feedback,
            start=start,
            branch=branch_of(request.issue) if self._continues else "",
            bounds=self._plan.bounds,
            keep=request.options.start,
        )
        try:
            outcome = self._the_swarm().build(prompt, start)
            self._tell_what_came_too_late()
        except BotError:
            self._drop_swarm()  # one object serves one try: two lines to one machine would fight over its ports
            raise
        self._rooms.runs.keep(self._run, outcome=dump(outcome))
        self._rooms.fleet.revoke_bearers(self._run)  # whoever still talks to a model now does it for nobody
        if outcome.architect_state is not AgentState.DONE:
            raise Permanent(f"the architect {outcome.architect_state}: {outcome.reason}")

    def _tell_what_came_too_late(self) -> None:
        for order in self._rooms.orders.of(self._run, OrderKind.ALSO):
            if not self._the_swarm().was_told(message_id(order)):
                text = f"@{order.by} said more when the swarm had finished: {visible_line(order.text)[:200]}; /swarm rebuild takes it up"
                self._rooms.runs.record(self._run, "warning", text=text)

    def collect(self) -> None:
        """What the architect's workspace changes in the repository, read and inspected in memory."""
        shell = self._the_swarm().shell_of(ARCHITECT)
        tar = shell.read_tree("/root/workspace", exclude=artifacts.exclude_patterns())
        made = self._the_workspace().difference(tar)
        if not (made.files or made.deleted or self._continues):
            raise UserError("The agents changed nothing, so there is nothing to open a pull request with.")
        whole = self._the_workspace().whole(made.files, made.deleted)
        artifacts.require(whole, self._brief.kind, self._target)
        self._rooms.results.store(self._run, made.files)
        self._rooms.runs.keep(
            self._run,
            files=[{"path": f.path, "bytes": len(f.content), "mode": f"{f.mode:o}"} for f in made.files],
            deleted=list(made.deleted),
            left_out=dump(list(made.left_out)),
            claims={str(number): text for number, text in made.claims.items()},
        )

    def preview(self) -> None:
        """The files once more on a clean machine: what a reviewer clicks is what is in the pull request."""
        evidence = show(
            self._rooms,
            self._clean_machine(),
            self._plan,
            self._brief,
            self._whole(),
            self.check_cancelled,
        )
        self._rooms.runs.keep(self._run, evidence=dump(evidence))

    def publish(self) -> None:
        """Commit, branch, pull request, deployment."""
        facts, request = self._facts, self._record.request
        evidence = load(Evidence, facts["evidence"])
        if evidence.ok and evidence.url and evidence.vm:
            self._rooms.fleet.keep_vm(evidence.vm, self._rooms.now() + self._plan.preview_s)
            self._rooms.jobs.end_preview_later(self._run, self._plan.preview_s)
        held_back = self._held_back() if evidence.ok and evidence.url else []
        told = narrate.pull_request(self._rooms, self._run, self._whole())
        self._rooms.runs.keep(self._run, held_back=held_back, check=dump(told.check))
        published = publish(
            self._repository(),
            Publication(
                run=self._run,
                issue=request.issue,
                branch=branch_of(request.issue),
                base=load(Base, facts["base"]),
                start=load(Base, facts["start"]),
                files=self._rooms.results.files(self._run),
                deleted=facts["deleted"],
                title=told.title,
                body=told.body,
                commit_message=told.commit_message,
                remark=lambda view: self._rooms.texts.render("github/moved.md.j2", view),
                draft=not evidence.complete,
                run_ci=self._plan.ci,
                co_author=CoAuthor(request.requested_by, request.requested_by_id)
                if request.requested_by_id
                else None,
                check=told.check,
                evidence_url=evidence.url if evidence.ok and not held_back else None,
                details_url=self._rooms.status_page(self._run),
            ),
        )
        self._rooms.runs.keep(self._run, published=dump(published), published_at=self._rooms.now())

    def _held_back(self) -> list[str]:
        """Workflows that a deployment would run with this code and the repository's secrets: then there is none until /swarm ci."""
        if self._plan.ci:
            return []
        found = planning.deployed_to(self._repository(), load(Base, self._facts["base"]).sha)
        if found and "held_back" not in self._facts:
            text = (
                f"there is no deployment yet: {', '.join(found)} would run on it, with this repository's secrets, and nobody has "
                "looked at this code. `/swarm ci` makes it"
            )
            self._rooms.runs.record(self._run, "warning", text=text)
        return found

    def finish(self) -> None:
        """The swarm's machines go; the preview's stays if a visitor can reach it."""
        self._exhibit()
        self._clear(keep_preview=load(Evidence, self._facts["evidence"]).ok and bool(self._evidence_url()))
        self._rooms.results.forget(self._run)
        request = self._record.request
        for earlier in self._rooms.runs.of_issue(request.repo.full_name, request.issue):
            if earlier.id == self._run:
                continue
            try:
                Previews(self._rooms).end(earlier.id, f"build {self._run} took its place")
            except BotError as error:  # its time ends anyway, and the pull request is open
                log.warning("preview of build %s: %s", earlier.id, error)

    def end(self, reason: str) -> None:
        """Whatever happened before: after this no machine of the build is left."""
        self._rooms.runs.record(self._run, "note", text=f"cleaning up: {reason}" if reason else "cleaning up")
        if "golden" in self._facts and not self._rooms.runs.cancellation(self._run):
            self._exhibit()
        self._clear(keep_preview=False)
        self._rooms.results.forget(self._run)

    def _exhibit(self) -> None:
        """Whoever waits for the pull request does not wait for a picture; that and transcripts come after it."""
        keep_sessions(self._rooms, self._run, self._the_swarm())
        self._rooms.jobs.exhibit(self._run)

    # What the steps share --------------------------------------------------------------------------

    @property
    def _record(self) -> Run:
        return self._rooms.runs.get(self._run)

    @property
    def _facts(self) -> Mapping[str, Any]:
        return self._record.result

    @property
    def _brief(self) -> Brief:
        return load(Brief, self._facts["brief"])

    @property
    def _plan(self) -> Plan:
        return load(Plan, self._facts["plan"])

    def _evidence_url(self) -> str:
        return str(self._facts["evidence"]["url"])

    def _repository(self) -> Repository:
        return self._rooms.github.repository(self._record.request.repo)

    @property
    def _target(self) -> str:
        """The folder that the build is kept in; empty for the whole repository."""
        return self._plan.bounds.target

    @property
    def _continues(self) -> bool:
        """Whether the build goes on from what is on the issue's branch."""
        return bool(self._facts["start"] != self._facts["base"])

    def _the_workspace(self) -> Workspace:
        with self._lock:
            if self._workspace is None:
                origin = load(Base, self._facts["start"])
                self._workspace = Workspace(self._repository, origin, self._plan.bounds)
            return self._workspace

    def _whole(self) -> list[Artifact]:
        return self._the_workspace().whole(self._rooms.results.files(self._run), self._facts["deleted"])

    def _the_swarm(self) -> Swarm:
        with self._lock:
            if self._swarm is None:
                facts, plan = self._facts, self._plan
                people = Gate(self._rooms, self._run, plan).outside()
                self._swarm = self._rooms.make_swarm(
                    self._run, CommitId(facts["golden"]), facts["deadline"], plan, people
                )
            return self._swarm

    def _drop_swarm(self) -> None:
        with self._lock:
            swarm, self._swarm = self._swarm, None
        if swarm is not None:
            swarm.close()

    def _clean_machine(self) -> CleanMachine:
        with self._lock:
            if self._clean is None:
                self._clean = CleanMachine.of(self._rooms, self._run)
            return self._clean

    def _clear(self, *, keep_preview: bool) -> None:
        if "golden" in self._facts:
            swarm = self._the_swarm()
            swarm.close()
            swarm.teardown()
            if not keep_preview:
                self._clean_machine().delete()
