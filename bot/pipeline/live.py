"""The part of a pull request's text that says where it can be tried, kept true while previews come, live longer and go."""

import logging

from bot.core import words
from bot.core.errors import BotError
from bot.core.models import Published
from bot.core.pull_views import LiveView, live_marks
from bot.pipeline.journal.runs import Run
from bot.pipeline.rooms import Rooms

log = logging.getLogger(__name__)


def show_live(rooms: Rooms, run: Run, *, url: str = "", until: float = 0.0, gone: str = "") -> None:
    """Say that the preview answers at `url` until then, or why it is gone. A pull request that cannot be edited stays as it is."""
    published = run.fact("published", Published)
    if published is None or not published.pull_request:
        return
    view = LiveView(url, words.moment(until) if until else "", gone)
    text = rooms.texts.render("github/live.md.j2", view).strip()
    try:
        rooms.github.repository(run.request.repo).fill_in(published.pull_request, live_marks(run.id), text)
    except BotError as error:  # the preview is as it is; this is only the text about it
        log.warning("pull request of build %s: %s", run.id, error)
