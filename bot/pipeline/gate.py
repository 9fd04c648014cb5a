"""People around a running swarm: its specification waits for their approval, and their orders reach the architect."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bot.agents.outside import Message, Outside
from bot.core.codec import load
from bot.core.errors import Cancelled
from bot.core.models import AgentLabel, Brief, OrderKind, RunId, RunState
from bot.core.notices import gate_view
from bot.core.plan import Plan
from bot.core.prompts import AlsoPrompt, FinishPrompt, RevisePrompt
from bot.core.visible import visible_text
from bot.pipeline.exhibits import keep_session
from bot.pipeline.journal.orders import Order
from bot.pipeline.rooms import Rooms
from bot.vms.base import Shell

_LOOK_EVERY_S = 1.0


@dataclass(frozen=True, slots=True)
class Gate:
    """Of one build. What it knows is in the journal, so that another process goes on where this one ended."""

    rooms: Rooms
    run: RunId
    plan: Plan

    def outside(self) -> Outside:
        """What the swarm asks."""
        return Outside(self._before_spawn, self._messages, self._paused_s, self._farewell)

    def _farewell(self, agent: AgentLabel, shell: Shell) -> None:
        keep_session(self.rooms, self.run, agent, shell)

    def _messages(self) -> Sequence[Message]:
        render, orders = self.rooms.texts.render, self.rooms.orders
        finish = [
            Message(message_id(order), render("prompts/finish.md.j2", FinishPrompt()))
            for order in orders.of(self.run, OrderKind.FINISH)
        ]
        also = [
            Message(
                message_id(order),
                render("prompts/also.md.j2", AlsoPrompt(order.by, visible_text(order.text))),
            )
            for order in orders.of(self.run, OrderKind.ALSO)
        ]
        return (*also, *finish)

    # The specification -----------------------------------------------------------------------------

    def _before_spawn(self, call: str, labels: Sequence[str], spec: str, ending: Callable[[], bool]) -> str:
        if not self.plan.approval or self._approved():
            return ""
        until = self._open(call, labels, spec)
        try:
            while not ending():
                self.rooms.runs.check_cancelled(self.run)
                if self._approved():
                    return ""
                if order := self.rooms.orders.take(self.run, OrderKind.REVISE, call):
                    return self.rooms.texts.render(
                        "prompts/revise.md.j2",
                        RevisePrompt(order.by, visible_text(order.text), tuple(labels)),
                    )
                if self.rooms.now() > until:
                    reason = (
                        f"nobody approved the specification within {self.rooms.limits.approval_hours:g} hours"
                    )
                    self.rooms.runs.cancel(self.run, "", reason)
                time.sleep(_LOOK_EVERY_S)
        finally:
            if not ending():
                self._close()
        raise Cancelled("the build is ending")

    def _approved(self) -> bool:
        return bool(self.rooms.orders.of(self.run, OrderKind.APPROVE))

    def _open(self, call: str, labels: Sequence[str], spec: str) -> float:
        """Post the specification, unless this call did before; until when it waits, in seconds since the epoch."""
        known = self._state()
        if known.get("call") != call or known.get("since") is None:
            now = self.rooms.now()
            known = {"call": call, "since": now, "paused_s": known.get("paused_s", 0.0)}
            self.rooms.runs.keep(self.run, gate=known)
            self.rooms.runs.record(self.run, "note", text="the specification waits for /swarm approve")
        run = self.rooms.runs.get(self.run)
        until = float(str(known["since"])) + self.rooms.limits.approval_hours * 3600
        view = gate_view(
            run=self.run,
            login=run.request.requested_by,
            spec=spec,
            brief=load(Brief, run.result["brief"]),
            labels=labels,
            past=self._past(),
            budget_microusd=self.plan.budget_microusd,
            until=until,
        )
        text = self.rooms.texts.render("github/gate.md.j2", view)
        repository = self.rooms.github.repository(run.request.repo)
        repository.say(run.request.issue, text, f"gate={self.run}-{call}")
        return until

    def _past(self) -> tuple[tuple[float, int], ...]:
        """Seconds and millionths of a dollar of the builds that succeeded lately."""
        done = [run for run in self.rooms.runs.recent() if run.state is RunState.SUCCEEDED and run.ended_at]
        return tuple(
            ((run.ended_at or 0.0) - run.created_at, self.rooms.usage.committed_microusd(run.id))
            for run in done
        )

    def _close(self) -> None:
        known = self._state()
        if known.get("since") is not None:
            self.rooms.runs.keep(self.run, gate={**known, "since": None, "paused_s": self._paused_s()})

    def _state(self) -> dict[str, object]:
        return dict(self.rooms.runs.get(self.run).result.get("gate", {}))

    def _paused_s(self) -> float:
        known = self._state()
        since = known.get("since")
        open_s = self.rooms.now() - float(str(since)) if since is not None else 0.0
        return float(str(known.get("paused_s", 0.0))) + open_s


def message_id(order: Order) -> str:
    """Under which the architect is told of an order, once."""
    return f"order-{order.id}"
