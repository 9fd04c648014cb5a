"""What follows when a branch moves: push events, pull requests that follow or close, check suites, merges.

Callers hold the store's lock.
"""

import re
from dataclasses import replace
from typing import Any

from bot.local.github import conversation
from bot.local.github.clock import from_git_date, git_date
from bot.local.github.gitstore import ZERO, Commit, GitRepository, Person
from bot.local.github.permissions import allows
from bot.local.github.records import App, CheckSuite, Issue, Pull, Repository
from bot.local.github.refusals import Refusal, empty_repository, unprocessable
from bot.local.github.shapes import delivery
from bot.local.github.world import World

_CLOSES = re.compile(r"\b(?:close[sd]?|fix(?:e[sd])?|resolve[sd]?):?\s+#(\d+)", re.IGNORECASE)
_GITHUB = "noreply@github.com"


def identity_of(world: World, login: str) -> Person:
    """The author that GitHub writes for somebody who gave none."""
    account = world.account(login)
    number = account.id if account else 0
    return Person(login, f"{number}+{login}@users.noreply.github.com", git_date(world.now()))


def commit(
    world: World, repo: Repository, tree: str, parents: list[str], message: str, login: str, app: App | None
) -> str:
    """A commit without given author: an App's is signed by GitHub and shown as Verified, a person's is not."""
    author = identity_of(world, login)
    committer = Person("GitHub", _GITHUB, author.date) if app else author
    return world.git(repo).write_commit(tree, parents, message, author, committer, signed=app is not None)


def create(world: World, repo: Repository, name: str, sha: str, sender: str) -> None:
    """Make a ref.

    Raises:
        Refusal: 422 as GitHub words it.
    """
    git = world.git(repo)
    if not re.fullmatch(r"refs/[^/]+/.+", name):
        raise unprocessable("Reference name must start with 'refs/' and contain at least two slashes.")
    if name in git.refs():
        raise unprocessable("Reference already exists")
    kind = git.types([sha]).get(sha)
    if kind is None:
        raise unprocessable("Object does not exist")
    if name.startswith("refs/heads/") and kind[0] != "commit":
        raise unprocessable("Reference cannot be updated")
    git.set_ref(name, sha, None)
    moved(world, repo, name, None, sha, sender)


def update(world: World, repo: Repository, name: str, sha: str, sender: str, *, force: bool) -> None:
    """Move a ref; without `force` forwards only.

    Raises:
        Refusal: 422 as GitHub words it.
    """
    git = world.git(repo)
    old = git.refs().get(name)
    if old is None:
        raise unprocessable("Reference does not exist")
    if git.types([sha]).get(sha, ("", 0))[0] != "commit":
        raise unprocessable("Object does not exist")
    if not force and not git.is_ancestor(old, sha):
        raise unprocessable("Update is not a fast forward")
    if old != sha:
        git.set_ref(name, sha, old)
        moved(world, repo, name, old, sha, sender)


def delete(world: World, repo: Repository, name: str, sender: str) -> None:
    """Remove a ref; open pull requests from it are closed.

    Raises:
        Refusal: 422 if it is not there or is the default branch.
    """
    git = world.git(repo)
    old = git.refs().get(name)
    if old is None:
        raise unprocessable("Reference does not exist")
    if name == f"refs/heads/{repo.default_branch}":
        raise unprocessable("Cannot delete the default branch")
    git.delete_ref(name)
    moved(world, repo, name, old, None, sender)


def moved(world: World, repo: Repository, name: str, old: str | None, new: str | None, sender: str) -> None:
    """Tell everybody that a ref moved (None: it was not there, or is gone)."""
    repo = world.store.repositories.put(replace(repo, pushed_at=world.now()))
    world.emit("push", None, repo, _push(world, repo, name, old, new, sender), sender)
    if not name.startswith("refs/heads/"):
        return
    branch = name.removeprefix("refs/heads/")
    if new is not None:
        _request_suites(world, repo, branch, old, new, sender)
    for pull in world.store.pulls.where(repo=repo.id, head=branch):
        _follow(world, repo, pull, old, new, sender)
    if new is not None:
        for pull in world.store.pulls.where(repo=repo.id, base=branch):
            _merged_elsewhere(world, repo, pull, new, sender)


def _follow(
    world: World, repo: Repository, pull: Pull, old: str | None, new: str | None, sender: str
) -> None:
    issue = world.issue(repo, pull.number)
    if issue is None or issue.state != "open":
        return
    if new is None:
        conversation.close(world, repo, issue, sender)
        return
    world.store.pulls.put(replace(pull, head_sha=new))
    issue = world.touch(issue)
    conversation.tell(world, repo, issue, "synchronize", sender, before=old or ZERO, after=new)


def _merged_elsewhere(world: World, repo: Repository, pull: Pull, new: str, sender: str) -> None:
    issue = world.issue(repo, pull.number)
    if issue and issue.state == "open" and world.git(repo).is_ancestor(pull.head_sha, new):
        _mark_merged(world, repo, pull, issue, new, sender)


def suite(world: World, repo: Repository, app: App, sha: str, branch: str | None = None) -> CheckSuite:
    """The check suite of an App on a commit; made if there is none."""
    found = world.store.check_suites.one(repo=repo.id, app_id=app.id, head_sha=sha)
    if found:
        return found
    if branch is None:
        heads = world.git(repo).refs("refs/heads/")
        branch = next((n.removeprefix("refs/heads/") for n, at in heads.items() if at == sha), None)
    new = CheckSuite(world.store.next_id(), repo.id, app.id, sha, branch, None, world.now())
    return world.store.check_suites.put(new)


def _request_suites(
    world: World, repo: Repository, branch: str, old: str | None, new: str, sender: str
) -> None:
    """An App with checks: write gets a check suite for every push."""
    for installation in world.installations_on(repo):
        app = world.store.apps.get(installation.app_id)
        if app and allows(installation.permissions, "checks:write"):
            made = replace(suite(world, repo, app, new, branch), before=old or ZERO)
            world.store.check_suites.put(made)
            payload = {"check_suite": delivery.check_suite(world, repo, made), "_app": app.id}
            world.emit("check_suite", "requested", repo, payload, sender)


def _push(
    world: World, repo: Repository, name: str, old: str | None, new: str | None, sender: str
) -> dict[str, Any]:
    git = world.git(repo)
    shas = [] if new is None else git.log(new, exclude=old, limit=20)[::-1]
    is_commit = new is not None and git.types([new]).get(new, ("", 0))[0] == "commit"
    commits = [_pushed(world, repo, git, git.read_commit(sha)) for sha in shas] if is_commit else []
    forced = old is not None and new is not None and not git.is_ancestor(old, new)
    email = identity_of(world, sender).email
    return {
        "ref": name,
        "before": old or ZERO,
        "after": new or ZERO,
        "base_ref": None,
        "created": old is None,
        "deleted": new is None,
        "forced": forced,
        "compare": f"{world.web_url}/{repo.full_name}/compare/{(old or ZERO)[:12]}...{(new or ZERO)[:12]}",
        "commits": commits,
        "head_commit": commits[-1] if commits else None,
        "pusher": {"name": sender, "email": email},
    }


def _pushed(world: World, repo: Repository, git: GitRepository, found: Commit) -> dict[str, Any]:
    files = git.diff(found.parents[0] if found.parents else None, found.sha)
    kinds = {"added": ("added", "renamed", "copied"), "removed": ("removed",), "modified": ("modified",)}
    return {
        "id": found.sha,
        "tree_id": found.tree,
        "distinct": True,
        "message": found.message,
        "timestamp": from_git_date(found.committer.date),
        "url": f"{world.web_url}/{repo.full_name}/commit/{found.sha}",
        "author": {"name": found.author.name, "email": found.author.email},
        "committer": {"name": found.committer.name, "email": found.committer.email},
        **{key: [file.path for file in files if file.status in states] for key, states in kinds.items()},
    }


def open_pull(
    world: World,
    repo: Repository,
    *,
    title: str,
    body: str | None,
    head: str,
    base: str,
    draft: bool,
    author: str,
    via_app: int | None,
) -> tuple[Pull, Issue]:
    """Open a pull request between two branches.

    Raises:
        Refusal: 422 if a branch is missing, nothing differs, or there is one already.
    """
    git = world.git(repo)
    if git.is_empty():
        raise empty_repository()
    head = head.removeprefix(f"{repo.owner}:")
    head_sha, base_sha = (git.resolve(f"refs/heads/{name}") for name in (head, base))
    conversation.check_text("PullRequest", "title", title, required=True, longest=conversation.LONGEST_TITLE)
    conversation.check_text("PullRequest", "body", body, required=False, longest=conversation.LONGEST_BODY)
    if head_sha is None or base_sha is None:
        field = "base" if base_sha is None else "head"
        raise Refusal(
            422, "Validation Failed", errors=[{"resource": "PullRequest", "field": field, "code": "invalid"}]
        )
    for other in world.store.pulls.where(repo=repo.id, head=head, base=base):
        issue = world.issue(repo, other.number)
        if issue and issue.state == "open":
            raise _refused_pull(f"A pull request already exists for {repo.owner}:{head}.")
    if git.count(head_sha, base_sha) == 0:
        raise _refused_pull(f"No commits between {base} and {head}")
    now = world.now()
    number = conversation.next_number(world, repo)
    issue = world.store.issues.put(
        Issue(
            world.store.next_id(), repo.id, number, title, body, author, now, now, via_app=via_app, pull=True
        )
    )
    pull = world.store.pulls.put(
        Pull(world.store.next_id(), repo.id, number, head, base, head_sha, base_sha, draft)
    )
    conversation.tell(world, repo, issue, "opened", author)
    return pull, issue


def _refused_pull(message: str) -> Refusal:
    error = {"resource": "PullRequest", "code": "custom", "message": message}
    return Refusal(422, "Validation Failed", errors=[error])


def merge(world: World, repo: Repository, pull: Pull, issue: Issue, sender: str, app: App | None) -> str:
    """Merge a pull request with a merge commit; issues that it names as closed are closed. Gives the commit.

    Raises:
        Refusal: 405 if it is closed, a draft, or conflicts.
    """
    git = world.git(repo)
    base = git.resolve(f"refs/heads/{pull.base}")
    tree = git.merge_tree(base, pull.head_sha) if base and issue.state == "open" and not pull.draft else None
    if base is None or tree is None:
        raise Refusal(405, "Pull Request is not mergeable")
    message = f"Merge pull request #{pull.number} from {repo.owner}/{pull.head}\n\n{issue.title}"
    sha = commit(world, repo, tree, [base, pull.head_sha], message, sender, app)
    git.set_ref(f"refs/heads/{pull.base}", sha, base)
    _mark_merged(world, repo, pull, issue, sha, sender)
    moved(world, repo, f"refs/heads/{pull.base}", base, sha, sender)
    return sha


def _mark_merged(world: World, repo: Repository, pull: Pull, issue: Issue, sha: str, sender: str) -> None:
    world.store.pulls.put(replace(pull, merged_at=world.now(), merged_by=sender, merge_commit_sha=sha))
    conversation.close(world, repo, issue, sender)
    if pull.base != repo.default_branch:
        return  # closing words count on the default branch only
    for number in _CLOSES.findall(issue.body or ""):
        closed = world.issue(repo, int(number))
        if closed and not closed.pull:
            conversation.close(world, repo, closed, sender)
