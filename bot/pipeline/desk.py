"""What commands do to a pull request that stands: a longer life for its preview, a new one, a run of the workflows."""

import logging
from dataclasses import dataclass, replace

from bot.core import words
from bot.core.codec import dump, load
from bot.core.errors import BotError, Transient
from bot.core.models import Brief, Evidence, Published, RunId, VmId
from bot.core.notices import CiView, ExtendedView, ShownView
from bot.core.plan import Plan
from bot.github.client import Repository
from bot.github.publish import CHECK_NAME, RUN_TRAILER
from bot.github.values import Base, CheckReport
from bot.pipeline.clean import PURPOSE, CleanMachine
from bot.pipeline.journal.runs import Run
from bot.pipeline.live import show_live
from bot.pipeline.rooms import Rooms
from bot.pipeline.show import show
from bot.pipeline.workspace import Workspace

log = logging.getLogger(__name__)

SHOW_LIMIT_S = 1800.0
"""So long nobody takes the machine of a new preview for a leftover."""
CI_TRAILER = "Swarm-Build-CI"


@dataclass(frozen=True, slots=True)
class Desk:
    """Every method answers where it was asked (`number`), once per delivery, and may be called again."""

    rooms: Rooms

    def extend(self, run: RunId, seconds: float, number: int, delivery: str) -> str:
        """Let the preview live for at least so long from now."""
        rooms = self.rooms
        until = rooms.now() + seconds
        already = True
        for row in rooms.fleet.machines(run):
            if row.vm is not None and row.keep_until is not None and row.purpose.startswith(PURPOSE):
                already = row.keep_until >= until
                until = max(until, row.keep_until)
                rooms.fleet.keep_vm(row.vm, until)
        rooms.jobs.end_preview_later(run, until - rooms.now(), delivery)
        found = rooms.runs.get(run)
        show_live(rooms, found, url=found.result["evidence"]["url"], until=until)
        view = ExtendedView(found.result["evidence"]["url"], words.moment(until), already)
        self._say(found, number, "extended", view, delivery)
        return f"preview of build {run} lives until {view.until}"

    def let_ci_run(self, run: RunId, seen: str, number: int, delivery: str) -> str:
        """Push an empty commit that the repository's workflows do not skip, if the branch stands where the person saw it."""
        found = self.rooms.runs.get(run)
        published = load(Published, found.result["published"])
        repository = self.rooms.github.repository(found.request.repo)
        seen = seen or published.commit_sha
        head = repository.branch_head(published.branch) or ""
        there = repository.commit_at(head) if head else None
        if there and f"{CI_TRAILER}: {delivery}" in there.message:
            view = CiView(head[:9], there.parents[0][:9], head[:9])
            published = self._looked_at(found, repository, replace(published, commit_sha=head))
        elif there is None or len(seen) < 7 or not head.startswith(seen.lower()):
            view = CiView("", seen[:9], head[:9] or "nothing")
        else:
            message = self._ci_message(found, delivery)
            sha = repository.commit((), parent_sha=head, base_tree=there.tree_sha, message=message)
            repository.ensure_branch(published.branch, sha, only_from=(head,))
            view = CiView(sha[:9], head[:9], sha[:9])
            published = self._looked_at(found, repository, replace(published, commit_sha=sha))
        if view.sha:
            self.rooms.runs.keep(run, published=dump(published), held_back=[])
        self._say(found, number, "ci", view, delivery)
        return f"workflows run on {view.sha}" if view.sha else f"refused: the branch stands at {view.head}"

    def _looked_at(self, run: Run, repository: Repository, published: Published) -> Published:
        """The verdict on the new head, where a rule may demand it, and the deployment that was held back until now."""
        if report := run.result.get("check"):
            page = self.rooms.status_page(run.id)
            check = repository.ensure_check(published.commit_sha, CHECK_NAME, run.id, details_url=page)
            repository.update_check(check, load(CheckReport, report))
            published = replace(published, check_id=check)
        alive = any(row.keep_until and row.vm for row in self.rooms.fleet.machines(run.id))
        if run.result.get("held_back") and alive:
            url = run.result["evidence"]["url"]
            deployment = self._deploy(run, repository, published.commit_sha, url)
            published = replace(published, deployment_id=deployment)
        return published

    @staticmethod
    def _ci_message(run: Run, delivery: str) -> str:
        return (
            f"Let the workflows run\n\nIssue #{run.request.issue}\n\n"
            f"{RUN_TRAILER}: {run.id}\n{CI_TRAILER}: {delivery}"
        )

    def show_again(self, order: str) -> None:
        """Start what stands on a build's branch on a clean machine; `order` is "run number delivery"."""
        run_id, number, delivery = order.split(" ")
        found = self.rooms.runs.get(RunId(run_id))
        published = load(Published, found.result["published"])
        repository = self.rooms.github.repository(found.request.repo)
        head = repository.branch_head(published.branch)
        if head is None:
            view = ShownView(published.branch, "", "", "the branch is gone", "")
        else:
            evidence = self._start(found, repository, head)
            view = self._made_known(found, repository, published, head, evidence)
        self._say(found, int(number), "shown", view, delivery)

    def _start(self, run: Run, repository: Repository, head: str) -> Evidence:
        brief, plan = load(Brief, run.result["brief"]), load(Plan, run.result["plan"])
        blank = Evidence(kind=brief.kind, ok=False)
        try:
            tree = repository.commit_at(head).tree_sha
            # Links, submodules and large files are not on the preview of a build, either.
            files = Workspace(lambda: repository, Base("", head, tree, private=True)).start().files
            machine = CleanMachine.of(self.rooms, run.id, self.rooms.now() + SHOW_LIMIT_S)
            return show(self.rooms, machine, plan, brief, files)
        except Transient:
            raise
        except BotError as error:
            return replace(blank, problem=str(error))

    def _made_known(
        self, run: Run, repository: Repository, published: Published, head: str, evidence: Evidence
    ) -> ShownView:
        rooms, plan = self.rooms, load(Plan, run.result["plan"])
        if not (evidence.ok and evidence.url and evidence.vm):
            CleanMachine.of(rooms, run.id).delete()
            problem = evidence.problem or "a result of this kind has no page; its check passed"
            return ShownView(head[:9], "", "", problem, words.last_lines(evidence.output, 50))
        until = rooms.now() + plan.preview_s
        rooms.fleet.keep_vm(VmId(evidence.vm), until)
        rooms.jobs.end_preview_later(run.id, plan.preview_s, evidence.vm)
        if run.result.get("held_back"):
            deployment = None
        else:
            deployment = self._deploy(run, repository, head, evidence.url)
        if published.deployment_id and published.deployment_id != deployment:
            repository.deactivate_deployment(published.deployment_id)
        shown = replace(published, deployment_id=deployment)
        rooms.runs.keep(run.id, evidence=dump(evidence), published=dump(shown))
        show_live(rooms, run, url=evidence.url, until=until)
        return ShownView(head[:9], evidence.url, words.moment(until), "", "")

    def _deploy(self, run: Run, repository: Repository, sha: str, url: str) -> int:
        page = self.rooms.status_page(run.id)
        return repository.show_preview(sha, run.id, issue=run.request.issue, url=url, log_url=page)

    def _say(self, run: Run, number: int, name: str, view: object, delivery: str) -> None:
        text = self.rooms.texts.render(f"github/{name}.md.j2", view)
        self.rooms.github.repository(run.request.repo).say(number, text, f"answer={delivery}")
