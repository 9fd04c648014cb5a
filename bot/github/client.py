"""One repository as the product uses it: issues and comments, branches and commits, pull requests, deployments, checks.

Whatever creates is safe to repeat: it looks for what an earlier try may have left and returns that.
"""

import logging
import re
import time
from collections.abc import Callable, Collection, Sequence
from urllib.parse import quote

from github import GithubException
from github.PullRequest import PullRequest as GhPullRequest
from github.Repository import Repository as GhRepository

from bot.core.errors import BotError, Conflict, NotFound, Transient, UserError
from bot.core.models import Artifact, Repo
from bot.core.policy import Permission, permission_of
from bot.github.attachments import Attachments
from bot.github.bodies import cut, marked, tag
from bot.github.commits import CommitWriter
from bot.github.contents import Contents
from bot.github.door import Door, json_call
from bot.github.errors import Access
from bot.github.reading import Reading
from bot.github.shown import Shown
from bot.github.values import (
    Base,
    Commit,
    Issue,
    PullRequest,
    commit_of,
    issue_of,
)

log = logging.getLogger(__name__)

_NO_COMMIT = (
    "{repo} has no commit yet, so there is nothing that a pull request could be opened against: "
    "create a first file on its page (a README will do), then ask again"
)


_KEEP_TRIES = 5


class Repository(Shown):
    """A repository through an installation token. Calls wait for each other; take one object per job.

    Every method raises `Forbidden` (naming the permission that the App lacks), `NotFound`, `Conflict`, `Transient`
    or `Permanent`, as `bot.github.errors` sorts GitHub's answers.
    """

    def __init__(
        self,
        repo: Repo,
        door: Door,
        app_login: Callable[[], str],
        pause: Callable[[float], object] = time.sleep,
    ) -> None:
        super().__init__(repo, door)
        self._app_login = app_login
        self._pause = pause

    @property
    def requests(self) -> int:
        """HTTP requests that this object has sent."""
        return self._door.requests

    def close(self) -> None:
        """Close the connection; the next call opens another."""
        self._door.close()

    def app_login(self) -> str:
        """The App's own login, "{slug}[bot]"."""
        return self._app_login()

    @property
    def reading(self) -> Reading:
        """What people wrote into it."""
        return Reading(self._door, self._path)

    @property
    def attachments(self) -> Attachments:
        """Images that people attached to its issues."""
        return Attachments(self._door, self._path)

    # Issues and people ---------------------------------------------------------------------------------

    def issue(self, number: int) -> Issue:
        """An issue as it stands now."""
        return self._door.again(
            f"reading issue {number}", Access.ISSUES, lambda repo: issue_of(repo.get_issue(number))
        )

    def permission(self, login: str) -> Permission:
        """What a person may do here. Somebody whom GitHub does not know here may nothing; any other failure raises."""
        path = f"{self._path}/collaborators/{quote(login, safe='')}/permission"
        try:
            answer = self._door.again(
                f"reading what {login} may do", Access.METADATA, lambda repo: json_call(repo, "GET", path)
            )
        except NotFound:
            return Permission.NONE
        return permission_of(str(answer.get("permission")), str(answer.get("role_name")))

    def react(self, issue: int, content: str) -> None:
        """Put a reaction on an issue; one that is there already stays."""
        self._door.again(
            "reacting to the issue",
            Access.ISSUES,
            lambda repo: repo.get_issue(issue).create_reaction(content),
        )

    def react_to_comment(self, comment_id: int, content: str) -> None:
        """Put a reaction on a comment; one that is there already stays."""
        path = f"{self._path}/issues/comments/{comment_id}/reactions"
        self._door.again(
            "reacting to the comment",
            Access.ISSUES,
            lambda repo: json_call(repo, "POST", path, {"content": content}),
        )

    def say(self, issue: int, body: str, marker: str) -> int:
        """Write a comment once per marker; returns the id of the one that stands there.

        Args:
            issue: number of an issue or pull request.
            body: Markdown; cut at `MAX_BODY_CHARS`. An earlier comment with this marker is left as it is.
            marker: kept in the comment as `<!-- swarm:{marker} -->`.
        """
        text, hidden = marked(body, marker), tag(marker)
        login = self._app_login()

        def look(repo: GhRepository) -> int | None:
            comments = repo.get_issue(issue).get_comments()
            return next(
                (it.id for it in comments if it.user and it.user.login == login and hidden in it.body), None
            )

        def make(repo: GhRepository) -> int:
            return repo.get_issue(issue).create_comment(text).id

        return self._door.ensure("writing a comment", Access.ISSUES, look, make)

    def edit_comment(self, comment_id: int, body: str, marker: str | None = None) -> None:
        """Replace the text of a comment of ours. Without its marker `say` does not find it again.

        Raises:
            NotFound: somebody deleted it.
        """
        text = marked(body, marker) if marker else cut(body)
        path = f"{self._path}/issues/comments/{comment_id}"
        self._door.again(
            "editing a comment", Access.ISSUES, lambda repo: json_call(repo, "PATCH", path, {"body": text})
        )

    def ensure_label(self, name: str, color: str, description: str) -> None:
        """A label of this name exists in the repository; one that people have made stays as it is."""
        path = f"{self._path}/labels/{quote(name, safe='')}"

        def look(repo: GhRepository) -> str | None:
            try:
                return str(json_call(repo, "GET", path)["name"])
            except GithubException as error:
                if _absent(error):
                    return None
                raise

        def make(repo: GhRepository) -> str:
            return repo.create_label(name, color, description).name

        self._door.ensure(f"creating the label {name}", Access.ISSUES, look, make)

    # Branches and commits ------------------------------------------------------------------------------

    def base(self) -> Base:
        """The head of the default branch.

        Raises:
            UserError: the repository has no commit yet; the message says how to make one.
        """

        def read(repo: GhRepository) -> Base:
            about = json_call(repo, "GET", self._path)  # PyGithub would answer from memory the second time
            try:
                branch = repo.get_branch(about["default_branch"])
            except GithubException as error:
                if _absent(error):
                    raise UserError(_NO_COMMIT.format(repo=self.repo.full_name)) from error
                raise
            return Base(branch.name, branch.commit.sha, branch.commit.commit.tree.sha, about["private"])

        return self._door.again("reading the default branch", Access.CONTENTS, read)

    def branch_head(self, name: str) -> str | None:
        """The commit at which a branch stands, or None if there is no such branch."""
        return self._door.again(f"reading the branch {name}", Access.CONTENTS, lambda repo: _head(repo, name))

    def commit_at(self, sha: str) -> Commit:
        """A commit by its sha."""
        return self._door.again(
            f"reading the commit {sha[:9]}", Access.CONTENTS, lambda repo: commit_of(repo.get_git_commit(sha))
        )

    @property
    def contents(self) -> Contents:
        """What is in the repository."""
        return Contents(self._door, self._path)

    def commit(
        self,
        files: Sequence[Artifact],
        *,
        deleted: Sequence[str] = (),
        parent_sha: str,
        base_tree: str,
        message: str,
    ) -> str:
        """Make a commit that no branch points to yet: `files` laid over `base_tree`, on top of `parent_sha`.

        Args:
            files: new and changed ones.
            deleted: paths that `base_tree` has and the commit does not.
            parent_sha: the commit below.
            base_tree: sha of the tree to start from.
            message: whole, trailers included.

        Returns:
            Its sha.

        Raises:
            Conflict: GitHub refuses a file; the message names it.
        """
        write = CommitWriter(self._door, self._path, self._pause).write
        return write(files, deleted=deleted, parent_sha=parent_sha, base_tree=base_tree, message=message)

    def ensure_branch(self, name: str, sha: str, *, only_from: Collection[str] = ()) -> None:
        """Let a branch stand at a commit: made if missing, moved forward if it stands at one of `only_from`.

        It is never forced: GitHub itself refuses a move that would drop somebody's commit.

        Raises:
            Conflict: the branch stands at a commit that is none of these.
        """

        def look(repo: GhRepository) -> bool | None:
            head = _head(repo, name)
            if head not in (None, sha, *only_from):
                raise Conflict(f"The branch {name} stands at {str(head)[:9]}, which is not a commit of ours.")
            return True if head == sha else None

        def make(repo: GhRepository) -> bool:
            if _head(repo, name) is None:
                repo.create_git_ref(f"refs/heads/{name}", sha)
            else:
                body = {"sha": sha, "force": False}
                json_call(repo, "PATCH", f"{self._path}/git/refs/heads/{quote(name)}", body)
            return True

        self._door.ensure(f"setting the branch {name}", Access.CONTENTS, look, make)

    def keep(self, branch: str, file: Artifact, message: str) -> str:
        """Put a file on a branch that has nothing in common with the code; made if missing, never forced.

        Returns:
            The sha of a commit that has the file.

        Raises:
            Transient: others were quicker several times in a row.
        """
        for _ in range(_KEEP_TRIES):
            head = self.branch_head(branch)
            tree = self.commit_at(head).tree_sha if head else ""
            sha = self.commit([file], parent_sha=head or "", base_tree=tree, message=message)
            try:
                self.ensure_branch(branch, sha, only_from=(head,) if head else ())
            except Conflict:
                continue
            return sha
        raise Transient(f"the branch {branch} moves faster than a file can be put on it")

    def delete_branch(self, name: str) -> None:
        """Delete a branch; one that is gone already is fine."""
        path = f"{self._path}/git/refs/heads/{quote(name)}"
        try:
            self._door.again(
                f"deleting the branch {name}", Access.CONTENTS, lambda repo: json_call(repo, "DELETE", path)
            )
        except (NotFound, Conflict):  # 404, or 422 "Reference does not exist"
            if self.branch_head(name) is not None:
                raise

    # Pull requests -------------------------------------------------------------------------------------

    def ensure_pull_request(
        self, *, head: str, base: str, title: str, body: str, draft: bool = False
    ) -> PullRequest:
        """The open pull request from branch `head`, with this title and body; opened if there is none.

        Where the plan has no drafts, an ordinary one is opened. An open one becomes a draft, or ready for review, as
        far as GitHub lets us; that it does not ends nothing.

        Raises:
            Conflict: there is nothing between base and head, or the base is gone.
        """
        text = cut(body)

        def look(repo: GhRepository) -> GhPullRequest | None:
            return next(iter(repo.get_pulls(state="open", head=f"{self.repo.owner}:{head}")), None)

        def make(repo: GhRepository, *, draft: bool = draft) -> GhPullRequest:
            return repo.create_pull(base=base, head=head, title=title, body=text, draft=draft)

        def turn(found: GhPullRequest) -> None:
            (found.convert_to_draft if draft else found.mark_ready_for_review)()

        doing = "opening the pull request"
        try:
            found = self._door.ensure(doing, Access.PULL_REQUESTS, look, make)
        except Conflict as error:
            if not (draft and "draft" in str(error).lower()):
                raise
            found = self._door.ensure(doing, Access.PULL_REQUESTS, look, lambda repo: make(repo, draft=False))
            draft = False
        if (found.title, found.body) != (title, text):
            self._door.again(
                "updating the pull request",
                Access.PULL_REQUESTS,
                lambda _: found.edit(title=title, body=text),
            )
        if found.draft != draft:
            try:
                self._door.again("changing the draft state", Access.PULL_REQUESTS, lambda _: turn(found))
            except BotError as error:
                log.warning("pull request %s keeps its draft state: %s", found.number, error)
        return PullRequest(found.number, found.html_url, found.draft, found.head.sha)

    def change_pull_request(self, number: int, change: Callable[[str], str]) -> bool:
        """Change the text of a pull request as it stands now, whoever edited it; whether there was something to change."""

        def read(repo: GhRepository) -> GhPullRequest:
            return repo.get_pull(number)

        doing = f"editing pull request {number}"
        found = self._door.again(doing, Access.PULL_REQUESTS, read)
        before = (found.body or "").replace("\r\n", "\n")
        after = cut(change(before))
        if after == before:
            return False
        self._door.again(doing, Access.PULL_REQUESTS, lambda _: found.edit(body=after))
        return True

    def fill_in(self, number: int, marks: tuple[str, str], text: str) -> bool:
        """Put a text between two hidden marks in a pull request's, as far as they still stand there; whether that changed it."""
        begin, end = marks
        between = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
        return self.change_pull_request(
            number, lambda body: between.sub(lambda _: f"{begin}\n{text}\n{end}", body, count=1)
        )


def _head(repo: GhRepository, name: str) -> str | None:
    try:
        return repo.get_git_ref(f"heads/{name}").object.sha
    except GithubException as error:
        if _absent(error):
            return None
        raise


def _absent(error: GithubException) -> bool:
    """Whether a branch is not there: 404, and 409 in a repository without any commit."""
    return error.status in (404, 409)
