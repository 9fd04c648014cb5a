"""What all pages share: who looks, the frame, rendering, and acting through the REST API as that person."""

import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from flask import Response, redirect, request

from bot.core.texts import Texts
from bot.local.github import attachments
from bot.local.github.api import Answer, Api, Incoming
from bot.local.github.markdown import Markdown
from bot.local.github.pages.views import Frame, ProblemPage
from bot.local.github.records import Issue, Pull, Repository
from bot.local.github.refusals import not_found
from bot.local.github.world import World

COOKIE = "local_github_as"


@dataclass(frozen=True, slots=True)
class Desk:
    """The pages' tools."""

    api: Api
    texts: Texts

    @property
    def world(self) -> World:
        """The state."""
        return self.api.world

    def me(self) -> str:
        """Login of the person who looks: `?as=`, else the cookie, else the first administrator."""
        known = self.people()
        wanted = request.args.get("as") or request.cookies.get(COOKIE, "")
        return wanted if wanted in known else known[0]

    def people(self) -> tuple[str, ...]:
        """Everybody who has a token."""
        return tuple(token.login for token in self.world.store.tokens if token.login)

    def repo(self, owner: str, name: str) -> Repository:
        """A repository that this person may see.

        Raises:
            Refusal: 404.
        """
        found = self.world.repository(owner, name)
        if found is None or self.world.role(found, self.me()) == "none":
            raise not_found()
        return found

    def issue(self, repo: Repository, number: int) -> Issue:
        """An issue or a pull request.

        Raises:
            Refusal: 404.
        """
        found = self.world.issue(repo, number)
        if found is None:
            raise not_found()
        return found

    def pull(self, repo: Repository, number: int) -> Pull:
        """The code side of a pull request.

        Raises:
            Refusal: 404.
        """
        found = self.world.pull(repo, number)
        if found is None:
            raise not_found()
        return found

    def markdown(self, repo: Repository) -> Markdown:
        """Renders this repository's texts."""

        def href(kind: str, value: str) -> str | None:
            if kind == "login":
                return f"/{value}" if self.world.account(value) else None
            issue = self.world.issue(repo, int(value))
            if issue is None:
                return None
            return f"/{repo.full_name}/{'pull' if issue.pull else 'issues'}/{issue.number}"

        return Markdown(href, lambda page: attachments.signed(self.world, page))

    def frame(self, title: str, repo: Repository | None = None, tab: str = "") -> Frame:
        """What is around a page."""
        store = self.world.store
        open_ones = store.issues.where(repo=repo.id, state="open") if repo else []
        pulls = sum(issue.pull for issue in open_ones)
        return Frame(
            title=title,
            owner=repo.owner if repo else "",
            name=repo.name if repo else "",
            tab=tab,
            me=self.me(),
            people=self.people(),
            open_issues=len(open_ones) - pulls,
            open_pulls=pulls,
            here=request.path,
        )

    def page(self, name: str, view: Any) -> Response:
        """A rendered template of templates/web/github."""
        answer = Response(self.texts.render(f"web/github/{name}.html.j2", view), mimetype="text/html")
        if request.args.get("as"):
            answer.set_cookie(COOKIE, self.me(), samesite="Lax", httponly=True)
        return answer

    def act(self, method: str, path: str, body: Any = None) -> Answer:
        """Call the REST API as the person who looks, with all its checks and events."""
        token = self.world.store.tokens.one(login=self.me())
        headers = {
            "Authorization": f"Bearer {token.value if token else ''}",
            "User-Agent": "local-github-pages",
        }
        data = b"" if body is None else json.dumps(body).encode()
        return self.api.answer(Incoming(method, quote(path), {}, headers, data, self.world.api_url + path))

    def back(self, answer: Answer, to: str) -> Any:
        """After a form: to a page, or the API's refusal as a page."""
        if answer.status < 400:
            return redirect(to, 303)
        return self.problem(answer.status, str(answer.body["message"]))

    def problem(self, status: int, message: str) -> tuple[Response, int]:
        """A page that says what is wrong."""
        return self.page("problem", ProblemPage(self.frame(message), status, message)), status
