"""Requests to Vers' API, and which of them may be repeated."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import httpx
import stamina

from bot.core.errors import Permanent, Transient, TranslationTable, translate
from bot.vms import wire

READ_TIMEOUT_S = 30.0
CREATE_TIMEOUT_S = 330.0  # Vers' own Terraform provider gives a create five minutes
_CONNECT_TIMEOUT_S = 10.0


class NotSent(Transient):
    """The request never reached the other side, so that it may be repeated whatever it asks for."""


FOREIGN: TranslationTable = {
    httpx.ConnectError: NotSent,
    httpx.ConnectTimeout: NotSent,
    httpx.PoolTimeout: NotSent,
    httpx.UnsupportedProtocol: Permanent,
    httpx.LocalProtocolError: Permanent,
    httpx.TransportError: Transient,
    httpx.HTTPError: Permanent,
    httpx.InvalidURL: Permanent,
    httpx.CookieConflict: Permanent,
    httpx.StreamError: Permanent,
}


class Calls:
    """One key's requests. Only 408, 429, 5xx and transport errors are repeated, and only where that is safe."""

    def __init__(
        self,
        url: str,
        api_key: str,
        *,
        transport: httpx.BaseTransport | None,
        patience_s: float,
        first_wait_s: float,
        new_key: Callable[[], str],
        now: Callable[[], float],
    ) -> None:
        """The arguments are those of `VersProvider`."""
        self._patience_s = patience_s
        self._first_wait_s = first_wait_s
        self._new_key = new_key
        self._now = now
        self._http = httpx.Client(
            base_url=url.rstrip("/").removesuffix("/api/v1") + "/api/v1",
            headers={"authorization": f"Bearer {api_key}", "user-agent": "swarm-build"},
            transport=transport,
        )

    def close(self) -> None:
        """End the connections."""
        self._http.close()

    def creating(self, path: str, doing: str, json: Any, params: Mapping[str, str]) -> bytes:
        """A call that makes something: repeated only if it was never sent, for a lost answer says nothing of its effect."""
        return self.repeatable(
            "POST", path, doing, json=json, params=params, timeout_s=CREATE_TIMEOUT_S, again=NotSent
        )

    def repeatable(
        self,
        method: str,
        path: str,
        doing: str,
        *,
        json: Any = None,
        params: Mapping[str, str] | None = None,
        timeout_s: float = READ_TIMEOUT_S,
        again: type[Transient] = Transient,
    ) -> bytes:
        """A call that may happen twice, unless `again` says when; the body of its answer. `doing` begins an error's message.

        Raises:
            BotError: a refusal or a lost connection, after the last try.
        """
        headers = {} if method == "GET" else {"x-idempotency-key": self._new_key()}
        request = self._http.build_request(
            method,
            path,
            json=json,
            params=params,
            headers=headers,
            timeout=httpx.Timeout(timeout_s, connect=_CONNECT_TIMEOUT_S),
        )
        for attempt in self._attempts(again):
            with attempt:
                return self._send(request, doing)
        raise AssertionError("the retry loop ends by returning or raising")

    def _attempts(self, again: type[Transient]) -> Iterator[stamina.Attempt]:
        def wait(error: Exception) -> bool | float:
            if not isinstance(error, again):
                return False
            if error.retry_after_s is None:
                return True
            return error.retry_after_s if error.retry_after_s <= self._patience_s else False

        return iter(
            stamina.retry_context(
                on=wait,
                attempts=12,
                timeout=self._patience_s,
                wait_initial=self._first_wait_s,
                wait_jitter=self._first_wait_s / 2,
                wait_max=15.0,
            )
        )

    def _send(self, request: httpx.Request, doing: str) -> bytes:
        with translate(FOREIGN, doing):
            response = self._http.send(request)
            if response.is_success:
                return response.content
            retry_after = response.headers.get("retry-after")
            raise wire.refusal(response.status_code, response.content, retry_after, self._now(), doing)
