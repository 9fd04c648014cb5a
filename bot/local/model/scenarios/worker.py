"""The scripted model as worker: writes its files, checks them, says what it did."""

from collections.abc import Sequence

from bot.local.model.conversation import WORKER_MARK, Conversation, Exchange
from bot.local.model.reply import Call, Reply, Text
from bot.local.model.scenarios.scenario import WORKSPACE, Part, Scenario

_TRIES = 2


def play(asked: Conversation, scenario: Scenario) -> Reply:
    """A worker's next turn."""
    begins = asked.prompt.index(WORKER_MARK) + len(WORKER_MARK)
    named = asked.prompt[begins:].split(maxsplit=1)[0].strip("`'\".,:;")
    part = next((part for part in scenario.parts if part.label == named), None)
    if part is None:
        return (Text(f"I am blocked: the scenario “{scenario.name}” has no worker “{named}”."),)
    return write_files(asked.exchanges, part) or _check(asked.exchanges, part) or _report(part)


def write_files(before: Sequence[Exchange], part: Part) -> Reply | None:
    """Calls that write the part's files that are not there yet; None when all are."""
    written = {str(e.input.get("path")) for e in before if e.tool == "write" and not e.failed}
    missing = {path: text for path, text in part.files.items() if f"{WORKSPACE}/{path}" not in written}
    if not missing:
        return None
    if sum(e.tool == "write" and e.failed for e in before) >= _TRIES * len(missing):
        return (Text(f"I am blocked: I cannot write {', '.join(missing)}: {_last_failure(before)}"),)
    said = Text(f"The specification is clear. I write {', '.join(missing)}.")
    return (said, *(Call("write", {"path": f"{WORKSPACE}/{p}", "content": t}) for p, t in missing.items()))


def _check(before: Sequence[Exchange], part: Part) -> Reply | None:
    ran = [e for e in before if e.tool == "bash"]
    if not part.check or (ran and not ran[-1].failed):
        return None
    if len(ran) >= _TRIES:
        return (Text(f"I wrote {', '.join(part.files)}, but my check fails: {_last_failure(before)}"),)
    return (Call("bash", {"command": f"cd {WORKSPACE} && {part.check}", "timeout": 60}),)


def _report(part: Part) -> Reply:
    lines = [f"- `{path}` ({len(text.splitlines())} lines)" for path, text in part.files.items()]
    return (Text("Done, as the specification says:\n" + "\n".join(lines)),)


def _last_failure(before: Sequence[Exchange]) -> str:
    return next((e.output for e in reversed(before) if e.failed), "unknown")[-600:]
