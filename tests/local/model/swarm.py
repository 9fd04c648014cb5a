"""A small agent that does for real what the scripted model asks for, in folders instead of machines."""

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from shutil import copytree
from typing import Any

import anthropic

from bot.agents.tasking import WorkerTask
from bot.core.models import AgentLabel, CommitId
from bot.core.prompts import architect_prompt
from bot.core.texts import Texts, default_loader
from bot.local.model.scenarios.scenario import WORKSPACE, Scenario
from bot.local.model.server import Running

TEXTS = Texts(default_loader(Path("templates")))
SWARM_TOOLS = ("spawn", "task", "wait", "collect", "teardown")


class ToolFailed(Exception):
    """What the model gets as a result with `is_error`."""


def client(model: Running, **options: Any) -> anthropic.Anthropic:
    """The real package against the scripted model."""
    return anthropic.Anthropic(base_url=model.base_url, api_key=model.api_key, max_retries=0, **options)


@dataclass
class Swarm:
    """The architect and its workers. `unlucky` workers fail at their task; `results` is every tool call in order."""

    model: Running
    folder: Path
    scenario: Scenario
    unlucky: frozenset[str] = frozenset()
    failing: dict[str, int] = field(default_factory=dict)
    """Tool name -> how often it fails before it works."""
    slow: dict[str, int] = field(default_factory=dict)
    """Worker -> how many waits return before it is done."""
    used: str = ""
    """Whose machine the architect's tools work on; its own if empty."""
    results: list[tuple[str, str, bool]] = field(default_factory=list)
    """(tool, output, failed) of the architect's calls."""

    def build(self) -> str:
        """Run the architect to its end; its last words."""
        prompt = architect_prompt(self.scenario.brief, texts=TEXTS, golden=CommitId("golden-1"))
        return self.converse("architect", prompt)

    @property
    def workspace(self) -> Path:
        return self.folder / "architect"

    def converse(self, agent: str, prompt: str) -> str:
        """One agent's loop of model calls and tool calls."""
        messages: list[Any] = [{"role": "user", "content": prompt}]
        while True:
            with client(self.model).messages.stream(
                model="claude-sonnet-5",
                max_tokens=16_000,
                messages=messages,
                tools=self._tools(),
                extra_headers={"x-swarm-run": "r1", "x-swarm-agent": agent},
            ) as stream:
                answer = stream.get_final_message()
            calls = [block for block in answer.content if block.type == "tool_use"]
            if answer.stop_reason != "tool_use":
                assert not calls
                return "".join(block.text for block in answer.content if block.type == "text")
            results = [self._result(agent, call.id, call.name, dict(call.input)) for call in calls]
            messages += [
                {"role": "assistant", "content": answer.content},
                {"role": "user", "content": results},
            ]

    def _tools(self) -> list[Any]:
        names = (
            "read",
            "bash",
            "edit",
            "write",
            "vers_vm_use",
            "vers_vm_local",
            *(f"vers_swarm_{name}" for name in SWARM_TOOLS),
        )
        return [{"name": name, "description": name, "input_schema": {"type": "object"}} for name in names]

    def _result(self, agent: str, call_id: str, tool: str, given: Mapping[str, Any]) -> dict[str, Any]:
        try:
            if self.failing.get(tool, 0):
                self.failing[tool] -= 1
                raise ToolFailed(f"{tool} is out of order")
            output, failed = getattr(self, "_" + tool.removeprefix("vers_swarm_"))(agent, **given), False
        except ToolFailed as error:
            output, failed = str(error), True
        if agent == "architect":
            self.results.append((tool, output, failed))
        return {"type": "tool_result", "tool_use_id": call_id, "content": output, "is_error": failed}

    # pi's own tools --------------------------------------------------------------------------------

    def _place(self, agent: str, path: str) -> Path:
        assert path.startswith(WORKSPACE + "/")
        return self.folder / agent / path.removeprefix(WORKSPACE + "/")

    def _read(self, agent: str, path: str) -> str:
        return self._place(self.used or agent, path).read_text()

    def _write(self, agent: str, path: str, content: str) -> str:
        place = self._place(self.used or agent, path)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(content)
        return "written"

    def _edit(self, agent: str, path: str, edits: list[dict[str, str]]) -> str:
        place = self._place(agent, path)
        text = place.read_text()
        for edit in edits:
            if text.count(edit["oldText"]) != 1:
                raise ToolFailed("oldText must be unique in the file")
            text = text.replace(edit["oldText"], edit["newText"])
        place.write_text(text)
        return "edited"

    def _bash(self, agent: str, command: str, timeout: float) -> str:
        if "setsid" in command:
            return ""  # nobody visits it here
        here = command.replace(WORKSPACE, str(self.folder / agent))
        done = subprocess.run(
            ["bash", "-c", here], capture_output=True, text=True, timeout=timeout, check=False
        )
        if done.returncode:
            raise ToolFailed(f"{done.stdout}{done.stderr}\nCommand exited with code {done.returncode}")
        return done.stdout

    # Going to another machine ----------------------------------------------------------------------

    def _vers_vm_use(self, agent: str, vmId: str) -> str:  # noqa: N803 - the tool's parameter
        assert agent == "architect"
        self.used = vmId
        return "there"

    def _vers_vm_local(self, agent: str) -> str:
        self.used = ""
        return f"{agent} is at home"

    # The swarm's tools -----------------------------------------------------------------------------

    def _spawn(self, agent: str, count: int, labels: list[str]) -> str:
        assert count == len(labels)
        for label in labels:
            (self.folder / label).mkdir()
        return "spawned " + ", ".join(labels)

    def _task(self, agent: str, agentId: str, task: str) -> str:  # noqa: N803 - the tool's parameter
        if agentId not in self.unlucky:
            spec = (self.workspace / "SPEC.md").read_text()
            view = WorkerTask(AgentLabel(agentId), task, spec)
            self.converse(agentId, TEXTS.render("prompts/worker.md.j2", view))
        return "tasked"

    def _wait(self, agent: str, agentIds: list[str], timeoutSeconds: float) -> str:  # noqa: N803
        lines = []
        for label in agentIds:
            state = "failed: out of memory" if label in self.unlucky else "done"
            if self.slow.get(label, 0):
                self.slow[label] -= 1
                state = "working: bash node --check"
            lines.append(f"{label} (worker, machine 0f-1): {state}")
        return f"{len(lines)} workers awaited, some done or failed.\n" + "\n".join(lines)

    def _collect(self, agent: str, agentIds: list[str]) -> str:  # noqa: N803
        for label in agentIds:
            copytree(self.folder / label, self.workspace, dirs_exist_ok=True)
        return "collected"

    def _teardown(self, agent: str) -> str:
        return "gone"
