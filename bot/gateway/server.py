"""Both services on loopback ports of this process, and the dials by which a machine's connection reaches them."""

import socket
import time
from collections.abc import Callable, Iterable
from functools import partial
from types import TracebackType
from typing import Self

import httpx

from bot.core.models import VmId
from bot.gateway.accounts import Accounts
from bot.gateway.answers import Memory
from bot.gateway.limiter import Limiter
from bot.gateway.llm import LIMIT_BYTES, create_app
from bot.gateway.places import CONNECTIONS, Places
from bot.gateway.registry import Refused, RegistryProxy
from bot.gateway.upstream import Upstream
from bot.serving import Serving
from bot.vms.base import Dial

_CONNECTIONS = 1000  # a connection that idles costs nothing; each call that runs holds a thread


class Callers:
    """Which machine each connection comes from. A machine cannot say it itself: it does not see these sockets."""

    def __init__(self) -> None:
        self._vms: dict[int, VmId] = {}
        self._places = Places(CONNECTIONS)

    def vm_of(self, source_port: int) -> VmId | None:
        """The machine behind a connection's source port; None for a connection that no dial of ours made."""
        return self._vms.get(source_port)

    def dial(self, vm: VmId, address: tuple[str, int]) -> socket.socket:
        """Connect to a service of ours in the name of a machine; known until the socket is closed.

        Raises:
            ConnectionRefusedError: the machine has as many connections to the service as it may.
        """
        if not self._places.take((vm, address)):
            raise ConnectionRefusedError(f"machine {vm} has {CONNECTIONS} connections open already")
        sock = _Known(self._vms, partial(self._places.leave, (vm, address)))
        try:
            sock.bind(("127.0.0.1", 0))
            sock.enter(vm)  # before the service can see the connection
            sock.connect(address)
        except BaseException:
            sock.close()
            raise
        return sock


class _Known(socket.socket):
    """A socket whose source port stands in a table while it is open. `leave` is called once, when it is closed."""

    def __init__(self, table: dict[int, VmId], leave: Callable[[], None]) -> None:
        super().__init__(socket.AF_INET, socket.SOCK_STREAM)
        self._table = table
        self._leave: Callable[[], None] | None = leave
        self._port: int | None = None

    def enter(self, vm: VmId) -> None:
        self._port = self.getsockname()[1]
        self._table[self._port] = vm

    def close(self) -> None:
        # The entry goes first: from the moment the port is free it may belong to anybody.
        if self._port is not None:
            self._table.pop(self._port, None)
            self._port = None
        super().close()
        leave, self._leave = self._leave, None
        if leave:
            leave()


class Gateway:
    """The model gateway and the registry proxy, running. `close` ends both."""

    def __init__(
        self,
        *,
        accounts: Accounts,
        anthropic_url: str,
        anthropic_key: str,
        max_tokens: int,
        budget_usd: float,
        registry_hosts: Iterable[str],
        refused: Refused,
        threads: int = 96,
        ping_s: float = 5.0,
        hold_s: float = 3.0,
        patience_s: float = 300.0,
        idle_s: float = 120.0,
        first_wait_s: float = 0.5,
        keep_s: float = 600.0,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        """
        Args:
            accounts: who may spend, and how much.
            anthropic_url: base URL of the Messages API, without /v1.
            anthropic_key: the real key.
            max_tokens: ceiling of one answer.
            budget_usd: the cap of one build, for the sentence of those who reach it.
            registry_hosts: see `RegistryProxy`.
            refused: told of each refusal of the registry proxy.
            threads: model calls that may be under way at once.
            ping_s: pause between the pings of a call that has to wait.
            hold_s: how long an answer may take to begin before pings start.
            patience_s: how long a call that the provider cannot take now is tried again.
            idle_s: a silent stream has broken after so long.
            first_wait_s: pause before the second try.
            keep_s: how long an answer is kept for who asks again.
            transport: another way to speak HTTP to the provider.
        """
        self._callers = Callers()
        self._upstream = Upstream(
            url=anthropic_url,
            api_key=anthropic_key,
            accounts=accounts,
            memory=Memory(keep_s=keep_s),
            limiter=Limiter(time.time),
            over_budget=over_budget(budget_usd),
            patience_s=patience_s,
            idle_s=idle_s,
            first_wait_s=first_wait_s,
            transport=transport,
        )
        app = create_app(
            accounts=accounts,
            upstream=self._upstream,
            caller=self._callers.vm_of,
            max_tokens=max_tokens,
            ping_s=ping_s,
            hold_s=hold_s,
        )
        self._models = Serving(
            app,
            name="llm-gateway",
            threads=threads,
            connection_limit=_CONNECTIONS,
            max_request_body_size=LIMIT_BYTES + 1,
            channel_timeout=300,
            ident=None,
        )
        self.llm_address = self._models.address
        self._registry = RegistryProxy(registry_hosts, caller=self._callers.vm_of, refused=refused)
        self.registry_address = self._registry.address

    def llm_dial(self, vm: VmId) -> Dial:
        """Opens connections to the model gateway that are known to come from this machine."""
        return lambda: self._callers.dial(vm, self.llm_address)

    def registry_dial(self, vm: VmId) -> Dial:
        """Opens connections to the registry proxy that are known to come from this machine."""
        return lambda: self._callers.dial(vm, self.registry_address)

    def close(self) -> None:
        self._upstream.close()
        self._registry.close()
        self._models.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def over_budget(budget_usd: float) -> str:
    """What an agent is told when its build's cap would be passed: worded like an empty account, which pi does not
    try again after.
    """
    return (
        f"Your credit balance is too low: this build's budget of {budget_usd:.2f} US dollars (RUN_BUDGET_USD) "
        "does not cover another call."
    )
