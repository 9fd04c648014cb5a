"""Watching one agent: its event file followed from a byte offset, its life signs, and the state that both add up to."""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace

from bot.agents import rpc
from bot.agents.daemon import Daemon
from bot.agents.progress import AgentProgress, fold, settle
from bot.core.errors import BotError, NotFound, Permanent, Transient
from bot.core.models import AgentLabel, AgentState, VmId
from bot.vms.base import Shell

log = logging.getLogger(__name__)

_IDLE_S = 0.5
_GRACE_S = 1.5
"""Within which an older pi goes on after `agent_end`, if it does. It was the same millisecond in every run seen."""
_CHECK_AFTER_S = 8.0
_RETRY_S = 0.5
_STUMBLES = 5


@dataclass(frozen=True, slots=True)
class WatchLimits:
    """`stall_s`: silence that counts as stalled; `lost_s`: how long the line may stay down."""

    stall_s: float
    lost_s: float


class Watch:
    """A thread that follows one agent. What it learns is read through the properties, from any thread."""

    def __init__(
        self,
        agent: AgentLabel,
        vm: VmId,
        *,
        line: Callable[[], Shell],
        trouble: Callable[[], str],
        limits: WatchLimits,
        now: Callable[[], float],
        on_dialog: Callable[["Watch", rpc.Dialog], None],
        on_tools_ended: Callable[["Watch", str], None],
        on_restart: Callable[["Watch", str], None],
        on_change: Callable[[AgentLabel], None],
        resumed: bool = False,
    ) -> None:
        """
        Args:
            agent: whom to follow.
            vm: where it lives.
            line: the shell to that machine; asked for again after each loss.
            trouble: why its machine cannot be worked on, as the provider says; empty if it knows of nothing.
            limits: when silence and absence count.
            now: seconds since the epoch.
            on_dialog: gets every dialog in the file, the old ones again after a restart of ours. Must return soon.
            on_tools_ended: a tool call of pi is over, by its id; with "" all of them are. Must return soon.
            on_restart: pi was killed in the middle of its work and started again; the id of the prompt that it expects.
                Must return soon.
            on_change: something may have changed.
            resumed: the file has a past that was told already; nothing is said until it is read.
        """
        self.agent = agent
        self.vm = vm
        self.clock_offset_s = float("inf")
        """Add it to a stamp of this machine for seconds since the epoch."""
        self._line = line
        self._trouble = trouble
        self._limits = limits
        self._now = now
        self._on_dialog = on_dialog
        self._on_tools_ended = on_tools_ended
        self._on_restart = on_restart
        self._on_change = on_change
        self._progress = AgentProgress()
        self._expected: set[str] = set()
        self._ended = ""
        self._ended_as = AgentState.FAILED
        self._heard_at = now()
        self._checked_at = now()
        self._contact_at = now()
        self._caught_up = not resumed
        self._offset = 0
        self._splitter = rpc.LineSplitter()
        self._stumbles = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"watch-{agent}", daemon=True)

    # What is known ---------------------------------------------------------------------------------

    @property
    def progress(self) -> AgentProgress:
        """All that the event file says so far."""
        return self._progress

    @property
    def caught_up(self) -> bool:
        """Whether the past of a resumed agent has been read."""
        return self._caught_up or bool(self._ended)

    @property
    def ended(self) -> bool:
        """Whether there is nothing left to follow: pi, its machine or the line to it is gone."""
        return bool(self._ended) or self._progress.exit_status is not None

    def expect(self, command_id: str) -> None:
        """A prompt is about to be delivered: until pi has answered it, the agent counts as working."""
        self._expected.add(command_id)

    def unexpect(self, command_id: str) -> None:
        """The prompt was not delivered after all."""
        self._expected.discard(command_id)

    def knows(self, command_id: str) -> bool:
        """Whether a prompt was delivered to this pi, or is being delivered."""
        return command_id in self._expected or command_id in self._progress.answered

    @property
    def state(self) -> AgentState:
        """The honest state, now."""
        if self._ended:
            return self._ended_as
        progress = self._progress
        if progress.exit_status is not None:
            return AgentState.FAILED
        state = progress.state
        if self._expected - set(progress.answered):
            state = AgentState.WORKING
        silent_s = self._now() - self._heard_at
        if state is AgentState.WORKING and not progress.open_tools and silent_s > self._limits.stall_s:
            return AgentState.STALLED
        return state

    @property
    def reason(self) -> str:
        """Why the agent failed, was lost or is stalled; empty otherwise."""
        if self._ended:
            return self._ended
        if self.state is AgentState.STALLED:
            return f"nothing was heard of it for more than {self._limits.stall_s:.0f} s"
        return self._progress.reason if self.state is AgentState.FAILED else ""

    @property
    def doing(self) -> str:
        """One line for people; untrusted text."""
        return self._progress.doing if self.state in (AgentState.WORKING, AgentState.STALLED) else ""

    # The thread ------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to follow, from the first byte."""
        self._thread.start()

    def ask_to_stop(self) -> None:
        """The thread ends soon."""
        self._stop.set()

    def stop(self) -> None:
        """End the thread; returns when it has ended."""
        self.ask_to_stop()
        if self._thread.ident is not None and self._thread is not threading.current_thread():
            self._thread.join(timeout=10.0)

    def _run(self) -> None:
        while not self._stop.is_set() and not self._ended:
            try:
                self._follow_or_reconsider()
            except NotFound:
                self._end(AgentState.LOST, "its machine is gone")
            except BotError as error:
                self._end(AgentState.LOST, str(error))
            except (
                Exception
            ) as error:  # a thread has no caller: what it does not expect must end in a state, too
                log.exception("watching %s", self.agent, extra={"vm": self.vm})
                self._stumble(error)

    def _follow_or_reconsider(self) -> None:
        try:
            self._follow()
        except Transient as error:
            self._reconsider(error)

    def _follow(self) -> None:
        shell = self._line()
        daemon = Daemon(shell)
        for chunk in shell.follow(daemon.events, self._offset, idle_s=_IDLE_S):
            self._offset += len(chunk)
            self._contact_at = self._now()
            self._take(self._splitter.feed(chunk))
            self._caught_up = self._caught_up or not chunk
            self._look_after(daemon)
            if self._stop.is_set() or self._ended:
                return

    def _stumble(self, error: Exception) -> None:
        """Read everything again, for a few times: whatever a line asks for is done once, however often it is read."""
        self._stumbles += 1
        if self._stumbles > _STUMBLES:
            self._end(AgentState.LOST, f"it could not be followed: {type(error).__name__}")
            return
        self._offset, self._splitter = 0, rpc.LineSplitter()
        self._progress, self._caught_up = AgentProgress(), False
        self._stop.wait(_RETRY_S)

    def _take(self, lines: list[bytes]) -> None:
        for line in lines:
            stamped = rpc.parse(line)
            if stamped is None:
                continue  # what a dying pi left half written, or a stray print of an extension
            self._heard_at = self._now()
            self.clock_offset_s = min(self.clock_offset_s, self._heard_at - stamped.at_s)
            self._progress = fold(self._progress, stamped)
            match stamped.event:
                case rpc.Dialog() as dialog:
                    self._on_dialog(self, dialog)
                case rpc.ToolEnded(tool):
                    self._on_tools_ended(self, tool)
                case rpc.RunEnded() | rpc.Exited():
                    self._on_tools_ended(self, "")
                case rpc.Restarted():
                    self._on_tools_ended(self, "")
                    if self._progress.accepted and not self._progress.settled:
                        self._on_restart(self, f"resume-{self._progress.restarts}")
                case _:
                    pass
        if lines:
            self._on_change(self.agent)

    def _look_after(self, daemon: Daemon) -> None:
        now = self._now()
        if self._progress.ending and now - self._heard_at > _GRACE_S:
            self._progress = settle(self._progress)
            self._on_change(self.agent)
        quiet = now - self._heard_at > _CHECK_AFTER_S and now - self._checked_at > _CHECK_AFTER_S
        if self._progress.exit_status is None and not quiet:
            return
        self._checked_at = now
        try:
            health = daemon.check()
        except Permanent as error:
            self._end(AgentState.LOST, str(error))
            return
        if not health.alive:
            status = self._progress.exit_status if health.status is None else health.status
            self._end(AgentState.FAILED, replace(health, status=status).sentence)

    def _reconsider(self, error: Transient) -> None:
        if trouble := self._trouble():
            self._end(AgentState.LOST, trouble)
        elif self._now() - self._contact_at > self._limits.lost_s:
            self._end(
                AgentState.LOST, f"its machine could not be reached for {self._limits.lost_s:.0f} s: {error}"
            )
        else:
            self._stop.wait(_RETRY_S)

    def _end(self, state: AgentState, reason: str) -> None:
        self._ended_as, self._ended = state, reason
        self._on_tools_ended(self, "")
        self._on_change(self.agent)
