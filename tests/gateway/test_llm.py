"""The model gateway by its front door: real HTTP through a dial, a real provider behind it."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from bot.core.models import AgentLabel, RunId, Spender, Tokens, VmId
from bot.core.usage import cost, price
from bot.gateway.places import CALLS, CONNECTIONS, TOO_MANY_CALLS
from bot.gateway.server import Gateway
from bot.gateway.upstream import FOREIGN
from tests.gateway.upstream import Provider, Purse, Reply, message, refusal
from tests.waiting import wait_until

MODEL = "claude-sonnet-4-6"
VM, OTHER = VmId("vm-a"), VmId("vm-b")
ALICE = Spender(RunId("run1"), AgentLabel("architect"), VM)
BOB = Spender(RunId("run1"), AgentLabel("server"), OTHER)
USED = Tokens(input=10, output=7, cache_read=1000, cache_write=100)


class World:
    """A gateway between machines and a scripted provider."""

    def __init__(self, *replies: Reply, **options: Any) -> None:
        self.provider = Provider(*replies)
        self.purse = Purse({"alice": ALICE, "bob": BOB})
        options = {
            "ping_s": 0.05,
            "hold_s": 5.0,
            "first_wait_s": 0.02,
            "patience_s": 10.0,
            "threads": 8,
            **options,
        }
        self.gateway = Gateway(
            accounts=self.purse, anthropic_url=self.provider.url, anthropic_key="real-key", max_tokens=1000,
            budget_usd=10.0, registry_hosts=(), refused=lambda vm, what: None, **options,
        )  # fmt: skip

    def close(self) -> None:
        self.gateway.close()
        self.provider.close()

    def connect(self, vm: VmId | None = VM) -> socket.socket:
        """The connection that a machine's process gets through its forwarded port."""
        if vm is None:
            return socket.create_connection(self.gateway.llm_address)
        return self.gateway.llm_dial(vm)()

    def ask(self, **options: Any) -> "Call":
        return Call(self, **options)

    def settled(self) -> Tokens:
        """What the one call cost."""
        wait_until(lambda: self.purse.settled or self.purse.broken, 10, "the call is settled")
        [tokens] = self.purse.settled.values()
        assert isinstance(tokens, Tokens)
        return tokens


class Call:
    """One request over a connection of its own, read as it arrives."""

    def __init__(
        self,
        world: World,
        *,
        vm: VmId | None = VM,
        bearer: str = "alice",
        path: str = "/v1/messages?beta=true",
        method: str = "POST",
        headers: dict[str, str] | None = None,
        raw: bytes | None = None,
        **fields: Any,
    ) -> None:
        body = {"model": MODEL, "max_tokens": 500, "stream": True, "messages": [], **fields}
        raw = json.dumps(body).encode() if raw is None else raw
        given = {"x-api-key": bearer} if headers is None else headers
        lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", f"Content-Length: {len(raw)}"]
        lines += [f"{name}: {value}" for name, value in given.items()]
        self.sock = world.connect(vm)
        self.sock.settimeout(10)
        self.sock.sendall("\r\n".join([*lines, "", ""]).encode() + raw)
        self._file = self.sock.makefile("rb")
        self.status = int(self._file.readline().split()[1])
        self.headers: dict[str, str] = {}
        while line := self._file.readline().decode().strip():
            name, _, value = line.partition(":")
            self.headers[name.lower()] = value.strip()

    def pieces(self) -> Iterator[bytes]:
        """The body, chunk by chunk as the gateway sends it."""
        if "content-length" in self.headers:
            yield self._file.read(int(self.headers["content-length"]))
            return
        while size := int(self._file.readline() or b"0", 16):
            yield self._file.read(size)
            self._file.readline()

    def read(self) -> bytes:
        with self.sock:
            return b"".join(self.pieces())

    def drop(self) -> None:
        """The line is cut."""
        self._file.close()
        self.sock.close()

    @property
    def error(self) -> tuple[str, str]:
        error = json.loads(self.read())["error"]
        return error["type"], error["message"]


@contextmanager
def world(*replies: Reply, **options: Any) -> Iterator[World]:
    made = World(*replies, **options)
    try:
        yield made
    finally:
        made.close()


def events(data: bytes) -> list[dict[str, Any]]:
    return [json.loads(line[5:]) for line in data.decode().split("\n") if line.startswith("data:")]


def kinds(data: bytes) -> list[str]:
    return [event["type"] for event in events(data)]


# Passing through -------------------------------------------------------------------------------------


def test_events_arrive_while_the_provider_is_still_writing() -> None:
    """Nothing is buffered: the beginning is here although the end has not been sent."""
    gate = threading.Event()
    with world(Reply(gate=gate)) as w:
        call = w.ask()
        stream = call.pieces()
        first = next(stream)
        while b"content_block_start" not in first:
            first += next(stream)
        assert kinds(first) == ["message_start", "content_block_start"]
        gate.set()
        assert kinds(b"".join(stream))[-1] == "message_stop"
        assert call.headers["content-type"].startswith("text/event-stream")
        assert call.headers["request-id"] == "req_1"


def test_the_answer_is_passed_on_byte_for_byte() -> None:
    """What the agent reads is what the provider wrote."""
    sent = message("ä\u2028…")
    with world(Reply(events=sent)) as w:
        assert events(w.ask().read()) == sent


def test_what_goes_to_the_provider() -> None:
    """Query and anthropic-* headers go along; credentials and all else stay here; run and agent are named."""
    headers = {
        "authorization": "Bearer alice", "anthropic-version": "2023-06-01", "anthropic-beta": "x-1",
        "cookie": "secret=1", "x-stainless-os": "Linux", "proxy-authorization": "Basic x", "x-swarm-run": "forged",
    }  # fmt: skip
    with world() as w:
        w.ask(headers=headers, path="/v1/messages?beta=true&x=%2F").read()
        [got] = w.provider.received
    assert got.path == "/v1/messages?beta=true&x=%2F"
    assert got.headers.pop("host")
    assert got.headers.pop("content-length") == str(len(got.body))
    assert got.headers.pop("connection")
    assert got.headers.pop("accept")
    assert got.headers == {
        "x-api-key": "real-key", "anthropic-version": "2023-06-01", "anthropic-beta": "x-1",
        "content-type": "application/json", "accept-encoding": "identity", "user-agent": "swarm-build",
        "x-swarm-run": "run1", "x-swarm-agent": "architect",
    }  # fmt: skip
    assert b"alice" not in got.body


def test_max_tokens_is_clamped_on_the_way() -> None:
    """The operator's ceiling, whatever the agent asks for."""
    with world() as w:
        w.ask(max_tokens=64_000).read()
        assert json.loads(w.provider.received[0].body)["max_tokens"] == 1000


def test_a_call_without_a_stream_is_passed_on_and_metered() -> None:
    """The whole message, and its usage."""
    with world() as w:
        call = w.ask(stream=False)
        assert call.status == 200
        assert json.loads(call.read())["usage"]["output_tokens"] == 4
        assert (w.settled().input, w.settled().output) == (3, 4)


# Who ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("vm", "headers"),
    [
        (VM, {"x-api-key": "mallory"}),
        (VM, {}),
        (VM, {"authorization": "Basic alice"}),
        (VM, {"x-api-key": "bob"}),
        (OTHER, {"x-api-key": "alice"}),
        (None, {"x-api-key": "alice"}),
    ],
)
def test_bearer_and_connection_must_name_the_same_machine(vm: VmId | None, headers: dict[str, str]) -> None:
    """Unknown bearer, none, another machine's, and one that somebody on this host uses past the dial."""
    with world() as w:
        call = w.ask(vm=vm, headers=headers)
        assert call.status == 401
        assert call.error[0] == "authentication_error"
        assert w.provider.received == []


def test_a_connection_is_forgotten_when_it_ends() -> None:
    """The source port is nobody's any more."""
    with world() as w:
        sock = w.connect()
        port = sock.getsockname()[1]
        callers = w.gateway._callers
        assert callers.vm_of(port) == VM
        sock.close()
        assert callers.vm_of(port) is None


def test_a_machine_has_its_connections_and_no_more() -> None:
    """Beyond them it is refused; another machine is not, and a place that is given back is free."""
    with world() as w:
        held = [w.connect() for _ in range(CONNECTIONS)]
        with pytest.raises(ConnectionRefusedError):
            w.connect()
        assert w.ask(vm=OTHER, bearer="bob").read()
        for sock in held:
            sock.close()
            sock.close()
        assert w.ask().read()


def test_a_machine_has_its_calls_and_no_more() -> None:
    """One more is told to come later, in Anthropic's words; who hung up still holds what the provider is writing."""
    gate = threading.Event()
    with world(Reply(gate=gate), threads=2 * CALLS) as w:
        running = [w.ask(temperature=n / 10) for n in range(CALLS)]
        assert w.ask(temperature=0.9).error == ("rate_limit_error", TOO_MANY_CALLS)
        same = w.ask(temperature=0.0)
        assert same.status == 429, "nor may it wait for the same answer many times"
        for call in running:
            call.drop()
        other = w.ask(vm=OTHER, bearer="bob", temperature=0.9)
        assert other.status == 200
        assert w.ask(temperature=0.9).status == 429
        gate.set()
        other.read()
        wait_until(lambda: len(w.purse.settled) == CALLS + 1, 10, "all are settled")
        wait_until(lambda: w.ask(temperature=0.9).status == 200, 10, "a place is free again")


def test_nothing_else_is_served() -> None:
    """404 in Anthropic's shape; only the health check answers anybody."""
    with world() as w:
        for method, path in [
            ("GET", "/v1/messages"),
            ("POST", "/v1/messages/count_tokens"),
            ("POST", "/v1/files"),
        ]:
            call = w.ask(method=method, path=path)
            assert call.status in (404, 405)
            assert json.loads(call.read())["type"] == "error"
        assert w.ask(vm=None, method="GET", path="/healthz").read() == b"ok\n"
        assert w.provider.received == []


def test_an_unpriced_model_is_refused() -> None:
    """400, before anything is reserved or sent."""
    with world() as w:
        call = w.ask(model="claude-next")
        assert call.status == 400
        assert "price table" in call.error[1]
        assert (w.provider.received, w.purse.reserved) == ([], {})


# Money -------------------------------------------------------------------------------------------------


def test_a_call_is_settled_from_its_final_usage() -> None:
    """The counts of message_delta replace those of message_start; the price is the table's."""
    with world() as w:
        w.ask().read()
        listed = price(MODEL)
        assert listed
        assert w.settled() == Tokens(10, 7, 1000, 100, cost(listed, USED))
        assert w.purse.reserved["call-0"] > w.settled().cost_microusd


def test_beyond_the_cap_the_agent_is_told_so() -> None:
    """The 400 of an empty account, which pi does not try again after; nothing is sent."""
    with world() as w:
        w.purse.cap_microusd = 100
        call = w.ask()
        assert call.status == 400
        kind, text = call.error
        assert kind == "invalid_request_error"
        assert text.startswith("Your credit balance is too low")
        assert "budget of 10.00 US dollars (RUN_BUDGET_USD)" in text
        assert w.provider.received == []


def test_a_cut_answer_is_charged_as_reserved_and_ends_in_an_error() -> None:
    """The agent gets what came, then an error event that it tries again after; the next try is a new call."""
    cut = Reply(events=message(stop=False)[:4], cut=True)
    with world(cut, Reply()) as w:
        data = w.ask().read()
        assert kinds(data)[0] == "message_start"
        assert events(data)[-1]["error"]["type"] == "overloaded_error"
        wait_until(lambda: w.purse.broken, 10, "the call is charged")
        assert (w.purse.settled, list(w.purse.broken)) == ({}, ["call-0"])
        assert kinds(w.ask().read())[-1] == "message_stop"
        assert len(w.provider.received) == 2


def test_a_stream_that_ends_early_or_falls_silent_is_broken() -> None:
    """No message_stop, no success: whether the provider closes cleanly or says nothing for too long."""
    gate = threading.Event()
    with world(Reply(events=message(stop=False)), Reply(gate=gate), idle_s=0.3) as w:
        for number in (1, 2):
            assert events(w.ask().read())[-1]["error"]["type"] == "overloaded_error"
            wait_until(lambda number=number: len(w.purse.broken) == number, 10, "charged")
        gate.set()


def test_an_error_event_before_the_model_began_costs_nothing() -> None:
    """The provider's own error event is passed on as it is."""
    error = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    with world(Reply(events=[error])) as w:
        assert events(w.ask().read()) == [error]
        assert w.settled() == Tokens()


@pytest.mark.parametrize(("status", "kind"), [(400, "invalid_request_error"), (401, "authentication_error"),
                                              (403, "permission_error"), (404, "not_found_error")])  # fmt: skip
def test_a_final_refusal_is_passed_on_as_it_is(status: int, kind: str) -> None:
    """With its status, for streams too; nothing is charged or tried again."""
    with world(refusal(status, kind, "why")) as w:
        call = w.ask()
        assert (call.status, call.error) == (status, (kind, "why"))
        assert w.settled() == Tokens()
        assert len(w.provider.received) == 1


# Lost lines --------------------------------------------------------------------------------------------


def test_a_call_cut_by_a_lost_line_is_paid_once() -> None:
    """It is read to its end without a listener, and the same question is answered from memory."""
    gate = threading.Event()
    with world(Reply(gate=gate)) as w:
        call = w.ask()
        next(call.pieces())
        call.drop()
        gate.set()
        assert w.settled().output == 7
        assert events(w.ask().read()) == message()
        assert len(w.provider.received) == 1
        assert len(w.purse.reserved) == 1


def test_a_call_that_is_still_running_is_joined() -> None:
    """Asking again while the answer is being made gives the same answer from its first byte."""
    gate = threading.Event()
    with world(Reply(gate=gate)) as w:
        first = w.ask()
        next(first.pieces())
        first.drop()
        second = w.ask()
        gate.set()
        assert events(second.read()) == message()
        assert len(w.provider.received) == 1


def test_only_the_same_agent_asking_the_same_is_answered_from_memory() -> None:
    """Another agent, another byte or another query is a call of its own; and memory ends."""
    with world(keep_s=0.2) as w:
        w.ask().read()
        w.ask(vm=OTHER, bearer="bob").read()
        w.ask(max_tokens=501).read()
        w.ask(path="/v1/messages").read()
        assert len(w.provider.received) == 4
        time.sleep(0.25)  # the one thing under test here is that time passes
        w.ask().read()
        assert len(w.provider.received) == 5


# Limits ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [429, 500, 503, 529])
def test_a_provider_that_cannot_now_is_asked_again_while_pings_flow(status: int) -> None:
    """The agent sees one answer that begins late; one call is reserved and settled."""
    with world(refusal(status, "x", retry_after="0.2"), Reply()) as w:
        call = w.ask()
        assert call.status == 200
        seen = kinds(call.read())
        assert seen[0] == "ping"
        assert seen[-1] == "message_stop"
        assert seen.count("message_start") == 1
        assert len(w.purse.reserved) == 1
        assert w.settled().output == 7


def test_patience_ends_in_an_error_of_the_right_type() -> None:
    """As an event where the stream has begun, as a status where it has not; nothing is charged."""
    with world(refusal(529, "overloaded_error", "Overloaded"), patience_s=0.2) as w:
        last = events(w.ask().read())[-1]
        assert last["error"] == {"type": "overloaded_error", "message": "Overloaded"}
        call = w.ask(stream=False)
        assert (call.status, call.error) == (529, ("overloaded_error", "Overloaded"))
        assert set(w.purse.settled.values()) == {Tokens()}


def test_a_refusal_after_the_pings_is_told_in_the_stream() -> None:
    """The status is out already, so that the 400 comes as an event with its own type."""
    with world(refusal(529, "x"), refusal(400, "invalid_request_error", "prompt is bad")) as w:
        call = w.ask()
        assert call.status == 200
        assert events(call.read())[-1]["error"] == {
            "type": "invalid_request_error",
            "message": "prompt is bad",
        }


def test_an_exhausted_limit_holds_the_next_call_back() -> None:
    """After remaining 0, the next call is sent when the limit is reset, not before; pings flow meanwhile."""
    reset = (datetime.now(UTC) + timedelta(seconds=1.0)).isoformat().replace("+00:00", "Z")
    headers = {"anthropic-ratelimit-requests-remaining": "0", "anthropic-ratelimit-requests-reset": reset}
    with world(Reply(headers=headers), Reply()) as w:
        w.ask().read()
        call = w.ask(max_tokens=2)
        assert len(w.provider.received) == 1
        assert kinds(call.read())[0] == "ping"
        assert datetime.now(UTC) >= datetime.fromisoformat(reset)
        assert len(w.provider.received) == 2


def test_retry_after_holds_all_calls_of_the_key() -> None:
    """One agent's 429 spares the other agents theirs."""
    with world(refusal(429, "rate_limit_error", retry_after="0.6"), Reply()) as w:
        first = w.ask()
        stream = first.pieces()
        next(stream)
        started = time.monotonic()
        w.ask(vm=OTHER, bearer="bob").read()
        assert time.monotonic() - started > 0.4
        assert kinds(b"".join(stream))[-1] == "message_stop"
        assert len(w.provider.received) == 3


def test_a_provider_that_is_slow_to_begin_is_bridged_by_pings() -> None:
    """The line to the machine is never silent for long, so that nobody takes it for dead."""
    gate = threading.Event()
    with world(Reply(gate=gate, before=0), hold_s=0.1) as w:
        stream = w.ask().pieces()
        assert kinds(next(stream) + next(stream) + next(stream)) == ["ping"] * 3
        gate.set()
        assert kinds(b"".join(stream))[-1] == "message_stop"


def test_a_provider_that_is_not_there_costs_nothing() -> None:
    """Connection refused is tried again, then told."""
    with world(patience_s=0.2) as w:
        w.provider.close()
        assert events(w.ask().read())[-1]["error"]["type"] == "overloaded_error"
        assert w.settled() == Tokens()


def test_every_foreign_error_has_its_translation() -> None:
    """Whatever httpx raises ends a call in order."""
    for kind in vars(httpx).values():
        if isinstance(kind, type) and issubclass(kind, Exception):
            assert any(issubclass(kind, known) for known in FOREIGN), kind
