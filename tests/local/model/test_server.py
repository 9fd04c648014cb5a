import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import anthropic
import httpx
import pytest

from bot.local.model.server import Running, start
from tests.local.model.swarm import client
from tests.waiting import wait_until

PROMPT = (
    "You are worker `page` of a swarm.\n\nYour task: build the kiosk clock's page."  # asks for one real file
)


@pytest.fixture
def model() -> Iterator[Running]:
    running = start(rate=0, ttft_s=0)
    yield running
    running.stop()


def ask(**changes: Any) -> dict[str, Any]:
    return {
        "model": "claude-sonnet-5",
        "max_tokens": 8000,
        "messages": [{"role": "user", "content": PROMPT}],
        "extra_headers": {"x-swarm-run": "run1", "x-swarm-agent": "page"},
        **changes,
    }


def ledger(model: Running) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = httpx.get(model.base_url + "/ledger").json()
    return rows


def order(model: Running, what: str, **body: Any) -> None:
    httpx.post(f"{model.base_url}/_local/{what}", json=body).raise_for_status()


def test_events_come_in_anthropics_shapes_and_order(model: Running) -> None:
    """The raw stream is what the API reference describes, block by block."""
    events = list(client(model).messages.create(**ask(stream=True)))
    kinds = [event.type for event in events]
    assert kinds[0] == "message_start"
    assert kinds[-2:] == ["message_delta", "message_stop"]
    bodies = [kind for kind in kinds[1:-2] if kind != "content_block_delta"]
    assert bodies == ["content_block_start", "content_block_stop"] * 2
    deltas = [event.delta.type for event in events if event.type == "content_block_delta"]
    assert deltas == sorted(deltas, reverse=True), "text first, then the call's JSON"
    assert set(deltas) == {"text_delta", "input_json_delta"}


def test_the_raw_stream_names_its_events(model: Running) -> None:
    """Every event has its type as name, and a ping is among them."""
    headers = {"x-api-key": model.api_key, "anthropic-version": "2023-06-01"}
    body = {name: value for name, value in ask(stream=True).items() if name != "extra_headers"}
    answer = httpx.post(model.base_url + "/v1/messages", json=body, headers=headers)
    assert answer.headers["content-type"].startswith("text/event-stream")
    events = [event.split("\n") for event in answer.text.strip().split("\n\n")]
    for name, data in events:
        assert json.loads(data.removeprefix("data: "))["type"] == name.removeprefix("event: ")
    assert ["event: ping", 'data: {"type": "ping"}'] in events


def test_streamed_and_whole_answers_are_the_same(model: Running) -> None:
    """The package's accumulated message equals the one without streaming, usage included."""
    with client(model).messages.stream(**ask()) as stream:
        streamed = stream.get_final_message()
    whole = client(model).messages.create(**ask())
    assert streamed.content[1].input == whole.content[1].input
    assert streamed.content[1].input["path"] == "/root/workspace/public/index.html"
    assert (streamed.stop_reason, streamed.usage.output_tokens) == (
        whole.stop_reason,
        whole.usage.output_tokens,
    )
    assert whole.stop_reason == "tool_use"


def test_a_request_that_is_sent_again_gets_the_same_answer(model: Running) -> None:
    """Ids and all: nothing depends on what was asked before."""
    first, second = (client(model).messages.create(**ask()) for _ in range(2))
    assert first.to_dict() == second.to_dict()


def test_the_ledger_says_who_got_how_much_and_when(model: Running) -> None:
    """Run, agent, tokens as in the usage, and ordered times."""
    answer = client(model).messages.create(**ask(stream=False))
    (row,) = ledger(model)
    assert (row["run"], row["agent"], row["model"], row["outcome"]) == (
        "run1",
        "page",
        "claude-sonnet-5",
        "complete",
    )
    assert (row["input_tokens"], row["output_tokens"]) == (
        answer.usage.input_tokens,
        answer.usage.output_tokens,
    )
    assert row["id"] == answer.id
    assert row["start"] <= row["first_token"] <= row["end"]


def test_four_characters_are_a_token(model: Running) -> None:
    """The documented rule, over the text and the JSON of the call's input."""
    answer = client(model).messages.create(**ask())
    text, call = answer.content
    expected = -(-len(text.text) // 4) + -(-len(json.dumps(call.input, ensure_ascii=False)) // 4)
    assert answer.usage.output_tokens == expected


def test_the_rate_is_kept_for_parallel_answers(model: Running) -> None:
    """An answer takes time to first token + tokens / rate, whatever else is going on."""
    rate, ttft_s = 1000.0, 0.1
    order(model, "pace", rate=rate, ttft_s=ttft_s)
    threads = [threading.Thread(target=lambda: client(model).messages.create(**ask())) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for row in ledger(model):
        ideal_s = ttft_s + row["output_tokens"] / rate
        assert ideal_s <= row["end"] - row["start"] < ideal_s * 1.2 + 0.1
        assert row["first_token"] - row["start"] >= ttft_s


def test_max_tokens_cuts_the_answer(model: Running) -> None:
    """The stream ends in time, and says why."""
    with client(model).messages.stream(**ask(max_tokens=5)) as stream:
        streamed = stream.get_final_message()
    whole = client(model).messages.create(**ask(max_tokens=5))
    for answer in (streamed, whole):
        assert answer.stop_reason == "max_tokens"
        assert answer.usage.output_tokens == 5
        assert len(answer.content[0].text) == 20


@pytest.mark.parametrize(
    ("headers", "status", "said"),
    [
        ({"anthropic-version": "2023-06-01"}, 401, "x-api-key header is required"),
        ({"x-api-key": "wrong", "anthropic-version": "2023-06-01"}, 401, "invalid x-api-key"),
        ({"x-api-key": "right"}, 400, "anthropic-version: header is required"),
    ],
)
def test_headers_are_required(headers: dict[str, str], status: int, said: str) -> None:
    """Key and version, refused in Anthropic's shape."""
    running = start(rate=0, api_key="right")
    answer = httpx.post(running.base_url + "/v1/messages", json={}, headers=headers)
    running.stop()
    assert answer.status_code == status
    assert answer.json()["type"] == "error"
    assert answer.json()["error"]["message"] == said


@pytest.mark.parametrize("header", ["x-api-key", "authorization"])
def test_a_key_may_come_in_either_header(model: Running, header: str) -> None:
    """As Anthropic takes it."""
    key = model.api_key if header == "x-api-key" else f"Bearer {model.api_key}"
    headers = {header: key, "anthropic-version": "2023-06-01"}
    assert httpx.post(model.base_url + "/v1/messages", json={}, headers=headers).status_code == 400


CALL = {"type": "tool_use", "id": "toolu_1", "name": "bash", "input": {}}


@pytest.mark.parametrize(
    ("messages", "said"),
    [
        ([], "at least one message"),
        ([{"role": "robot", "content": "x"}], "messages.0.role"),
        (
            [{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1"}]}],
            "unexpected `tool_use_id`",
        ),
        (
            [{"role": "assistant", "content": [CALL]}, {"role": "user", "content": "and?"}],
            "without `tool_result` blocks",
        ),
    ],
)
def test_conversations_have_to_be_well_formed(model: Running, messages: list[Any], said: str) -> None:
    """What Anthropic refuses is refused here, so that a broken client is not found in production."""
    with pytest.raises(anthropic.BadRequestError, match=said):
        client(model).messages.create(**ask(messages=messages))


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("429", anthropic.RateLimitError),
        ("500", anthropic.InternalServerError),
        ("529", anthropic.InternalServerError),
        ("credit", anthropic.BadRequestError),
    ],
)
def test_refusals_on_demand(model: Running, kind: str, error: type[Exception]) -> None:
    """A fault strikes as often as ordered, only the agent that it names, and leaves no trace in the ledger."""
    order(model, "faults", kind=kind, times=2, agent="page", retry_after=7)
    others = {"x-swarm-agent": "server"}
    client(model).messages.create(**ask(extra_headers=others))
    for _ in range(2):
        with pytest.raises(error) as caught:
            client(model).messages.create(**ask())
        assert caught.value.response.headers["retry-after"] == "7"
    client(model).messages.create(**ask())
    assert [row["outcome"] for row in ledger(model)] == ["complete", "complete"]


@pytest.mark.parametrize("streamed", [True, False])
def test_a_cut_connection_is_no_answer(model: Running, streamed: bool) -> None:
    """The body ends early and the package says so."""
    order(model, "faults", kind="cut")
    asked = ask(stream=True) if streamed else ask()
    with pytest.raises(Exception, match=r"(?i)incomplete|clos|connection error"):
        tuple(client(model).messages.create(**asked))
    assert wait_until(lambda: [row["outcome"] for row in ledger(model)] == ["cut"], 5, "the ledger knows")


def test_an_error_event_breaks_the_stream(model: Running) -> None:
    """Half of the answer, then `error`, which the package raises."""
    order(model, "faults", kind="error")
    seen = []
    with pytest.raises(anthropic.APIStatusError, match="Overloaded"):
        seen += [event.type for event in client(model).messages.create(**ask(stream=True))]
    (row,) = ledger(model)
    assert row["output_tokens"] > 0
    assert row["outcome"] == "cut"


def test_a_stall_lasts_until_the_caller_leaves(model: Running) -> None:
    """The stream falls silent half way; a client with a time-out gives up, and the answer ends as cut."""
    order(model, "faults", kind="stall")
    with pytest.raises(Exception, match=r"(?i)timed? ?out"):
        list(client(model, timeout=0.5).messages.create(**ask(stream=True)))
    wait_until(lambda: ledger(model)[0]["outcome"] == "cut", 5, "the answer has ended")


def test_stopping_does_not_wait_for_slow_answers() -> None:
    """An answer that would take an hour does not hold the server."""
    running = start(rate=0.1, ttft_s=0)
    stream = client(running).messages.create(**ask(stream=True))
    assert next(iter(stream)).type == "message_start"
    running.stop()
    with pytest.raises(httpx.ConnectError):
        httpx.get(running.base_url + "/ledger")


@pytest.mark.parametrize("body", [{"rate": -1}, {"ttft_s": "soon"}])
def test_wrong_orders_are_refused(model: Running, body: dict[str, Any]) -> None:
    """A typo in a test is an error, not silence."""
    assert httpx.post(model.base_url + "/_local/pace", json=body).status_code == 400
    assert httpx.post(model.base_url + "/_local/faults", json={"kind": "earthquake"}).status_code == 400


def test_it_runs_as_a_process_of_its_own() -> None:
    """One line of JSON when ready, and a clean end at SIGTERM."""
    command = [sys.executable, "-m", "bot.local.model", "--rate", "0", "--ttft", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        ready = json.loads(process.stdout.readline())
        assert httpx.get(ready["base_url"] + "/ledger").json() == []
        process.terminate()
        assert process.wait(10) == 0
