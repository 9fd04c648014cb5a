"""The scripted model as architect: specification, workers, waiting, collecting, checking, mending.

Where it stands is read off the calls that it made and their results; so it repeats what failed, and a request that is
sent twice is answered the same twice.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bot.core.models import AgentState
from bot.local.model.conversation import Conversation, Exchange
from bot.local.model.reply import Call, Reply, Text
from bot.local.model.scenarios.scenario import WORKSPACE, Part, Scenario

WRAP_UP_MARK = "wrap up now"
REVISE_MARK = "asks for changes"
"""Words of the product's prompts `finish` and `revise`."""
_WAIT_S = 120
_MOST_WAITS = 60
_TRIES = 2
_MOST_CHECKS = 3
_GIVEN_UP = frozenset({AgentState.FAILED, AgentState.LOST, AgentState.STALLED})


@dataclass(frozen=True, slots=True)
class Stage:
    """The scenario, and what has happened."""

    scenario: Scenario
    before: Sequence[Exchange]
    hurried: bool = False
    """A maintainer asked to wrap up."""

    def calls(self, tool: str) -> list[Exchange]:
        return [e for e in self.before if e.tool == tool]

    def succeeded(self, tool: str) -> bool:
        return any(not e.failed for e in self.calls(tool))

    def failure(self, tool: str) -> str:
        """What the last failed call of a tool said."""
        return next((e.output for e in reversed(self.calls(tool)) if e.failed), "")[-600:]

    def written(self) -> set[str]:
        return {str(e.input.get("path")) for e in self.calls("write") if not e.failed}

    def states(self) -> dict[str, AgentState]:
        """What the latest answered wait that named it said of each worker; failed, too, if it could not be tasked."""
        known = dict.fromkeys(self.scenario.labels, AgentState.WORKING)
        for wait in (e for e in self.calls("vers_swarm_wait") if not e.failed):
            known |= {label: state for label in known if (state := _state_of(label, wait.output))}
        refused = {label for label in self.scenario.labels if self._task_failures(label) >= _TRIES}
        return {label: AgentState.FAILED if label in refused else state for label, state in known.items()}

    def untasked(self) -> list[Part]:
        """Workers without a task that were not tried often enough."""
        tasked = {str(e.input.get("agentId")) for e in self.calls("vers_swarm_task") if not e.failed}
        return [
            part
            for part in self.scenario.parts
            if part.label not in tasked and self._task_failures(part.label) < _TRIES
        ]

    def _task_failures(self, label: str) -> int:
        return sum(e.failed and e.input.get("agentId") == label for e in self.calls("vers_swarm_task"))


def _state_of(label: str, table: str) -> AgentState | None:
    """A worker's state in a table for people: the first word for a state in the first line that begins with its label."""
    for line in table.splitlines():
        if re.match(rf"\W*{re.escape(label)}(?![\w-])", line):
            words = [word for word in re.findall(r"[a-z]+", line.lower()) if word in set(AgentState)]
            if words:
                return AgentState(words[0])
    return None


def play(asked: Conversation, scenario: Scenario) -> Reply:
    """The architect's next turn."""
    hurried = any(WRAP_UP_MARK in text for text in asked.said)
    stage = Stage(scenario, asked.exchanges, hurried)
    steps: tuple[Callable[[Stage], Reply | None], ...] = (
        specify, _spawn, _task, await_workers, _collect, check, _teardown, close,
    )  # fmt: skip
    return next(turn for step in steps if (turn := step(stage)))


def write(path: str, text: str) -> Call:
    return Call("write", {"path": f"{WORKSPACE}/{path}", "content": text})


def specify(stage: Stage) -> Reply | None:
    if f"{WORKSPACE}/SPEC.md" in stage.written():
        return None
    if len(stage.calls("write")) >= _TRIES:
        return (Text(f"I cannot write the specification, so nothing was built: {stage.failure('write')}"),)
    return (
        Text("The contract comes first: every name that two parts share."),
        write("SPEC.md", stage.scenario.files["SPEC.md"]),
    )


def _spawn(stage: Stage) -> Reply | None:
    labels = stage.scenario.labels
    if stage.succeeded("vers_swarm_spawn"):
        return None
    spawns = stage.calls("vers_swarm_spawn")
    revisions = [each for each in spawns if each.failed and REVISE_MARK in each.output]
    specifications = [e for e in stage.calls("write") if str(e.input.get("path")).endswith("/SPEC.md")]
    if len(specifications) <= len(revisions):
        wishes = "\n".join(line for line in revisions[-1].output.splitlines() if line and "`" not in line)
        text = f"{stage.scenario.files['SPEC.md']}\n## Changes that were asked for\n{wishes}\n"
        return (Text("The specification is to be different."), write("SPEC.md", text))
    if len(spawns) > len(revisions):
        return (
            Text(
                f"The workers could not be spawned, so nothing was built: {stage.failure('vers_swarm_spawn')}"
            ),
        )
    return (Call("vers_swarm_spawn", {"count": len(labels), "labels": labels}),)


def _task(stage: Stage) -> Reply | None:
    if stage.hurried:
        return None
    calls = [Call("vers_swarm_task", {"agentId": p.label, "task": p.task}) for p in stage.untasked()]
    return tuple(calls) or None


def await_workers(stage: Stage) -> Reply | None:
    states = stage.states()
    pending = [
        name for name, state in states.items() if state is not AgentState.DONE and state not in _GIVEN_UP
    ]
    if not pending or stage.hurried or len(stage.calls("vers_swarm_wait")) >= _MOST_WAITS:
        return None
    own = [
        write(path, text)
        for path, text in stage.scenario.files.items()
        if f"{WORKSPACE}/{path}" not in stage.written()
    ]
    wait = Call("vers_swarm_wait", {"agentIds": pending, "timeoutSeconds": _WAIT_S})
    if own and not stage.calls("vers_swarm_wait"):
        return (Text("While they work, I write the integration check."), *own, wait)
    return (wait,)


def _collect(stage: Stage) -> Reply | None:
    """Copy what the workers made; what a worker did not deliver, the architect writes itself."""
    states = stage.states()
    done = [part.label for part in stage.scenario.parts if states[part.label] is AgentState.DONE]
    others = [part for part in stage.scenario.parts if part.label not in done]
    rest = {path: text for part in others for path, text in part.files.items()}
    own = [write(path, text) for path, text in rest.items() if f"{WORKSPACE}/{path}" not in stage.written()]
    tried = len(stage.calls("vers_swarm_collect"))
    collect = []
    if done and not stage.succeeded("vers_swarm_collect"):
        if tried >= _TRIES:
            return (
                Text(f"The workers' files could not be collected: {stage.failure('vers_swarm_collect')}"),
            )
        collect = [Call("vers_swarm_collect", {"agentIds": done})]
    if own and len(stage.calls("write")) < _TRIES * (len(stage.scenario.files) + len(rest)):
        missing = ", ".join(part.label for part in others)
        return (Text(f"{missing} did not deliver; I write that part myself."), *collect, *own)
    return tuple(collect) or None


def check(stage: Stage) -> Reply | None:
    scenario, ran = stage.scenario, stage.calls("bash")
    if not scenario.check or (ran and not ran[-1].failed):
        return None
    run = Call("bash", {"command": f"cd {WORKSPACE} && {scenario.check}", "timeout": 300})
    if not ran:
        return (Text("All parts are here. Do they fit together?"), run)
    mended = {str(e.input.get("path")) for e in stage.calls("edit")}
    mends = [mend for mend in scenario.mends if f"{WORKSPACE}/{mend.path}" not in mended]
    if mends:
        edits = [
            Call("edit", {"path": f"{WORKSPACE}/{m.path}", "edits": [{"oldText": m.old, "newText": m.new}]})
            for m in mends
        ]
        return (Text(" ".join(mend.why for mend in mends)), *edits)
    return (run,) if len(ran) < _MOST_CHECKS else None


def _teardown(stage: Stage) -> Reply | None:
    if stage.calls("vers_swarm_teardown"):
        return None
    return (Call("vers_swarm_teardown", {}),)


def close(stage: Stage) -> Reply:
    ran = stage.calls("bash")
    if stage.scenario.check and (not ran or ran[-1].failed):
        return (Text(f"The parts are written, but the check fails:\n\n{stage.failure('bash')}"),)
    return (Text(stage.scenario.closing),)
