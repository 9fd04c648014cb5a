"""Honest states out of event sequences of newer and older versions of pi."""

from collections.abc import Iterable
from functools import reduce
from typing import Any

from bot.agents import rpc
from bot.agents.progress import AgentProgress, fold, settle
from bot.core.models import AgentState

READY = rpc.Response("ready", "get_state", True)
ACCEPTED = rpc.Response("p1", "prompt", True)
START = rpc.RunStarted()
SETTLED = rpc.Settled()


def end(reason: str = "stop", error: str = "", *, retry: bool | None = False) -> rpc.RunEnded:
    return rpc.RunEnded(rpc.Outcome(reason, error), retry)


def after(*events: Any) -> AgentProgress:
    """Progress after these events, a second apart."""
    stamped: Iterable[rpc.Stamped] = (rpc.Stamped(float(at), event) for at, event in enumerate(events))
    return reduce(fold, stamped, AgentProgress())


def test_the_states_of_a_newer_pi() -> None:
    """Starting, idle, working until it has settled."""
    assert after().state is AgentState.STARTING
    assert after(READY).state is AgentState.IDLE
    assert after(READY, ACCEPTED).state is AgentState.WORKING
    assert after(READY, ACCEPTED, START, end()).state is AgentState.WORKING
    assert after(READY, ACCEPTED, START, end(), SETTLED).state is AgentState.DONE


def test_a_retry_is_not_the_end() -> None:
    """Neither where the version says so, nor where the retry follows."""
    newer = after(READY, ACCEPTED, START, end("error", "529", retry=True), rpc.GoesOn("retry"), START)
    assert newer.state is AgentState.WORKING
    older = after(READY, ACCEPTED, START, end("error", "529", retry=None), rpc.GoesOn("retry"))
    assert not older.ending
    assert settle(older).state is AgentState.WORKING


def test_the_end_of_an_older_pi() -> None:
    """It only might have ended: the caller waits, then settles it."""
    ended = after(READY, ACCEPTED, START, end(retry=None))
    assert ended.ending
    assert ended.state is AgentState.WORKING
    assert settle(ended).state is AgentState.DONE


def test_bad_ends_are_failures_with_a_reason() -> None:
    """An error, an abort and a full answer end like a success, and are none."""
    for reason, error, said in (
        ("error", "401 invalid x-api-key", "401 invalid x-api-key"),
        ("aborted", "", "the agent was stopped"),
        ("length", "", "the model ran out of output tokens in the middle of an answer"),
        ("", "", "the call to the model failed without a message"),
    ):
        progress = after(READY, ACCEPTED, START, end(reason, error), SETTLED)
        assert progress.state is AgentState.FAILED
        assert progress.reason == said


def test_a_refused_prompt_is_a_failure() -> None:
    """Pi says no, and nothing will come."""
    progress = after(READY, rpc.Response("p1", "prompt", False, "No API key found"))
    assert progress.state is AgentState.FAILED
    assert progress.reason == "No API key found"
    busy = after(READY, ACCEPTED, START, rpc.Response("p2", "prompt", False, "busy"))
    assert busy.state is AgentState.WORKING


def test_a_second_task_revives() -> None:
    """A finished agent with a new task works again, and keeps what it did."""
    progress = after(READY, ACCEPTED, START, end(), SETTLED, rpc.Response("p2", "prompt", True))
    assert progress.state is AgentState.WORKING
    assert progress.accepted == ("p1", "p2")


def test_the_end_of_the_process() -> None:
    """Whatever it did before, an agent whose pi is gone has failed."""
    progress = after(READY, ACCEPTED, START, end(), SETTLED, rpc.Exited(137))
    assert progress.state is AgentState.FAILED
    assert "137" in progress.reason


def test_what_an_agent_does_and_did() -> None:
    """Open calls, files, durations and last words."""
    progress = after(
        READY,
        ACCEPTED,
        START,
        rpc.Said("first"),
        rpc.ToolStarted("a", "write", {"path": "server.js", "content": "x"}),
        rpc.ToolStarted("b", "bash", {"command": "npm\n test"}),
        rpc.ToolEnded("a", True),
    )
    assert progress.doing == "bash npm test"
    assert list(progress.open_tools) == ["b"]
    assert progress.files == ("server.js",)
    (ran,) = progress.tool_runs
    assert (ran.name, ran.started_s, ran.ended_s) == ("write", 4.0, 6.0)
    assert progress.last_text == "first"


def test_swarm_calls_keep_whom_they_name() -> None:
    """For the critical path: which workers a wait or a task was about."""
    progress = after(
        rpc.ToolStarted("a", "vers_swarm_wait", {"agentIds": ["x", "y"]}),
        rpc.ToolStarted("b", "vers_swarm_task", {"agentId": "x"}),
        rpc.ToolEnded("a", True),
        rpc.ToolEnded("b", True),
    )
    assert [ran.agents for ran in progress.tool_runs] == [("x", "y"), ("x",)]
