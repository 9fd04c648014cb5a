"""Beginnings and ends: the App arrives in a repository; issues, pull requests, repositories and installations end."""

import logging
from collections.abc import Callable
from dataclasses import dataclass

from bot.core.errors import BotError, Transient
from bot.core.installations import (
    InstallationEvent,
    InstallationGone,
    RepositoriesAdded,
    RepositoriesGone,
    RepositoryRenamed,
)
from bot.core.models import Repo
from bot.core.policy import BRANCH_PREFIX
from bot.pipeline.journal.runs import Run
from bot.pipeline.previews import Previews
from bot.pipeline.rooms import Rooms

log = logging.getLogger(__name__)

LABEL_COLOR = "f5b301"
LABEL_SAYS = "A swarm of agents builds this issue"


@dataclass(frozen=True, slots=True)
class Lifecycle:
    """Every method says what was done, for the log, and changes nothing when it is done twice."""

    rooms: Rooms
    previews: Previews
    trigger_label: str

    def end_issue(self, repo: Repo, issue: int, by: str, reason: str) -> str:
        """Builds of an issue end, and its previews go."""
        return self._end(lambda run: _of(run, repo) and run.request.issue == issue, by, reason)

    def end_pull_request(
        self, repo: Repo, number: int, by: str, reason: str, *, delete_branch: str = ""
    ) -> str:
        """The preview of a pull request goes, with the builds that would have renewed it; perhaps also its branch."""
        issues = {
            run.request.issue
            for run in self.rooms.runs.of_repo(repo.full_name)
            if (run.result.get("published") or {}).get("pull_request") == number
        }
        done = self._end(lambda run: _of(run, repo) and run.request.issue in issues, by, reason)
        if issues and delete_branch.startswith(BRANCH_PREFIX):
            self.rooms.github.repository(repo).delete_branch(delete_branch)
            done += f"; branch {delete_branch} deleted"
        return done

    def moved(self, event: InstallationEvent) -> str:
        """Repositories come and go. Where we may no longer write, nothing is written any more."""
        match event:
            case RepositoriesAdded(repos=repos):
                return "; ".join(map(self._welcome, repos)) or "no repository"
            case RepositoriesGone(repos=repos, reason=reason):
                ids = {repo.id for repo in repos}
                return self._end(lambda run: run.request.repo.id in ids, "", reason)
            case RepositoryRenamed(repo=repo):
                return f"{self.rooms.runs.rename(repo)} builds are of {repo.full_name} now"
            case InstallationGone(installation_id=number, reason=reason):
                return self._end(lambda run: run.request.repo.installation_id == number, "", reason)

    def _welcome(self, repo: Repo) -> str:
        try:
            self.rooms.github.repository(repo).ensure_label(self.trigger_label, LABEL_COLOR, LABEL_SAYS)
        except Transient:
            raise
        except (
            BotError
        ) as error:  # one repository that refuses, an archived one say, does not spoil the others
            log.warning("label in %s: %s", repo.full_name, error)
            return f"{repo.full_name}: no label: {error}"
        return f"{repo.full_name}: the label {self.trigger_label} is there"

    def _end(self, concerned: Callable[[Run], bool], by: str, reason: str) -> str:
        cancelled = [
            run.id
            for run in self.rooms.runs.active()
            if concerned(run) and self.rooms.runs.cancel(run.id, by, reason)
        ]
        ended = [run.id for run in self.previews.alive() if concerned(run)]
        for run in ended:
            self.previews.end(run, reason)
        return f"{reason}: {len(cancelled)} builds asked to stop, {len(ended)} previews taken away"


def _of(run: Run, repo: Repo) -> bool:
    return run.request.repo.id == repo.id
