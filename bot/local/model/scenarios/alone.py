"""The scripted model as the only agent of a build: writes the files of all parts, one part after another, tests, mends, starts."""

from bot.local.model.conversation import Conversation
from bot.local.model.reply import Call, Reply, Text
from bot.local.model.scenarios.architect import Stage, check, close, write
from bot.local.model.scenarios.scenario import WORKSPACE, Scenario

PORT = 3000
_TRIES = 2


def play(asked: Conversation, scenario: Scenario) -> Reply:
    """The agent's next turn."""
    stage = Stage(scenario, asked.exchanges)
    return write_next(stage) or check(stage) or serve(stage) or close(stage)


def write_next(stage: Stage) -> Reply | None:
    """The files of the first part that are not all there: one message for each part, the specification first."""
    parts = [stage.scenario.files, *(part.files for part in stage.scenario.parts)]
    if sum(exchange.failed for exchange in stage.calls("write")) >= _TRIES:
        return None
    for files in parts:
        missing = {name: text for name, text in files.items() if f"{WORKSPACE}/{name}" not in stage.written()}
        if missing:
            said = Text(f"I write {', '.join(missing)}.")
            return (said, *(write(name, text) for name, text in missing.items()))
    return None


def serve(stage: Stage) -> Reply | None:
    """Start what was built, so that somebody can click it."""
    if any("setsid" in str(ran.input.get("command")) for ran in stage.calls("bash")):
        return None
    procfile = next(files["Procfile"] for files in _all_files(stage) if "Procfile" in files)
    command = procfile.partition(":")[2].strip()
    start = f"(PORT={PORT} setsid {command} >/tmp/app.log 2>&1 </dev/null &)"
    return (Call("bash", {"command": f"cd {WORKSPACE} && {start}", "timeout": 30}),)


def _all_files(stage: Stage) -> list[dict[str, str]]:
    return [dict(stage.scenario.files), *(dict(part.files) for part in stage.scenario.parts)]
