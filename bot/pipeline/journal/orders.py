"""What people tell a build while it runs: wrap up, approved, revise."""

from dataclasses import dataclass

from sqlalchemy import Engine, insert, select, update
from sqlalchemy.exc import IntegrityError

from bot.core.models import OrderKind, RunId
from bot.pipeline.journal.database import Clock, orders


@dataclass(frozen=True, slots=True)
class Order:
    """One order. `taken_by` names the tool call that it answered, or is empty."""

    id: str
    kind: OrderKind
    text: str
    by: str
    taken_by: str


class Orders:
    """Orders by build, in the order in which they came."""

    def __init__(self, engine: Engine, now: Clock) -> None:
        self._engine = engine
        self._now = now

    def give(self, run: RunId, order: str, kind: OrderKind, text: str, by: str) -> bool:
        """Write an order down; False if this id is known."""
        values = {"id": order, "run": run, "kind": kind, "text": text, "by": by, "at": self._now()}
        try:
            with self._engine.begin() as db:
                db.execute(insert(orders).values(**values, taken_by=""))
        except IntegrityError:
            return False
        return True

    def of(self, run: RunId, kind: OrderKind) -> list[Order]:
        """All orders of one kind, oldest first."""
        query = select(orders).where(orders.c.run == run, orders.c.kind == kind).order_by(orders.c.at)
        with self._engine.begin() as db:
            return [
                Order(row.id, OrderKind(row.kind), row.text, row.by, row.taken_by)
                for row in db.execute(query)
            ]

    def take(self, run: RunId, kind: OrderKind, call: str) -> Order | None:
        """The order that this call took already, or the oldest that none took, which is then this call's."""
        known = self.of(run, kind)
        taken = next((each for each in known if each.taken_by == call), None)
        found = taken or next((each for each in known if not each.taken_by), None)
        if found and not taken:
            with self._engine.begin() as db:
                db.execute(update(orders).where(orders.c.id == found.id).values(taken_by=call))
        return found
