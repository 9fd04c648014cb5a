"""A finished build to a branch, a pull request and a deployment: once per run, however often it is tried."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from bot.core.errors import Conflict
from bot.core.models import Artifact, Published, RunId
from bot.github.client import PREVIEW_ENVIRONMENT, Repository
from bot.github.values import Base, Commit, DeploymentState

RUN_TRAILER = "Swarm-Build-Run"
SKIP_CI = "[skip ci]"
"""Generated code must not run in the repository's workflows, with its secrets, before a person has looked."""

_WEB_FLOW = ("GitHub", "GitHub Enterprise")
"""Who commits what GitHub itself signs."""


@dataclass(frozen=True, slots=True)
class CoAuthor:
    """The person whom a commit is credited to, by login and numeric id."""

    login: str
    id: int


@dataclass(frozen=True, slots=True)
class Publication:
    """All that goes to GitHub at the end of a build.

    `body` is the pull request's Markdown, `commit_message` comes without trailers. Without `evidence_url` there is
    no deployment. `details_url` is the page of the build, if there is one.
    """

    run: RunId
    issue: int
    branch: str
    base: Base
    files: Sequence[Artifact]
    title: str
    body: str
    commit_message: str
    draft: bool = False
    evidence_url: str | None = None
    environment: str = PREVIEW_ENVIRONMENT
    co_author: CoAuthor | None = None
    details_url: str = ""


def publish(repository: Repository, publication: Publication) -> Published:
    """Put a build on GitHub. Killed anywhere and called again, it ends in one commit, one pull request, one deployment.

    An earlier build's commit on the branch stays below the new one; files that the new build does not have are gone.

    Raises:
        Conflict: somebody else's commit is on the branch; the message names it.
        BotError: see `bot.github.errors`.
    """
    sha = _commit(repository, publication)
    request = repository.ensure_pull_request(
        head=publication.branch,
        base=publication.base.branch,
        title=publication.title,
        body=publication.body,
        draft=publication.draft,
    )
    return Published(
        branch=publication.branch,
        commit_sha=sha,
        pull_request=request.number,
        pull_request_url=request.url,
        draft=request.draft,
        deployment_id=_deployment(repository, publication, sha),
    )


def message_of(publication: Publication) -> str:
    """The commit message: the caller's text, what keeps workflows away, and the trailers."""
    trailers = [f"{RUN_TRAILER}: {publication.run}"]
    if author := publication.co_author:
        email = f"{author.id}+{author.login}@users.noreply.github.com"
        trailers.append(f"Co-authored-by: {author.login} <{email}>")
    return "\n\n".join([publication.commit_message.strip(), SKIP_CI, "\n".join(trailers)])


def run_of(commit: Commit, app_login: str) -> RunId | None:
    """The build that made a commit, or None if it is not a commit of the App as the App made it.

    The trailer alone is not enough: somebody who amends our commit keeps it, but becomes the committer.
    """
    if commit.author != app_login or commit.committer not in (app_login, *_WEB_FLOW):
        return None
    trailers = commit.message.strip().rpartition("\n\n")[2]
    found = re.search(rf"^{RUN_TRAILER}: (\S+)$", trailers, re.MULTILINE)
    return RunId(found[1]) if found else None


def _commit(repository: Repository, publication: Publication) -> str:
    """The sha of this run's commit, at which the branch then stands."""
    parent = publication.base.sha
    head = repository.branch_head(publication.branch)
    if head is not None and head != parent:
        there = repository.commit_at(head)
        run = run_of(there, repository.app_login())
        if run == publication.run:
            return head
        if run is None:
            raise Conflict(
                f"The branch {publication.branch} ends in a commit that is not ours, {head[:9]} "
                f"“{there.subject}” by {there.author}: merge or delete the branch, then ask again"
            )
        parent = head
    sha = repository.commit(
        publication.files,
        parent_sha=parent,
        base_tree=publication.base.tree_sha,
        message=message_of(publication),
    )
    repository.ensure_branch(publication.branch, sha, only_from=(parent,))
    return sha


def _deployment(repository: Repository, publication: Publication, sha: str) -> int | None:
    if publication.evidence_url is None:
        return None
    deployment = repository.ensure_deployment(
        ref_sha=sha,
        environment=publication.environment,
        description=f"Preview for issue {publication.issue}",
        payload_run=publication.run,
    )
    repository.set_deployment(
        deployment,
        DeploymentState.SUCCESS,
        url=publication.evidence_url,
        log_url=publication.details_url,
        description="The preview answers.",
    )
    return deployment
