"""The pages' routes: issues, pull requests, checks, and the forms on them."""

from typing import Any

from flask import Blueprint, Response, redirect, request

from bot.core.texts import Texts
from bot.local.github import graphql, local_api
from bot.local.github.api import Api
from bot.local.github.markdown import stylesheet
from bot.local.github.pages import build, diffs, views
from bot.local.github.pages.app_pages import add_app_pages
from bot.local.github.pages.code_pages import add_code_pages
from bot.local.github.pages.desk import COOKIE, Desk
from bot.local.github.records import Repository
from bot.local.github.refusals import Refusal, not_found

_STYLE = "web/github/style.css.j2"


def blueprint(api: Api, texts: Texts) -> Blueprint:
    """All routes for people."""
    pages = Blueprint("pages", __name__)
    desk = Desk(api, texts)

    @pages.errorhandler(Refusal)
    def refused(why: Refusal) -> Any:
        return desk.problem(why.status, why.message)

    @pages.get("/_local/style.css")
    def style() -> Response:
        empty = views.NoView()
        return Response(texts.render(_STYLE, empty) + stylesheet(), mimetype="text/css")

    @pages.post("/_local/as")
    def become() -> Any:
        here = request.form.get("here", "/")
        answer = redirect(here if here.startswith("/") and not here.startswith("//") else "/", 303)
        answer.set_cookie(COOKIE, request.form.get("login", ""), samesite="Lax", httponly=True)
        return answer

    _lists(pages, desk)
    _conversations(pages, desk)
    _forms(pages, desk)
    _pull_forms(pages, desk)
    _checks(pages, desk)
    add_code_pages(pages, desk)
    add_app_pages(pages, desk)
    return pages


def _lists(pages: Blueprint, desk: Desk) -> None:
    def listing(repo: Repository, *, pulls: bool) -> Response:
        state = "closed" if request.args.get("state") == "closed" else "open"
        found = [i for i in desk.world.store.issues.where(repo=repo.id) if i.pull == pulls][::-1]
        shown = [build.row(desk.world, issue) for issue in found if issue.state == state]
        still_open = sum(issue.state == "open" for issue in found)
        title = "Pull requests" if pulls else "Issues"
        frame = desk.frame(title, repo, "pulls" if pulls else "issues")
        page = views.ListPage(frame, pulls, state, tuple(shown), still_open, len(found) - still_open)
        return desk.page("list", page)

    @pages.get("/<owner>/<name>/issues")
    def issues(owner: str, name: str) -> Response:
        with desk.world.store.lock:
            return listing(desk.repo(owner, name), pulls=False)

    @pages.get("/<owner>/<name>/pulls")
    def pulls(owner: str, name: str) -> Response:
        with desk.world.store.lock:
            return listing(desk.repo(owner, name), pulls=True)

    @pages.get("/<owner>/<name>/issues/new")
    def new_issue(owner: str, name: str) -> Response:
        with desk.world.store.lock:
            frame = desk.frame("New issue", desk.repo(owner, name), "issues")
            return desk.page("new_issue", views.NewIssuePage(frame))

    @pages.post("/<owner>/<name>/issues")
    def open_issue(owner: str, name: str) -> Any:
        body = {"title": request.form["title"], "body": request.form.get("body", "")}
        answer = desk.act("POST", f"/repos/{owner}/{name}/issues", body)
        number = answer.body.get("number", "")
        return desk.back(answer, f"/{owner}/{name}/issues/{number}")


def _conversations(pages: Blueprint, desk: Desk) -> None:
    @pages.get("/<owner>/<name>/issues/<int:number>")
    def issue(owner: str, name: str, number: int) -> Any:
        with desk.world.store.lock:
            repo = desk.repo(owner, name)
            found = desk.issue(repo, number)
            if found.pull:
                return redirect(f"/{repo.full_name}/pull/{number}")
            frame = desk.frame(f"{found.title} · Issue #{number}", repo, "issues")
            talk = build.talk(desk.world, repo, found, frame.me, desk.markdown(repo))
            return desk.page("issue", views.IssuePage(frame, talk))

    @pages.get("/<owner>/<name>/pull/<int:number>")
    def pull(owner: str, name: str, number: int) -> Any:
        with desk.world.store.lock:
            repo = desk.repo(owner, name)
            code, found = desk.pull(repo, number), desk.issue(repo, number)
            frame = desk.frame(f"{found.title} · Pull request #{number}", repo, "pulls")
            markdown = desk.markdown(repo)
            git = desk.world.git(repo)
            files = git.diff(git.merge_base(code.base_sha, code.head_sha), code.head_sha)
            page = views.PullPage(
                frame,
                build.talk(desk.world, repo, found, frame.me, markdown),
                build.code(desk.world, repo, code, found, frame.me, markdown),
                tuple(diffs.view(files)),
            )
            return desk.page("pull", page)


def _forms(pages: Blueprint, desk: Desk) -> None:
    @pages.post("/<owner>/<name>/issues/<int:number>/comments")
    def comment(owner: str, name: str, number: int) -> Any:
        path = f"/repos/{owner}/{name}/issues/{number}"
        text = request.form.get("body", "").replace("\r\n", "\n")
        state = request.form.get("state", "")
        if text.strip() or not state:
            answer = desk.act("POST", f"{path}/comments", {"body": text})
            if answer.status >= 400:
                return desk.back(answer, "")
        if state:
            reason = {"state_reason": "not_planned"} if state == "not_planned" else {}
            wanted = {"state": "open" if state == "open" else "closed", **reason}
            answer = desk.act("PATCH", path, wanted)
            if answer.status >= 400:
                return desk.back(answer, "")
        return redirect(f"/{owner}/{name}/issues/{number}", 303)

    @pages.post("/<owner>/<name>/issues/<int:number>/labels")
    def label(owner: str, name: str, number: int) -> Any:
        path = f"/repos/{owner}/{name}/issues/{number}/labels"
        wanted = request.form.get("label", "")
        if request.form.get("remove"):
            answer = desk.act("DELETE", f"{path}/{wanted}")
        else:
            answer = desk.act("POST", path, {"labels": [wanted]})
        return desk.back(answer, f"/{owner}/{name}/issues/{number}")


def _pull_forms(pages: Blueprint, desk: Desk) -> None:
    @pages.post("/<owner>/<name>/pull/<int:number>/merge")
    def merge(owner: str, name: str, number: int) -> Any:
        answer = desk.act("PUT", f"/repos/{owner}/{name}/pulls/{number}/merge", {})
        return desk.back(answer, f"/{owner}/{name}/pull/{number}")

    @pages.post("/<owner>/<name>/pull/<int:number>/ready")
    def ready(owner: str, name: str, number: int) -> Any:
        with desk.world.store.lock:
            repo = desk.repo(owner, name)
            if desk.world.role(repo, desk.me()) not in ("write", "maintain", "admin"):
                raise Refusal(403, "Must have push access to repository.")
            graphql.set_draft(desk.world, desk.pull(repo, number), desk.me(), draft=False)
        return redirect(f"/{owner}/{name}/pull/{number}", 303)


def _checks(pages: Blueprint, desk: Desk) -> None:
    @pages.get("/<owner>/<name>/runs/<int:run_id>")
    def run(owner: str, name: str, run_id: int) -> Response:
        with desk.world.store.lock:
            repo = desk.repo(owner, name)
            found = desk.world.store.check_runs.get(run_id)
            if found is None or found.repo != repo.id:
                raise not_found()
            check = build.check_view(found, desk.markdown(repo))
            may = desk.world.role(repo, desk.me()) in ("write", "maintain", "admin")
            return desk.page("check", views.CheckPage(desk.frame(found.name, repo, "pulls"), check, may))

    @pages.post("/<owner>/<name>/runs/<int:run_id>")
    def press(owner: str, name: str, run_id: int) -> Any:
        with desk.world.store.lock:
            local_api.press_button(desk.world, run_id, request.form["action"], desk.me())
        return redirect(f"/{owner}/{name}/runs/{run_id}", 303)
