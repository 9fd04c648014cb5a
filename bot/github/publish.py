"""A finished build to a branch, a pull request and a deployment: once per run, however often it is tried."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from bot.core.models import Artifact, Published, RunId
from bot.core.notices import MovedView
from bot.core.tree import differing
from bot.github.client import Repository
from bot.github.values import Base, CheckReport, Commit

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
    remark: Callable[[MovedView], str]
    """Markdown for below the body, where other commits came in meanwhile."""
    draft: bool = False
    run_ci: bool = False
    evidence_url: str | None = None
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

    Whatever is on the branch, of earlier builds or of people, stays below the new commit. Where somebody changed the same
    paths meanwhile, nothing is lost either: the commit stays on what the agents started from, and a draft names the paths.
    If that was on the issue's branch, the draft comes from a branch of its own and leads there.

    Raises:
        BotError: see `bot.github.errors`.
    """
    placed = _commit(repository, publication)
    sha = placed.sha
    check = (
        repository.ensure_check(sha, CHECK_NAME, publication.run, details_url=publication.details_url)
        if publication.check
        else None
    )
    request = repository.ensure_pull_request(
        head=placed.branch,
        base=placed.into,
        title=publication.title,
        body=publication.body + (publication.remark(placed.remark) if placed.remark else ""),
        draft=publication.draft or placed.in_conflict,
    )
    deployment = (
        repository.show_preview(
            sha,
            publication.run,
            issue=publication.issue,
            url=publication.evidence_url,
            log_url=publication.details_url,
        )
        if publication.evidence_url
        else None
    )
    if check is not None and publication.check:
        repository.update_check(check, publication.check)
    return Published(
        branch=placed.branch,
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


@dataclass(frozen=True, slots=True)
class _Placed:
    """Where a run's commit is: on `branch`, to be merged into `into`; what a reader has to know of it."""

    sha: str
    branch: str
    into: str
    remark: MovedView | None
    in_conflict: bool


@dataclass(frozen=True, slots=True)
class _Moved:
    """Where the branch that the agents started from stands by now, and what both it and the build have changed."""

    branch: str
    now: Base | Commit
    both: Sequence[str]


def _commit(repository: Repository, publication: Publication) -> _Placed:
    """This run's commit, which its branch then holds."""
    start = publication.start or publication.base
    head = repository.branch_head(publication.branch)
    since = repository.contents.commits_between(start.sha, head) if head not in (None, start.sha) else ()
    ours = [each for each in since if run_of(each, repository.app_login()) == publication.run]
    before = since[: since.index(ours[0])] if ours else since
    moved = _moved(repository, publication, start, before)
    branch, into = publication.branch, publication.base.branch
    if ours:
        in_conflict = bool(moved.both) and ours[0].parents[0] == start.sha
        return _Placed(ours[0].sha, branch, into, _remark(start, moved, ours[0].parents[0]), in_conflict)
    if moved.both and since:
        branch, into = f"{branch}-{publication.run}", branch
        if (head := repository.branch_head(branch)) is not None:
            return _Placed(head, branch, into, _remark(start, moved, start.sha), in_conflict=True)
    parent = start if moved.both else moved.now
    sha = repository.commit(
        publication.files,
        deleted=publication.deleted,
        parent_sha=parent.sha,
        base_tree=parent.tree_sha,
        message=message_of(publication),
    )
    repository.ensure_branch(branch, sha, only_from=(head,) if head else ())
    return _Placed(sha, branch, into, _remark(start, moved, parent.sha), bool(moved.both))


def _moved(repository: Repository, publication: Publication, start: Base, since: Sequence[Commit]) -> _Moved:
    place, now = publication.branch, since[-1] if since else start
    if not since and start.branch == publication.base.branch:
        place, now = start.branch, repository.base()
    if now.sha == start.sha:
        return _Moved(place, start, ())
    contents = repository.contents
    theirs = differing(contents.listing(start.tree_sha), contents.listing(now.tree_sha))
    ours = {*publication.deleted, *(file.path for file in publication.files)}
    return _Moved(place, now, sorted(theirs & ours))


def _remark(start: Base, moved: _Moved, below: str) -> MovedView | None:
    """What to say if the commit does not lie on what the evidence is of, or cannot be merged as it is."""
    if below == start.sha and not moved.both:
        return None
    paths = moved.both if below == start.sha else ()
    return MovedView(
        branch=moved.branch,
        head=moved.now.sha[:9],
        start=start.sha[:9],
        below=below[:9],
        paths=tuple(paths[:_MOST_PATHS]),
        more=max(0, len(paths) - _MOST_PATHS),
    )
