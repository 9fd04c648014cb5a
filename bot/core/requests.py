"""The order for a build, from the event that asked for it."""

from dataclasses import replace

from bot.core.decisions import StartBuild
from bot.core.events import CommentCreated, Event, IssueLabeled, ReviewCommentCreated
from bot.core.installations import InstallationEvent
from bot.core.models import BuildRequest


def request_of(
    event: Event, decision: StartBuild, delivery: str, earlier: BuildRequest | None
) -> BuildRequest | None:
    """The order for a build: the issue as it stood in the signed payload, or, asked for on a pull request, in the
    payload that the build before was made from. None if there is neither.
    """
    request = earlier
    if isinstance(event, IssueLabeled | CommentCreated) and not getattr(event, "is_pull_request", False):
        request = BuildRequest(
            repo=event.repo, issue=event.issue, title=event.title, body=event.body,
            requested_by=event.sender.login, delivery=delivery,
        )  # fmt: skip
    if request is None or isinstance(event, InstallationEvent):
        return None
    return replace(
        request,
        repo=event.repo,
        requested_by=event.sender.login,
        delivery=delivery,
        insist=decision.insist,
        feedback=decision.feedback,
        said_on=_pull_request_of(event),
        requested_by_id=event.sender.id,
        options=decision.options,
    )


def _pull_request_of(event: Event) -> int:
    match event:
        case ReviewCommentCreated(pull_request=number) | CommentCreated(issue=number, is_pull_request=True):
            return number
        case _:
            return 0
