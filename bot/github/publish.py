"""A finished build to a branch, a pull request and a deployment: once per run, however often it is tried."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from bot.core.errors import Conflict
from bot.core.models import Artifact, Published, RunId
from bot.core.tree import differing
from bot.github.client import Repository
from bot.github.shown import PREVIEW_ENVIRONMENT
from bot.github.values import Base, CheckReport, Commit, DeploymentState

RUN_TRAILER = "Swarm-Build-Run"
SKIP_CI = "[skip ci]"
"""Generated code must not run in the repository's workflows, with its secrets, before a person has looked."""

CHECK_NAME = "Swarm Build"
_MOST_PATHS = 10

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

    `files` and `deleted` are the difference to `start`, the commit that the agents started from: the head of `base` if
    it is None, or that of our branch, see `start_of`. `check` is how the check run on the commit ends. `body` is the pull request's Markdown, `commit_message` comes without trailers. Without `evidence_url` there is
    no deployment. `details_url` is the page of the build, if there is one. With `run_ci` the repository's workflows run on the commit.
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
    run_ci: bool = False
    evidence_url: str | None = None
    environment: str = PREVIEW_ENVIRONMENT
    co_author: CoAuthor | None = None
    details_url: str = ""
    start: Base | None = None
    deleted: Sequence[str] = ()
    check: CheckReport | None = None


def start_of(repository: Repository, branch: str, base: Base) -> Base:
    """What a build starts from: what is on the issue's branch and not in the base yet, whoever committed it; else the base."""
    head = repository.branch_head(branch)
    if head is None or not repository.contents.commits_between(base.sha, head):
        return base
    return replace(base, branch=branch, sha=head, tree_sha=repository.commit_at(head).tree_sha)


def publish(repository: Repository, publication: Publication) -> Published:
    """Put a build on GitHub. Killed anywhere and called again, it ends in one commit, one pull request, one deployment.

    Whatever is on the branch, of earlier builds or of people, stays below the new commit.

    Raises:
        Conflict: what the build changes was changed meanwhile by somebody else; the message names the paths.
        BotError: see `bot.github.errors`.
    """
    sha = _commit(repository, publication)
    check = (
        repository.ensure_check(sha, CHECK_NAME, publication.run, details_url=publication.details_url)
        if publication.check
        else None
    )
    request = repository.ensure_pull_request(
        head=publication.branch,
        base=publication.base.branch,
        title=publication.title,
        body=publication.body + _moved_on(repository, publication, sha),
        draft=publication.draft,
    )
    deployment = _deployment(repository, publication, sha)
    if check is not None and publication.check:
        repository.update_check(check, publication.check)
    return Published(
        branch=publication.branch,
        commit_sha=sha,
        pull_request=request.number,
        pull_request_url=request.url,
        draft=request.draft,
        deployment_id=deployment,
        check_id=check,
    )


def message_of(publication: Publication) -> str:
    """The commit message: the caller's text, what keeps workflows away, and the trailers."""
    trailers = [f"{RUN_TRAILER}: {publication.run}"]
    if author := publication.co_author:
        email = f"{author.id}+{author.login}@users.noreply.github.com"
        trailers.append(f"Co-authored-by: {author.login} <{email}>")
    message = publication.commit_message.strip()
    return "\n\n".join([message, *(() if publication.run_ci else (SKIP_CI,)), "\n".join(trailers)])


def run_of(commit: Commit, app_login: str) -> RunId | None:
    """The build that made a commit, or None if it is not a commit of the App as the App made it.

    The trailer alone is not enough: somebody who amends our commit keeps it, but becomes the committer.
    """
    if commit.author != app_login or commit.committer not in (app_login, *_WEB_FLOW):
        return None
    trailers = commit.message.strip().rpartition("\n\n")[2]
    found = re.search(rf"^{RUN_TRAILER}: (\S+)$", trailers, re.MULTILINE)
    return RunId(found[1]) if found else None


def _moved_on(repository: Repository, publication: Publication, sha: str) -> str:
    """A remark if the commit does not lie on what the evidence is of; read from the commit, so a second try says it, too."""
    start = publication.start or publication.base
    below = repository.commit_at(sha).parents[0]
    if below == start.sha:
        return ""
    return (
        f"\n\n> [!NOTE]\n> While the swarm worked, other commits came in: this one lies on top of {below[:9]}, and the evidence "
        f"is of {start.sha[:9]} with the same changes.\n"
    )


def _commit(repository: Repository, publication: Publication) -> str:
    """The sha of this run's commit, which the branch then holds."""
    start = publication.start or publication.base
    head = repository.branch_head(publication.branch)
    since = repository.contents.commits_between(start.sha, head) if head not in (None, start.sha) else ()
    for there in since:
        if run_of(there, repository.app_login()) == publication.run:
            return there.sha
    parent = _parent(repository, publication, start, since)
    sha = repository.commit(
        publication.files,
        deleted=publication.deleted,
        parent_sha=parent.sha,
        base_tree=parent.tree_sha,
        message=message_of(publication),
    )
    repository.ensure_branch(publication.branch, sha, only_from=(head,) if head else ())
    return sha


def _parent(
    repository: Repository, publication: Publication, start: Base, since: Sequence[Commit]
) -> Base | Commit:
    """What the new commit goes on top of: where the branch, or without one the base, stands by now.

    Raises:
        Conflict: a path that the build changes was changed there too.
    """
    place, now = publication.branch, since[-1] if since else start
    if not since and start.branch == publication.base.branch:
        place, now = start.branch, repository.base()
    if now.sha == start.sha:
        return start
    contents = repository.contents
    moved = differing(contents.listing(start.tree_sha), contents.listing(now.tree_sha))
    both = sorted(moved & {*publication.deleted, *(file.path for file in publication.files)})
    if both:
        more = f" and {len(both) - _MOST_PATHS} more" if len(both) > _MOST_PATHS else ""
        raise Conflict(
            f"While the swarm worked, {place} moved on to {now.sha[:9]}, which changed what this build changes, too: "
            f"{', '.join(both[:_MOST_PATHS])}{more}. A rebuild starts from there"
        )
    return now


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
