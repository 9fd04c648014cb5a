"""The end of previews: pull request closed, or time up."""

import logging
from dataclasses import dataclass

from bot.core.codec import load
from bot.core.errors import BotError
from bot.core.models import Published, Repo, RunId
from bot.pipeline.clean import CleanMachine
from bot.pipeline.rooms import Rooms

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Previews:
    """Takes previews away: the machine, then the deployment's address on GitHub."""

    rooms: Rooms

    def end_of_pull_request(self, repo: Repo, number: int, reason: str) -> None:
        """All previews of a pull request."""
        for run in self.rooms.runs.of_repo(repo.full_name):
            if (run.result.get("published") or {}).get("pull_request") == number:
                self.end(run.id, reason)

    def expire(self, run: RunId) -> None:
        """Take a preview away, unless its life was prolonged meanwhile."""
        if any(
            (vm.keep_until or 0) <= self.rooms.now() for vm in self.rooms.fleet.machines(run) if vm.keep_until
        ):
            self.end(run, "its time was up")

    def end(self, run: RunId, reason: str) -> None:
        """The preview of one build. Doing it twice changes nothing."""
        row = self.rooms.runs.get(run)
        kept = [vm for vm in self.rooms.fleet.machines(run) if vm.keep_until is not None]
        if not kept:
            return
        CleanMachine.of(self.rooms, run).delete()
        self.rooms.runs.record(run, "note", text=f"preview taken away: {reason}")
        published = load(Published, row.result["published"]) if "published" in row.result else None
        if published and published.deployment_id:
            try:
                self.rooms.github.repository(row.request.repo).deactivate_deployment(published.deployment_id)
            except BotError as error:  # the machine is gone, which is what costs; the address is only a label
                log.warning("deployment %s of build %s: %s", published.deployment_id, run, error)
