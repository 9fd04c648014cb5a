"""The one progress comment of a build: made once, edited on phase changes and otherwise at a pace GitHub likes."""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from bot.core.errors import BotError, NotFound
from bot.core.models import RunId
from bot.github.client import Repository
from bot.pipeline.journal.runs import Runs

log = logging.getLogger(__name__)

EDIT_EVERY_S = 15.0
"""Between two edits without a change of phase: four a minute, of the 80 content writes that GitHub allows."""
LOOK_EVERY_S = 0.5


@dataclass(slots=True)
class Reporter:
    """Keeps the progress comment of one build true, in a thread of its own, from the journal.

    Used as a context: the thread runs inside, and leaving it writes the final text. What GitHub says to it never
    ends a build: an edit that failed is tried again with the next.
    """

    run: RunId
    runs: Runs
    repository: Repository
    render: Callable[[], str]
    """The comment's text as of now, marker included."""
    now: Callable[[], float]
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None
    _seen: int = 0
    _edited_at: float = 0.0

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._watch, name=f"progress-{self.run}", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        if self._thread:
            self._thread.join()
        self._write()

    def _watch(self) -> None:
        self._greet()
        while not self._stop.wait(LOOK_EVERY_S):
            events = self.runs.events(self.run, self._seen)
            urgent = any(event.kind in ("phase", "state") for event in events)
            due = bool(events) and self.now() - self._edited_at >= EDIT_EVERY_S
            if urgent or due:
                self._seen = events[-1].seq
                self._write()

    def _greet(self) -> None:
        """The 👀 on the issue, so that the person who asked sees at once that somebody heard."""
        request = self.runs.get(self.run).request
        try:
            self.repository.react(request.issue, "eyes")
        except BotError as error:
            log.warning("reaction on #%s: %s", request.issue, error)
        self._write()

    def _write(self) -> None:
        run = self.runs.get(self.run)
        self._edited_at = self.now()
        try:
            body = self.render()
            if run.comment_id is not None:
                try:
                    self.repository.edit_comment(run.comment_id, body, f"build={self.run}")
                    return
                except NotFound:
                    log.info("the progress comment of build %s was deleted; it is written anew", self.run)
            self.runs.set_comment(self.run, self.repository.say(run.request.issue, body, f"build={self.run}"))
        except BotError as error:
            log.warning("progress comment of build %s: %s", self.run, error)
