"""The way to the provider: each call in a thread of its own, read to its end and settled whoever is still listening."""

import hashlib
import logging
import threading
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass

import httpx
import stamina

from bot.core.errors import Transient, TranslationTable, translate
from bot.core.models import Spender, Tokens
from bot.core.usage import charge, tokens_from_usage
from bot.gateway.accounts import Accounts
from bot.gateway.answers import Answer, Head, Memory
from bot.gateway.limiter import Limiter
from bot.gateway.messages import (
    OVERLOADED,
    ModelCall,
    UsageReader,
    error_body,
    error_event,
    error_type,
    usage_of,
)
from bot.gateway.places import CALLS, TOO_MANY_CALLS, Places

log = logging.getLogger(__name__)

_CONNECT_TIMEOUT_S = 10.0
_WRITE_TIMEOUT_S = 60.0
_JSON = "application/json"
_LONGEST_RETRY_AFTER_S = 300.0


class Unsent(Transient):
    """The call did not reach the provider."""


class Broken(Transient):
    """The call was sent, and what became of it is not known: it is charged as reserved."""


FOREIGN: TranslationTable = {
    httpx.ConnectError: Unsent,
    httpx.ConnectTimeout: Unsent,
    httpx.PoolTimeout: Unsent,
    httpx.UnsupportedProtocol: Unsent,
    httpx.LocalProtocolError: Unsent,
    httpx.HTTPError: Broken,
    httpx.InvalidURL: Unsent,
    httpx.CookieConflict: Unsent,
    httpx.StreamError: Broken,
}


class Refused(Transient):
    """The provider answered that it cannot now, before the first byte of an answer."""

    def __init__(self, status: int, body: bytes, retry_after_s: float | None) -> None:
        super().__init__(f"the model's provider answered {status}", retry_after_s=retry_after_s)
        self.status = status
        self.body = body


@dataclass(frozen=True, slots=True)
class Asked:
    """One call as a machine asked for it. `query` is the raw query string, `headers` those that go along."""

    spender: Spender
    call: ModelCall
    raw: bytes
    query: str
    headers: Mapping[str, str]

    @property
    def key(self) -> bytes:
        """The same agent asking byte for byte the same has the same key."""
        parts = (self.spender.run.encode(), self.spender.agent.encode(), self.query.encode(), self.raw)
        return hashlib.sha256(b"\0".join(hashlib.sha256(part).digest() for part in parts)).digest()


class Upstream:
    """Sends calls to the provider, meters them, and remembers their answers. Thread-safe."""

    def __init__(
        self,
        *,
        url: str,
        api_key: str,
        accounts: Accounts,
        memory: Memory,
        limiter: Limiter,
        over_budget: str,
        patience_s: float,
        idle_s: float,
        first_wait_s: float = 0.5,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        """
        Args:
            url: base URL of the Messages API, without /v1.
            api_key: the real key; it goes nowhere but into the header of a call.
            accounts: where calls are reserved and settled.
            memory: answers that are in the making or were given lately.
            limiter: this key's rate limit.
            over_budget: what an agent is told when the run's cap would be passed.
            patience_s: how long a call that the provider cannot take now is tried again.
            idle_s: a stream that is silent for so long has broken.
            first_wait_s: pause before the second try where the provider names none.
            transport: another way to speak HTTP.
        """
        self._url = url.rstrip("/") + "/v1/messages"
        self._api_key = api_key
        self._accounts = accounts
        self._memory = memory
        self._limiter = limiter
        self._over_budget = over_budget
        self._patience_s = patience_s
        self._first_wait_s = first_wait_s
        self._places = Places(CALLS)  # a call goes on when its machine has hung up
        self._stopping = threading.Event()
        self._http = httpx.Client(
            transport=transport,
            timeout=httpx.Timeout(idle_s, connect=_CONNECT_TIMEOUT_S, write=_WRITE_TIMEOUT_S, pool=None),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=20),
        )

    def ask(self, asked: Asked) -> Answer:
        """The answer to a call: the one in memory, or a new one that is being fetched."""
        answer, new = self._memory.find_or_begin(asked.key)
        if not new:
            log.info("answered from memory: run=%s agent=%s", asked.spender.run, asked.spender.agent)
            return answer
        spender, call = asked.spender, asked.call
        if not self._places.take(spender.vm):
            self._memory.forget(asked.key)
            _whole(answer, 429, error_body(error_type(429), TOO_MANY_CALLS))
            return answer
        try:
            reserved = self._accounts.reserve(spender.run, spender.agent, call.model, call.worst_microusd)
        except BaseException:
            self._places.leave(spender.vm)
            self._memory.forget(asked.key)
            answer.end()
            raise
        if reserved is None:
            self._places.leave(spender.vm)
            self._memory.forget(asked.key)
            _whole(answer, 400, error_body(error_type(400), self._over_budget))
            return answer
        threading.Thread(
            target=self._run, args=(asked, answer, reserved), name="model-call", daemon=True
        ).start()
        return answer

    def close(self) -> None:
        """Calls that are open break, and are charged as reserved."""
        self._stopping.set()
        self._http.close()

    # One call, in its thread -----------------------------------------------------------------------

    def _run(self, asked: Asked, answer: Answer, reserved: str) -> None:
        kept = False
        try:
            kept = self._carry(asked, answer, reserved)
        finally:
            self._places.leave(asked.spender.vm)
            if kept:
                self._memory.keep(asked.key)
            else:
                self._memory.forget(asked.key)
            answer.end()

    def _carry(self, asked: Asked, answer: Answer, reserved: str) -> bool:
        """Send the call, pass its answer on, settle it; whether the answer is whole."""
        try:
            response = self._send(asked, answer)
        except Refused as refused:
            self._accounts.settle(reserved, Tokens())
            _whole(answer, refused.status, refused.body)
            return False
        except Unsent as error:
            self._accounts.settle(reserved, Tokens())
            _whole(answer, 529, error_body(OVERLOADED, f"the model's provider is not reachable: {error}"))
            return False
        except Broken as error:
            self._accounts.settle_broken(reserved, Tokens())
            _whole(answer, 529, error_body(OVERLOADED, f"the model's provider broke off: {error}"))
            return False
        try:
            if not response.is_success:
                return self._refusal(response, answer, reserved)
            if asked.call.stream:
                return self._stream(response, asked.call, answer, reserved)
            return self._message(response, asked.call, answer, reserved)
        finally:
            response.close()

    def _refusal(self, response: httpx.Response, answer: Answer, reserved: str) -> bool:
        self._accounts.settle(reserved, Tokens())
        try:
            with translate(FOREIGN, "reading the provider's refusal"):
                body = response.read()
        except Transient:
            body = b""
        _whole(
            answer, response.status_code, body or error_body(error_type(response.status_code), "no reason given")
        )  # fmt: skip
        return False

    def _stream(self, response: httpx.Response, call: ModelCall, answer: Answer, reserved: str) -> bool:
        reader = UsageReader()
        problem = "the answer ended before its end"
        begun = False
        try:
            with translate(FOREIGN, "reading the answer"):
                for data in response.iter_raw():
                    if not begun:  # only now: until then whoever waits is sent pings
                        answer.start(_head(response))
                        begun = True
                    reader.feed(data)
                    answer.append(data)
        except Transient as error:
            problem = str(error)
        if reader.complete:
            self._accounts.settle(reserved, charge(call.price, reader.usage))
            return True
        if reader.failed and not reader.usage:
            self._accounts.settle(reserved, Tokens())  # refused before the model began
            return False
        self._accounts.settle_broken(reserved, tokens_from_usage(reader.usage))
        body = error_body(OVERLOADED, f"the model's provider broke off: {problem}")
        if not begun:
            _whole(answer, 529, body)
        elif not reader.failed:
            end_of_event = b"" if reader.between_events else b"\n\n"
            answer.append(end_of_event + error_event(body, 529))
        return False

    def _message(self, response: httpx.Response, call: ModelCall, answer: Answer, reserved: str) -> bool:
        try:
            with translate(FOREIGN, "reading the answer"):
                body = b"".join(response.iter_raw())
        except Transient as error:
            self._accounts.settle_broken(reserved, Tokens())
            _whole(answer, 529, error_body(OVERLOADED, f"the model's provider broke off: {error}"))
            return False
        usage = usage_of(body)
        if usage is None:
            self._accounts.settle_broken(reserved, Tokens())
        else:
            self._accounts.settle(reserved, charge(call.price, usage))
        answer.start(_head(response))
        answer.append(body)
        return usage is not None

    # Sending ---------------------------------------------------------------------------------------

    def _send(self, asked: Asked, answer: Answer) -> httpx.Response:
        """The beginning of an answer, after as many tries as the patience allows.

        Raises:
            Refused: the provider could not for so long.
            Unsent: it could not be reached for so long.
            Broken: it broke off after the call was sent.
        """

        def again(error: Exception) -> bool | float:
            if self._stopping.is_set() or not isinstance(error, Refused | Unsent):
                return False
            answer.wait()
            return True if error.retry_after_s is None else min(error.retry_after_s, _LONGEST_RETRY_AFTER_S)

        for attempt in stamina.retry_context(
            on=again, attempts=None, timeout=self._patience_s,
            wait_initial=self._first_wait_s, wait_max=20.0, wait_jitter=self._first_wait_s / 2,
        ):  # fmt: skip
            with attempt:
                self._wait_for_turn(asked, answer)
                return self._try(asked)
        raise AssertionError("the retry loop ends by returning or raising")

    def _wait_for_turn(self, asked: Asked, answer: Answer) -> None:
        while (wait_s := self._limiter.take(len(asked.call.body))) > 0:
            answer.wait()
            if self._stopping.wait(wait_s):
                raise Unsent("the gateway is closing")

    def _try(self, asked: Asked) -> httpx.Response:
        with translate(FOREIGN, "calling the model's provider"):
            request = self._http.build_request(
                "POST",
                self._url + (f"?{asked.query}" if asked.query else ""),
                content=asked.call.body,
                headers={
                    **asked.headers,
                    "x-api-key": self._api_key,
                    "accept-encoding": "identity",  # compressed bytes would arrive in lumps
                    "user-agent": "swarm-build",
                    "x-swarm-run": asked.spender.run,
                    "x-swarm-agent": asked.spender.agent,
                },
            )
            response = self._http.send(request, stream=True)
            self._limiter.observe(response.headers)
            status = response.status_code
            if status != 429 and status < 500:
                return response
            with closing(response):
                body = response.read()
        retry_after = _seconds(response.headers.get("retry-after"))
        if status == 429 and retry_after is not None:
            self._limiter.hold(retry_after)
        raise Refused(status, body or error_body(error_type(status), "no reason given"), retry_after)


def _whole(answer: Answer, status: int, body: bytes) -> None:
    answer.start(Head(status, _JSON))
    answer.append(body)
    answer.end()


def _head(response: httpx.Response) -> Head:
    headers = response.headers
    return Head(response.status_code, headers.get("content-type", _JSON), headers.get("request-id", ""))


def _seconds(header: str | None) -> float | None:
    try:
        return max(float(header), 0.0) if header else None
    except ValueError:
        return None  # a date: nobody sends one here, and the backoff does as well
