"""Tool calls, each executed once: a row before the effect, the result before the answer, the answer under a name of its own."""

import json
import logging
import re
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from bot.agents import rpc
from bot.agents.daemon import START, Daemon
from bot.agents.roster import ARCHITECT
from bot.agents.watch import Watch
from bot.core.errors import BotError, Cancelled, UserError
from bot.core.models import AgentLabel, RunId, VmId
from bot.pipeline.journal.fleet import Fleet, ToolCall

log = logging.getLogger(__name__)

_DIALOG = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,63}")
_THREADS = 64
OPERATOR = VmId("operator")
"""Where calls come from that no agent made."""


class Withdrawn(UserError):
    """Nobody waits for this call any more: pi was stopped, or gave it up."""


class Heed:
    """Whether somebody still waits for a call. Whoever executes it looks, or is called when that ends."""

    def __init__(self) -> None:
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._callbacks: list[Callable[[], None]] = []

    @property
    def over(self) -> bool:
        """Nobody waits any more."""
        return self._over.is_set()

    def check(self) -> None:
        """
        Raises:
            Withdrawn: nobody waits any more.
        """
        if self.over:
            raise Withdrawn("the call was cancelled")

    def when_over(self, callback: Callable[[], None]) -> None:
        """Call this, in a thread that may take its time, when nobody waits any more; at once if that is so already."""
        with self._lock:
            if not self.over:
                self._callbacks.append(callback)
                return
        callback()

    def end(self) -> list[Callable[[], None]]:
        """From now on nobody waits; who wanted to be called."""
        with self._lock:
            self._over.set()
            callbacks, self._callbacks = self._callbacks, []
            return callbacks


Plan = Callable[[AgentLabel, str, Mapping[str, Any]], Mapping[str, Any]]
Execute = Callable[[ToolCall, Heed], str]


class CallDesk:
    """Takes dialogs from watches and answers them.

    After a restart every dialog of an event file comes again. One that was answered is passed over, one that was executed is
    answered (a second answer under the same id is not delivered), one that was not is executed: its effects carry names
    that were decided when its row was written, so that doing them again finds them done. A call whose end pi has
    announced is withdrawn: its execution ends soon and nothing is answered.
    """

    def __init__(
        self, run: RunId, *, fleet: Fleet, plan: Plan, execute: Execute, daemon: Callable[[VmId], Daemon]
    ) -> None:
        """
        Args:
            run: whose calls these are.
            fleet: where they are written down.
            plan: decides what must be the same if the call is executed again; added to the parameters in the row.
            execute: does it and returns the text for the model; `BotError` becomes an error for the model.
            daemon: pi on a machine.
        """
        self._run = run
        self._fleet = fleet
        self._plan = plan
        self._execute = execute
        self._daemon = daemon
        self._closing = threading.Event()
        self._one_at_a_time = threading.Lock()
        self._waiting: dict[tuple[VmId, str, str], Heed] = {}
        self._pool = ThreadPoolExecutor(max_workers=_THREADS, thread_name_prefix="call")

    def take(self, watch: Watch, dialog: rpc.Dialog) -> None:
        """A dialog was seen. Writes it down and returns; the rest happens in the background."""
        if not _DIALOG.fullmatch(dialog.id):
            return  # pi's ids are UUIDs: nobody waits for this one
        call = rpc.host_call(dialog)
        if call is None:
            self.submit(self._dismiss, watch.vm, dialog.id)
            return
        given = {name: value for name, value in call.params.items() if not name.startswith("_")}
        key = (watch.vm, call.id, dialog.id)
        with self._one_at_a_time:  # a plan may depend on the rows before it
            if key in self._waiting:
                return  # the file is read again while the call is under way
            known = {(row.vm, row.dialog) for row in self._fleet.calls(self._run)}
            seen = (watch.vm, dialog.id) in known
            planned = {} if seen else self._plan(watch.agent, call.tool, given)
            row = self._fleet.open_call(
                self._run, watch.vm, START, dialog.id, watch.agent, call.tool[:64], {**given, **planned}
            )
            if row.state == "answered":
                return
            heed = self._waiting[key] = Heed()
        self.submit(self._serve, key, row, heed)

    def ended(self, watch: Watch, tool_call: str) -> None:
        """Pi's tool call is over, however it ended; with "" all of that machine are. What is still being done is withdrawn."""
        self._withdraw(watch.vm, tool_call)

    def withdraw(self, order: str) -> None:
        """Nobody waits for what came of an order any more."""
        self._withdraw(OPERATOR, order)

    def _withdraw(self, caller: VmId, tool_call: str) -> None:
        with self._one_at_a_time:
            over = [
                heed
                for (vm, call, _), heed in self._waiting.items()
                if vm == caller and tool_call in ("", call)
            ]
        for callback in [each for heed in over for each in heed.end()]:
            self.submit(callback)

    def order(self, order: str, tool: str, given: Mapping[str, Any]) -> dict[str, Any]:
        """Execute what a person wants instead of an architect, once per `order`: {"ok", "text"}."""
        key, heed = (OPERATOR, order, order), Heed()
        with self._one_at_a_time:
            self._waiting[key] = heed
            known = {(row.vm, row.dialog) for row in self._fleet.calls(self._run)}
            planned = {} if (OPERATOR, order) in known else self._plan(ARCHITECT, tool, given)
            row = self._fleet.open_call(
                self._run, OPERATOR, START, order, ARCHITECT, tool, {**given, **planned}
            )
        try:
            result = row.result
            if result is None:
                result = json.dumps(self._outcome(row, heed))
                self._fleet.finish_call(row, result)
        finally:
            with self._one_at_a_time:
                self._waiting.pop(key, None)
        outcome: dict[str, Any] = json.loads(result)
        return outcome

    def close(self) -> None:
        """Begin nothing more. What is under way ends by itself: nobody hears it, and it is no result that a line was closed."""
        self._closing.set()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def submit(self, work: Callable[..., None], *args: Any) -> None:
        """Do this in the background, unless the build is ending."""
        try:
            self._pool.submit(self._guarded, work, *args)
        except RuntimeError:  # closed: the row, if there is one, is found again
            log.debug("a call came after the end")

    def _guarded(self, work: Callable[..., None], *args: Any) -> None:
        try:
            work(*args)
        except Cancelled:
            log.info("a call was not answered: the build is ending")
        except BotError as error:
            log.warning(
                "a call could not be answered: %s", error
            )  # pi or its machine is gone, which its watch sees
        except Exception:  # a thread of a pool has no caller
            log.exception("a call could not be answered")

    def _dismiss(self, vm: VmId, dialog: str) -> None:
        self._daemon(vm).deliver(f"cancel-{dialog}", rpc.cancel(dialog))

    def _serve(self, key: tuple[VmId, str, str], row: ToolCall, heed: Heed) -> None:
        try:
            result = row.result if row.state == "done" else None
            if result is None:
                result = json.dumps(self._outcome(row, heed))
                self._fleet.finish_call(row, result)
            if not heed.over:
                self._daemon(row.vm).deliver(f"answer-{row.dialog}", rpc.answer(row.dialog, result))
            self._fleet.answered(row)
        finally:
            with self._one_at_a_time:
                self._waiting.pop(key, None)

    def _outcome(self, row: ToolCall, heed: Heed) -> dict[str, Any]:
        try:
            heed.check()
            return {"ok": True, "text": self._execute(row, heed)}
        except Cancelled:
            raise
        except BotError as error:
            if self._closing.is_set() and not isinstance(error, UserError):
                raise Cancelled("the build is ending") from error
            return {"ok": False, "text": str(error)}
        except Exception as error:
            log.exception("tool %s", row.tool, extra={"run": self._run, "vm": row.vm})
            return {"ok": False, "text": f"{row.tool} failed on our side ({type(error).__name__})."}


def succeeded(call: ToolCall) -> bool:
    """Whether a call was executed, and well."""
    return bool(call.result) and json.loads(call.result or "{}").get("ok") is True
