"""Pages of a repository's files and commits, and the list of repositories."""

from flask import Blueprint, Response, request
from markupsafe import Markup

from bot.core.pictures import image_type
from bot.local.github.clock import from_git_date
from bot.local.github.gitstore import GitRepository, TreeEntry
from bot.local.github.pages import build, diffs, views
from bot.local.github.pages.desk import Desk
from bot.local.github.records import Repository
from bot.local.github.refusals import not_found

LARGEST_SHOWN_BYTES = 512 * 1024


def add_code_pages(pages: Blueprint, desk: Desk) -> None:
    """Register the routes."""

    @pages.get("/")
    def home() -> Response:
        with desk.world.store.lock:
            me = desk.me()
            seen = [r for r in desk.world.store.repositories if desk.world.role(r, me) != "none"]
            rows = tuple((repo.full_name, repo.description, repo.private) for repo in seen)
            return desk.page("home", views.HomePage(desk.frame("Repositories"), rows))

    @pages.get("/<owner>/<name>")
    def repository(owner: str, name: str) -> Response:
        with desk.world.store.lock:
            repo = desk.repo(owner, name)
            return browse(desk, repo, repo.default_branch, "")

    @pages.get("/<owner>/<name>/tree/<path:where>")
    @pages.get("/<owner>/<name>/blob/<path:where>")
    def at(owner: str, name: str, where: str) -> Response:
        if request.args.get("raw") == "true":
            return raw(owner, name, where)
        with desk.world.store.lock:
            repo = desk.repo(owner, name)
            branch, path = split(desk.world.git(repo), where)
            return browse(desk, repo, branch, path)

    @pages.get("/<owner>/<name>/raw/<path:where>")
    def raw(owner: str, name: str, where: str) -> Response:
        with desk.world.store.lock:
            git = desk.world.git(desk.repo(owner, name))
            branch, path = split(git, where)
            sha = git.resolve(branch)
            entry = git.entry(sha, path) if sha else None
            if entry is None or entry.type != "blob":
                raise not_found()
            # Foreign bytes: never as a page of this site.
            headers = {"X-Content-Type-Options": "nosniff"}
            content = git.read_blob(entry.sha)
            return Response(content, mimetype=image_type(content) or "text/plain", headers=headers)

    @pages.get("/<owner>/<name>/commit/<sha>")
    def commit(owner: str, name: str, sha: str) -> Response:
        with desk.world.store.lock:
            repo = desk.repo(owner, name)
            git = desk.world.git(repo)
            full = git.resolve(sha)
            if full is None:
                raise not_found()
            found = git.read_commit(full)
            files = git.diff(found.parents[0] if found.parents else None, full)
            page = views.CommitPage(
                frame=desk.frame(found.message.split("\n", 1)[0], repo, "code"),
                sha=full,
                message=found.message,
                author=found.author.name,
                when=build.ago(desk.world, from_git_date(found.committer.date)),
                verified=git.is_verified(found),
                files=tuple(diffs.view(files)),
            )
            return desk.page("commit", page)


def split(git: GitRepository, where: str) -> tuple[str, str]:
    """Branch and path of "feature/x/src/a.js": branches may have slashes, so the longest that exists wins.

    Raises:
        Refusal: 404.
    """
    parts = where.split("/")
    for count in range(len(parts), 0, -1):
        branch = "/".join(parts[:count])
        if git.resolve(branch):
            return branch, "/".join(parts[count:])
    raise not_found()


def browse(desk: Desk, repo: Repository, branch: str, path: str) -> Response:
    """The page of a folder or a file."""
    git = desk.world.git(repo)
    sha = git.resolve(branch)
    entry = git.entry(sha, path) if sha and path else None
    if path and entry is None:
        raise not_found()
    entries: list[TreeEntry] = []
    lines: tuple[Markup, ...] = ()
    readme = ""
    if entry and entry.type == "blob":
        lines = tuple(diffs.lines_of(path, text_of(git, entry)))
    elif sha:
        inside = git.read_tree(entry.sha if entry else sha, recursive=False)
        entries = sorted(inside, key=lambda each: (each.type == "blob", each.path))
        found = next((each for each in entries if each.path.lower() == "readme.md"), None)
        readme = desk.markdown(repo).document(text_of(git, found)) if found else ""
    newest = git.read_commit(git.log(sha, limit=1, path=path)[0]) if sha else None
    page = build.code_page(
        frame=desk.frame(repo.full_name if not path else f"{path} · {repo.full_name}", repo, "code"),
        repo=repo,
        branch=branch,
        branches=[name.removeprefix("refs/heads/") for name in git.refs("refs/heads/")],
        path=path,
        entries=entries,
        lines=lines,
        readme=readme,
        newest=newest,
        when=build.ago(desk.world, from_git_date(newest.committer.date)) if newest else "",
        clone_url=f"{desk.world.web_url}/{repo.full_name}.git",
    )
    return desk.page("code", page)


def text_of(git: GitRepository, entry: TreeEntry) -> str:
    """The text of a file; a word about it if it is none."""
    if (entry.size_bytes or 0) > LARGEST_SHOWN_BYTES:
        return "(too large to be shown)"
    content = git.read_blob(entry.sha)
    return "(binary file)" if b"\0" in content else content.decode(errors="replace").rstrip("\n")
