"""The port to the money: who may spend, and what is set aside and settled. The journal implements it."""

from typing import Protocol

from bot.core.models import AgentLabel, RunId, Spender, Tokens


class Accounts(Protocol):
    """Bearers and budgets. Every method is one transaction; safe to use from several threads."""

    def spender(self, bearer: str) -> Spender | None:
        """The agent that a bearer belongs to; None for one that was never issued or is revoked."""
        ...

    def reserve(self, run: RunId, agent: AgentLabel, model: str, microusd: int) -> str | None:
        """Set the worst price of a call aside; its id, or None when the run's cap would be passed."""
        ...

    def settle(self, call: str, tokens: Tokens) -> None:
        """The call ended; it cost `tokens.cost_microusd`."""
        ...

    def settle_broken(self, call: str, tokens: Tokens) -> None:
        """The other side broke off: the call is charged as reserved, with the tokens that were seen."""
        ...
