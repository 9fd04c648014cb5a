"""Before a build begins: what its repository configures, and what people said about it."""

from collections.abc import Sequence

from bot.core import commands, config
from bot.core.config import RepoConfig
from bot.core.errors import UserError
from bot.core.pictures import AttachedImage
from bot.core.plan import Plan, plan_of
from bot.core.policy import Permission
from bot.core.prompts import Remark
from bot.core.visible import shown_images, visible_text
from bot.core.workflows import triggers
from bot.github.client import Repository
from bot.pipeline.journal.runs import Run
from bot.pipeline.rooms import Rooms

_WORKFLOWS = ".github/workflows"
_MOST_AUTHORS, _MOST_REMARKS, _LONGEST_CHARACTERS = 20, 30, 4_000


def configured(repository: Repository, ref: str) -> RepoConfig:
    """What the repository's file says at a commit or branch.

    Raises:
        UserError: the file is wrong; the message lists every problem.
    """
    data = repository.reading.file(config.PATH, ref)
    found = config.parse_config(data) if data is not None else RepoConfig()
    if isinstance(found, config.Problems):
        raise UserError(f"{config.PATH} cannot be followed: {'; '.join(found.sentences)}")
    return found


def deployed_to(repository: Repository, ref: str) -> list[str]:
    """The repository's workflows that run on deployments: `[skip ci]` holds back only those on push and pull_request.

    Source: https://docs.github.com/actions/managing-workflow-runs/skipping-workflow-runs
    """
    found = []
    for name in repository.reading.folder(_WORKFLOWS, ref):
        text = repository.reading.file(f"{_WORKFLOWS}/{name}", ref) or b""
        if name.endswith((".yml", ".yaml")) and triggers(text) & {"deployment", "deployment_status"}:
            found.append(name)
    return found


def plan(rooms: Rooms, repository: Repository, ref: str, run: Run) -> Plan:
    """How this build is done.

    Raises:
        UserError: the file is wrong, or more is asked for than the operator allows.
    """
    return plan_of(rooms.allowed, configured(repository, ref), run.request.options)


def remarks(repository: Repository, run: Run, least: Permission) -> Sequence[Remark]:
    """What people who may start builds said in the issue before this one was asked for, as a reader sees it; the newest.

    A comment that was written or edited afterwards is not part of it: nobody has ordered that.
    """
    found = [
        comment
        for comment in repository.reading.comments(run.request.issue)
        if comment.by_person and comment.updated_at <= run.created_at and commands.parse(comment.body) is None
    ]
    authors = list(dict.fromkeys(comment.author for comment in reversed(found)))[:_MOST_AUTHORS]
    heard = {author for author in authors if repository.permission(author).covers(least)}
    spoken = [
        Remark(each.author, visible_text(each.body)[:_LONGEST_CHARACTERS], shown_images(each.body))
        for each in found
        if each.author in heard
    ]
    return [each for each in spoken if each.text or each.images][-_MOST_REMARKS:]


def images(repository: Repository, run: Run, said: Sequence[Remark]) -> Sequence[AttachedImage]:
    """The images of the text that is built and of what was said about it."""
    request = run.request
    addresses = (
        *shown_images(request.body),
        *shown_images(request.feedback),
        *(address for remark in said for address in remark.images),
    )
    numbers = (request.issue, request.said_on) if request.said_on else (request.issue,)
    return repository.attachments.images(numbers, tuple(dict.fromkeys(addresses)))
