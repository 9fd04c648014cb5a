"""The scripted model as the guide's architect: the specification in every task, each worker's file read and written again.

The guide is "Building Self-Organizing Agent Swarms with Pi and Vers"; its prompt is `templates/prompts/guide.md.j2`.
"""

from bot.core.models import AgentState
from bot.local.model.conversation import WORKER_MARK, Conversation
from bot.local.model.reply import Call, Reply, Text
from bot.local.model.scenarios.alone import serve
from bot.local.model.scenarios.architect import Stage, await_workers, check, close, specify, write
from bot.local.model.scenarios.scenario import WORKSPACE, Scenario

_TRIES = 2


def play(asked: Conversation, scenario: Scenario) -> Reply:
    """The architect's next turn."""
    stage = Stage(scenario, asked.exchanges)
    steps = (specify, _spawn, _task, await_workers, _read, _write_again, check, serve)
    return next((turn for step in steps if (turn := step(stage))), None) or close(stage)


def _spawn(stage: Stage) -> Reply | None:
    if stage.calls("vers_swarm_spawn"):
        return None
    labels = stage.scenario.labels
    return (Call("vers_swarm_spawn", {"count": len(labels), "labels": labels}),)


def _task(stage: Stage) -> Reply | None:
    spec = stage.scenario.files["SPEC.md"]
    calls = [
        Call("vers_swarm_task", {"agentId": p.label, "task": f"{WORKER_MARK}{p.label}. {p.task}\n\n{spec}"})
        for p in stage.untasked()
    ]
    return tuple(calls) or None


def _read(stage: Stage) -> Reply | None:
    """Go to each worker's machine and read its files there, then come back."""
    read = {str(e.input.get("path")) for e in stage.calls("read")}
    at = next((str(e.input.get("vmId")) for e in reversed(stage.calls("vers_vm_use")) if not e.failed), "")
    for part in stage.scenario.parts:
        unread = [f"{WORKSPACE}/{name}" for name in part.files if f"{WORKSPACE}/{name}" not in read]
        if unread and stage.states()[part.label] is AgentState.DONE:
            if at != part.label and len(stage.calls("vers_vm_use")) < _TRIES * len(stage.scenario.parts):
                return (Call("vers_vm_use", {"vmId": part.label}),)
            return tuple(Call("read", {"path": path}) for path in unread)
    return None if stage.succeeded("vers_vm_local") else (Call("vers_vm_local", {}),)


def _write_again(stage: Stage) -> Reply | None:
    files = {name: text for part in stage.scenario.parts for name, text in part.files.items()}
    missing = {name: text for name, text in files.items() if f"{WORKSPACE}/{name}" not in stage.written()}
    if not missing or sum(e.failed for e in stage.calls("write")) >= _TRIES:
        return None
    said = Text("I write all files to my own machine.")
    return (said, *(write(name, text) for name, text in missing.items()))
