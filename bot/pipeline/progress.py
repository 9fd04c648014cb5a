"""The one progress comment of an issue: made once, edited on phase changes and otherwise at a pace GitHub likes."""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from bot.core.errors import BotError, NotFound
from bot.core.models import RunId
from bot.github.client import Repository
from bot.pipeline.journal.runs import Run, Runs
from bot.pipeline.pace import Pace, Weight

log = logging.getLogger(__name__)

LOOK_EVERY_S = 0.5


@dataclass(slots=True)
class Reporter:
    """Keeps the progress comment of one build true, in a thread of its own, from the journal.

    Used as a context: the thread runs inside; `conclude` ends it and writes the final text. What GitHub says to the
    thread never ends a build: an edit that failed, or for which the budget had no room, is made with the next. A build
    that was stopped before it wrote anything stays silent: somebody changed their mind, and there is nothing to tell.
    """

    run: RunId
    runs: Runs
    repository: Repository
    render: Callable[[], str]
    """The comment's text as of now, marker included."""
    now: Callable[[], float]
    pace: Pace
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
        self._end_thread()

    def conclude(self) -> None:
        """Write the final text. Repeat it until it succeeds: there is no next edit that would make good for it.

        Raises:
            BotError: it could not be written.
        """
        self._end_thread()
        if self._edited_at or not self.runs.cancellation(self.run):
            run = self.runs.get(self.run)
            if self._may(run, Weight.LAST):
                self._put(run)

    def _end_thread(self) -> None:
        self._stop.set()
        if self._thread:
            self._thread.join()

    def _watch(self) -> None:
        self._greet()
        late = False
        while not self._stop.wait(LOOK_EVERY_S):
            events = self.runs.events(self.run, self._seen)
            urgent = late or any(event.kind in ("phase", "state") for event in events)
            if not (events or late):
                continue
            if self._write(Weight.PHASE if urgent else Weight.ROUTINE):
                late, self._seen = False, events[-1].seq if events else self._seen
            else:
                late = urgent

    def _greet(self) -> None:
        """The 👀 on the issue, so that the person who asked sees at once that somebody heard."""
        if self.runs.cancellation(self.run):
            return
        request = self.runs.get(self.run).request
        try:
            if self.pace.take(request.repo.installation_id, Weight.PHASE):
                self.repository.react(request.issue, "eyes")
        except BotError as error:
            log.warning("reaction on #%s: %s", request.issue, error)
        self._write(Weight.PHASE)

    def _write(self, weight: Weight) -> bool:
        """Bring the comment up to date, if the budget has room for it."""
        run = self.runs.get(self.run)
        if not self._may(run, weight):
            return False
        try:
            self._put(run)
        except BotError as error:
            log.warning("progress comment of build %s: %s", self.run, error)
        return True

    def _put(self, run: Run) -> None:
        self._edited_at = self.now()
        marker = f"issue={run.request.issue}"
        body = self.render()
        if (comment := run.comment_id or self._of_earlier_build(run)) is not None:
            try:
                self.repository.edit_comment(comment, body, marker)
                if run.comment_id is None:
                    self.runs.set_comment(self.run, comment)
                return
            except NotFound:
                log.info("the progress comment of build %s was deleted; it is written anew", self.run)
        self.runs.set_comment(self.run, self.repository.say(run.request.issue, body, marker))

    def _may(self, run: Run, weight: Weight) -> bool:
        """The first write pays for the last one too, so that no comment stays behind as "building"."""
        installation, begun = run.request.repo.installation_id, bool(self._edited_at)
        if weight is Weight.LAST:
            return begun or self.pace.take(installation, weight)
        slots = 1 if begun else 2
        return self.pace.take(
            installation, weight, active=self._active(run), last_at=self._edited_at, slots=slots
        )

    def _active(self, run: Run) -> int:
        ours = run.request.repo.installation_id
        return sum(each.request.repo.installation_id == ours for each in self.runs.active())

    def _of_earlier_build(self, run: Run) -> int | None:
        builds = self.runs.of_issue(run.request.repo.full_name, run.request.issue)
        return next((each.comment_id for each in builds if each.comment_id is not None), None)
