"""The end of previews: the machine goes, then the address on GitHub. How long one lives is in its machine's row."""

import logging
from dataclasses import dataclass

from bot.core.codec import load
from bot.core.errors import BotError
from bot.core.models import Evidence, Published, Repo, RunId
from bot.core.pull_views import StaleView
from bot.github.values import DeploymentState
from bot.pipeline.clean import PURPOSE, CleanMachine
from bot.pipeline.journal.fleet import VmRow
from bot.pipeline.journal.runs import Run
from bot.pipeline.live import show_live
from bot.pipeline.rooms import Rooms

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Previews:
    """Takes previews away."""

    rooms: Rooms

    def alive(self) -> list[Run]:
        """Builds whose preview has a machine, in the order of the machines' age."""
        return [self.rooms.runs.get(run) for run in dict.fromkeys(vm.run for vm in self._kept())]

    def end_expired(self) -> None:
        """Take away what has outlived its time, and what a stop reached too late to prevent."""
        for vm in self._kept():
            why = self.rooms.runs.cancellation(vm.run)
            if why and self.rooms.runs.get(vm.run).state.ended:
                self.end(vm.run, why)
            else:
                self.expire(vm.run)

    def expire(self, run: RunId) -> None:
        """Take a preview away, unless its life was prolonged meanwhile."""
        if any((vm.keep_until or 0) <= self.rooms.now() for vm in self._kept(run)):
            self.end(run, "its time was up")

    def outdate(self, repo: Repo, number: int, head_sha: str, login: str) -> None:
        """Say, at the deployment and once in the pull request, that the preview shows an older commit than `head_sha`."""
        for run in self.rooms.runs.of_repo(repo.full_name):
            published = run.fact("published", Published)
            if published is None or published.pull_request != number or published.commit_sha == head_sha:
                continue
            if not self._kept(run.id):
                continue
            evidence = load(Evidence, run.result["evidence"])
            view = StaleView(published.commit_sha[:9], head_sha[:9], login, evidence.url)
            repository = self.rooms.github.repository(repo)
            repository.say(number, self.rooms.texts.render("github/stale.md.j2", view), f"stale={run.id}")
            if published.deployment_id:
                repository.set_deployment(
                    published.deployment_id,
                    DeploymentState.SUCCESS,
                    url=evidence.url,
                    log_url=self.rooms.status_page(run.id),
                    description=f"Stale: shows {view.shown}; the branch has moved on to {view.head}.",
                )

    def end(self, run: RunId, reason: str) -> None:
        """The preview of one build. Doing it twice changes nothing."""
        row = self.rooms.runs.get(run)
        if not self._kept(run):
            return
        CleanMachine.of(self.rooms, run).delete()
        self.rooms.runs.record(run, "note", text=f"preview taken away: {reason}")
        show_live(self.rooms, row, gone=reason[:1].upper() + reason[1:])
        published = row.fact("published", Published)
        if published and published.deployment_id:
            try:
                self.rooms.github.repository(row.request.repo).deactivate_deployment(published.deployment_id)
            except BotError as error:  # the machine is gone, which is what costs; the address is only a label
                log.warning("deployment %s of build %s: %s", published.deployment_id, run, error)

    def _kept(self, run: RunId | None = None) -> list[VmRow]:
        return [
            vm
            for vm in self.rooms.fleet.machines(run)
            if vm.keep_until is not None and vm.purpose.startswith(PURPOSE)
        ]
