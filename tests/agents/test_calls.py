"""Tool calls are executed once and answered once, whatever is read again."""

import json
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from bot.agents import rpc
from bot.agents.calls import CallDesk, Heed
from bot.agents.daemon import START
from bot.core.errors import UserError
from bot.core.models import AgentLabel, RunId, VmId
from bot.pipeline.journal.database import metadata, open_database
from bot.pipeline.journal.fleet import Fleet, ToolCall
from tests.waiting import wait_until

RUN, VM, AGENT = RunId("run"), VmId("vm"), AgentLabel("architect")


@dataclass
class Desk:
    """A call desk whose pi is a list of what it was told."""

    fleet: Fleet
    told: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    executed: list[str] = field(default_factory=list)
    lingering: threading.Event = field(default_factory=threading.Event)
    agent: AgentLabel = AGENT
    vm: VmId = VM

    def __post_init__(self) -> None:
        self.desk = CallDesk(
            RUN, fleet=self.fleet, plan=self.plan, execute=self.execute, daemon=lambda _vm: self
        )

    def deliver(self, command: str, line: bytes) -> None:
        self.told.append((command, json.loads(line)))

    def plan(self, _agent: AgentLabel, tool: str, _given: Mapping[str, Any]) -> Mapping[str, Any]:
        return {"_plan": f"for {tool}"}

    def execute(self, call: ToolCall, heed: Heed) -> str:
        self.executed.append(call.dialog)
        match call.tool:
            case "refuse":
                raise UserError("not so")
            case "break":
                raise ZeroDivisionError
            case "linger":
                self.lingering.set()
                while True:
                    heed.check()
                    time.sleep(0.01)
        return json.dumps(call.params)

    def see(self, dialog: str, tool: str = "do", method: str = "input", **params: Any) -> None:
        text = json.dumps({"id": f"toolu-{dialog}", "tool": tool, "params": params})
        self.desk.take(self, rpc.Dialog(dialog, method, "swarm", text))

    def reply(self, dialog: str) -> dict[str, Any]:
        name = f"answer-{dialog}"
        return wait_until(
            lambda: next((json.loads(line["value"]) for command, line in self.told if command == name), None),
            5, f"{name} is delivered",
        )  # fmt: skip


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    """An empty journal."""
    engine = open_database(f"sqlite:///{tmp_path}/journal.db")
    metadata.create_all(engine)
    return Fleet(engine, time.time)


def test_a_call_is_planned_executed_and_answered(fleet: Fleet) -> None:
    """The plan is added by us: what the model calls so is dropped."""
    desk = Desk(fleet)
    desk.see("d1", x=1, _plan="mine")
    assert desk.reply("d1") == {"ok": True, "text": '{"x": 1, "_plan": "for do"}'}
    wait_until(lambda: fleet.calls(RUN)[0].state == "answered", 5, "the answer is noted")


def test_errors_are_answers(fleet: Fleet) -> None:
    """A refusal as it is, a defect of ours without its inside."""
    desk = Desk(fleet)
    desk.see("d1", "refuse")
    assert desk.reply("d1") == {"ok": False, "text": "not so"}
    desk.see("d2", "break")
    assert desk.reply("d2") == {"ok": False, "text": "break failed on our side (ZeroDivisionError)."}


def test_what_was_answered_is_passed_over(fleet: Fleet) -> None:
    """The same dialog, read again by the next process."""
    first = Desk(fleet)
    first.see("d1")
    first.reply("d1")
    wait_until(lambda: fleet.calls(RUN)[0].state == "answered", 5, "the answer is noted")
    second = Desk(fleet)
    second.see("d1")
    second.see("d2")
    second.reply("d2")
    assert [command for command, _ in second.told] == ["answer-d2"]


def test_what_was_executed_is_answered_only(fleet: Fleet) -> None:
    """A process died between the result and the answer."""
    row = fleet.open_call(RUN, VM, START, "d1", AGENT, "do", {})
    fleet.finish_call(row, json.dumps({"ok": True, "text": "as before"}))
    desk = Desk(fleet)
    desk.see("d1")
    assert desk.reply("d1") == {"ok": True, "text": "as before"}
    assert desk.executed == []


def test_an_open_call_keeps_its_first_plan(fleet: Fleet) -> None:
    """A process died before the result: the call is executed as it was planned."""
    fleet.open_call(RUN, VM, START, "d1", AGENT, "do", {"_plan": "the first"})
    desk = Desk(fleet)
    desk.see("d1")
    assert "the first" in desk.reply("d1")["text"]


def test_dialogs_of_others_are_closed(fleet: Fleet) -> None:
    """Nothing waits for ever for a person who is not there; an id that cannot be pi's is nobody's."""
    desk = Desk(fleet)
    desk.see("../../etc", "do")
    desk.see("d1", method="confirm")
    wait_until(lambda: desk.told, 5, "something is told")
    assert desk.told == [("cancel-d1", {"type": "extension_ui_response", "id": "d1", "cancelled": True})]
    assert fleet.calls(RUN) == []


@pytest.mark.parametrize("tool_call", ["toolu-d1", ""])
def test_what_pi_gave_up_is_withdrawn(fleet: Fleet, tool_call: str) -> None:
    """Once pi has announced a call's end its execution ends, and nothing is answered, also not after a restart."""
    desk = Desk(fleet)
    desk.see("d1", "linger")
    assert desk.lingering.wait(5)
    desk.desk.ended(desk, "toolu-another")
    assert fleet.calls(RUN)[0].state == "open"
    desk.desk.ended(desk, tool_call)
    wait_until(lambda: fleet.calls(RUN)[0].state == "answered", 5, "the call is closed")
    again = Desk(fleet)
    again.see("d1", "linger")
    again.see("d2")
    again.reply("d2")
    assert desk.told == []
    assert again.executed == ["d2"]
