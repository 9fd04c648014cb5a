"""Records made into what the pages show."""

from collections.abc import Iterable
from datetime import timedelta

import humanize
from markupsafe import Markup

from bot.local.github import conversation
from bot.local.github.clock import moment
from bot.local.github.gitstore import Commit, TreeEntry
from bot.local.github.markdown import Markdown
from bot.local.github.pages.views import (
    CheckView,
    Code,
    CodePage,
    DeploymentView,
    Entry,
    Frame,
    LabelView,
    Row,
    Talk,
)
from bot.local.github.records import CheckRun, Comment, Deployment, Issue, Label, Pull, Repository
from bot.local.github.world import World

_DARK_TEXT_ABOVE = 150


def ago(world: World, text: str) -> str:
    """How long ago a moment was, in words."""
    passed = world.clock() - moment(text)
    # No seconds: what does not change needs no refresh of the page.
    return "just now" if passed < timedelta(minutes=1) else humanize.naturaltime(passed)


def label_view(label: Label) -> LabelView:
    """A label with an ink that can be read on its colour."""
    red, green, blue = (int(label.color[at : at + 2], 16) for at in (0, 2, 4))
    bright = 0.299 * red + 0.587 * green + 0.114 * blue
    return LabelView(label.name, label.color, "#1f2328" if bright > _DARK_TEXT_ABOVE else "#ffffff")


def labels_of(world: World, issue: Issue) -> tuple[LabelView, ...]:
    """The labels of an issue."""
    found = (world.store.labels.get(number) for number in issue.labels)
    return tuple(label_view(label) for label in found if label)


def row(world: World, issue: Issue) -> Row:
    """An issue or pull request for a list."""
    return Row(
        number=issue.number,
        title=issue.title,
        state=state_of(world, issue),
        pull=issue.pull,
        author=issue.author,
        when=ago(world, issue.created_at),
        labels=labels_of(world, issue),
        comments=len(world.store.comments.where(repo=issue.repo, number=issue.number)),
    )


def state_of(world: World, issue: Issue) -> str:
    """The word on the badge."""
    pull = world.store.pulls.one(repo=issue.repo, number=issue.number) if issue.pull else None
    if pull and pull.merged_at:
        return "merged"
    if issue.state == "open":
        return "draft" if pull and pull.draft else "open"
    return "not planned" if issue.state_reason == "not_planned" else "closed"


def talk(world: World, repo: Repository, issue: Issue, me: str, markdown: Markdown) -> Talk:
    """The conversation, as one person sees it."""
    role = world.role(repo, me)
    mine = [label.casefold() for label in conversation.label_names(world, issue)]
    others = [x.name for x in world.store.labels.where(repo=repo.id) if x.name.casefold() not in mine]
    comments = world.store.comments.where(repo=repo.id, number=issue.number)
    top = Comment(
        issue.id, repo.id, issue.number, issue.author, issue.body or "", issue.created_at, issue.created_at
    )
    first = entry(world, repo, top, markdown, subject=f"issue:{issue.id}")
    rest = (entry(world, repo, found, markdown, subject=f"comment:{found.id}") for found in comments)
    return Talk(
        number=issue.number,
        title=issue.title,
        state=state_of(world, issue),
        pull=issue.pull,
        author=issue.author,
        when=ago(world, issue.created_at),
        closed_by=issue.closed_by or "",
        entries=(first, *rest),
        labels=labels_of(world, issue),
        other_labels=tuple(others),
        may_label=role not in ("none", "read"),
        may_close=role not in ("none", "read") or me == issue.author,
    )


EMOJI = {
    "+1": "👍",
    "-1": "👎",
    "laugh": "😄",
    "confused": "😕",
    "heart": "❤️",
    "hooray": "🎉",
    "rocket": "🚀",
    "eyes": "👀",
}


def entry(world: World, repo: Repository, found: Comment, markdown: Markdown, *, subject: str) -> Entry:
    """One comment."""
    given = [reaction.content for reaction in world.store.reactions.where(subject=subject)]
    account = world.account(found.author)
    body = markdown.comment(found.body) or "<p class='none'>No description provided.</p>"
    role = world.role(repo, found.author)
    return Entry(
        anchor=f"issuecomment-{found.id}",
        author=found.author,
        bot=bool(account and account.type == "Bot"),
        role={"admin": "Owner", "maintain": "Member", "write": "Member"}.get(role, ""),
        when=ago(world, found.created_at),
        exact=found.created_at,
        edited=found.updated_at != found.created_at,
        body=Markup(body),  # noqa: S704  # sanitised by nh3
        reactions=tuple((EMOJI[kind], given.count(kind)) for kind in EMOJI if kind in given),
    )


def check_view(run: CheckRun, markdown: Markdown) -> CheckView:
    """A check run; its buttons show when it has ended."""
    done = run.status == "completed"
    output = run.output
    return CheckView(
        id=run.id,
        name=run.name,
        state=(run.conclusion or "neutral") if done else run.status,
        title=output.get("title") or "",
        summary=Markup(markdown.comment(output.get("summary") or "")),  # noqa: S704  # sanitised by nh3
        text=Markup(markdown.comment(output.get("text") or "")),  # noqa: S704  # sanitised by nh3
        actions=tuple((a["label"], a["description"], a["identifier"]) for a in run.actions) if done else (),
        details_url=run.details_url or "",
    )


def code(world: World, repo: Repository, pull: Pull, issue: Issue, me: str, markdown: Markdown) -> Code:
    """The code side of a pull request, as one person sees it."""
    git = world.git(repo)
    files = git.diff(git.merge_base(pull.base_sha, pull.head_sha), pull.head_sha)
    commits = git.log(pull.head_sha, exclude=pull.base_sha)
    runs = world.store.check_runs.where(repo=repo.id, head_sha=pull.head_sha)
    found = [d for d in world.store.deployments.where(repo=repo.id) if d.sha in commits or d.ref == pull.head]
    is_open = issue.state == "open"
    fits = is_open and not pull.draft and git.merge_tree(pull.base_sha, pull.head_sha) is not None
    return Code(
        head=pull.head,
        base=pull.base,
        head_sha=pull.head_sha,
        commits=len(commits),
        additions=sum(file.additions for file in files),
        deletions=sum(file.deletions for file in files),
        changed_files=len(files),
        deployments=tuple(deployments(world, found)),
        checks=tuple(check_view(run, markdown) for run in runs),
        mergeable=fits,
        may_merge=world.role(repo, me) in ("write", "maintain", "admin"),
        merged_sha=pull.merge_commit_sha or "",
    )


def deployments(world: World, found: Iterable[Deployment]) -> Iterable[DeploymentView]:
    """The newest deployment of each environment, with where it stands."""
    for deployment in {each.environment: each for each in found}.values():
        statuses = world.store.deployment_statuses.where(deployment=deployment.id)
        last = statuses[-1] if statuses else None
        reached = next((s.environment_url for s in reversed(statuses) if s.environment_url), "")
        state = last.state if last else "pending"
        yield DeploymentView(
            environment=deployment.environment,
            # GitHub's word for a transient environment that is gone.
            state="destroyed" if state == "inactive" and deployment.transient else state,
            active=state == "success",
            url=reached,
            log_url=last.log_url if last else "",
            creator=deployment.creator,
            when=ago(world, last.created_at if last else deployment.created_at),
            description=last.description if last else "",
        )


def code_page(
    *,
    frame: Frame,
    repo: Repository,
    branch: str,
    branches: Iterable[str],
    path: str,
    entries: Iterable[TreeEntry],
    lines: Iterable[Markup],
    readme: str,
    newest: Commit | None,
    when: str,
    clone_url: str,
) -> CodePage:
    """The page of a folder or a file; `newest` is the last commit that touched it."""
    parts = path.split("/") if path else []
    crumbs = tuple((part, "/".join(parts[: at + 1])) for at, part in enumerate(parts))
    return CodePage(
        frame=frame,
        branch=branch,
        branches=tuple(branches),
        path=path,
        crumbs=crumbs,
        entries=tuple(entries),
        lines=tuple(lines),
        readme=Markup(readme),  # noqa: S704  # sanitised by nh3
        commit=newest.sha if newest else "",
        message=newest.message.split("\n", 1)[0] if newest else "",
        author=newest.author.name if newest else "",
        when=when,
        clone_url=clone_url,
        description=repo.description,
    )
