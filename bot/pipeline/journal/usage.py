"""Money: a call's worst price is reserved before it is sent and settled from what it used. Implements `gateway.Accounts`."""

import hashlib
import uuid

from sqlalchemy import Connection, Engine, func, insert, select, update

from bot.core.models import AgentLabel, RunId, Spender, Tokens
from bot.pipeline.journal.database import Clock, reading, runs, usage
from bot.pipeline.journal.fleet import Fleet


class Usage:
    """Who may call a model, and what it costs the run. `cap_microusd` is dollars x 1,000,000 for a run without a plan."""

    def __init__(self, engine: Engine, now: Clock, cap_microusd: int) -> None:
        self._engine = engine
        self._reader = reading(engine)
        self._now = now
        self._fleet = Fleet(engine, now)
        self.cap_microusd = cap_microusd

    def spender(self, bearer: str) -> Spender | None:
        """The agent that a bearer belongs to; None for a bearer that was never issued or is revoked."""
        row = self._fleet.agent_of_bearer(hashlib.sha256(bearer.encode()).hexdigest()) if bearer else None
        return Spender(row.run, row.agent, row.vm) if row else None

    def reserve(self, run: RunId, agent: AgentLabel, model: str, microusd: int) -> str | None:
        """Set the worst price of a call aside; its id, or None when the run's cap would be passed."""
        call = uuid.uuid4().hex
        with self._engine.begin() as db:
            # The row of the build serialises two calls on Postgres; SQLite has one writer anyway.
            db.execute(select(runs.c.id).where(runs.c.id == run).with_for_update())
            if self._committed(db, run) + microusd > self._cap(db, run):
                return None
            db.execute(
                insert(usage).values(
                    id=call,
                    run=run,
                    agent=agent,
                    model=model,
                    reserved_microusd=microusd,
                    at=self._now(),
                    input=0,
                    output=0,
                    cache_read=0,
                    cache_write=0,
                    broken=False,
                )
            )
        return call

    def settle(self, call: str, tokens: Tokens) -> None:
        """The call ended; it cost `tokens.cost_microusd`."""
        with self._engine.begin() as db:
            db.execute(
                update(usage)
                .where(usage.c.id == call)
                .values(
                    settled_microusd=tokens.cost_microusd,
                    input=tokens.input,
                    output=tokens.output,
                    cache_read=tokens.cache_read,
                    cache_write=tokens.cache_write,
                )
            )

    def settle_broken(self, call: str, tokens: Tokens) -> None:
        """The upstream broke off: the call is charged as reserved, with the tokens that were seen."""
        with self._engine.begin() as db:
            db.execute(
                update(usage)
                .where(usage.c.id == call)
                .values(
                    settled_microusd=usage.c.reserved_microusd,
                    broken=True,
                    input=tokens.input,
                    output=tokens.output,
                    cache_read=tokens.cache_read,
                    cache_write=tokens.cache_write,
                )
            )

    def cap_of(self, run: RunId) -> int:
        """What this build may spend: what its plan says, or as every build."""
        with self._engine.begin() as db:
            return self._cap(db, run)

    def _cap(self, db: Connection, run: RunId) -> int:
        facts = db.execute(select(runs.c.result).where(runs.c.id == run)).scalar() or {}
        return int(facts.get("plan", {}).get("budget_microusd", self.cap_microusd))

    def committed_microusd(self, run: RunId) -> int:
        """Spent plus reserved."""
        with self._reader.begin() as db:
            return self._committed(db, run)

    def by_agent(self, run: RunId) -> dict[AgentLabel, Tokens]:
        """What each agent of a run has used; open calls count as reserved."""
        query = (
            select(
                usage.c.agent,
                func.sum(usage.c.input),
                func.sum(usage.c.output),
                func.sum(usage.c.cache_read),
                func.sum(usage.c.cache_write),
                func.sum(func.coalesce(usage.c.settled_microusd, usage.c.reserved_microusd)),
            )
            .where(usage.c.run == run)
            .group_by(usage.c.agent)
        )
        with self._reader.begin() as db:
            return {AgentLabel(row[0]): Tokens(*(int(n) for n in row[1:])) for row in db.execute(query)}

    @staticmethod
    def _committed(db: Connection, run: RunId) -> int:
        total = func.sum(func.coalesce(usage.c.settled_microusd, usage.c.reserved_microusd))
        return int(db.execute(select(total).where(usage.c.run == run)).scalar() or 0)
