"""pi's read, bash, edit and write on the machine in use: what the extension asks for on their behalf."""

import base64
import json
import time
from binascii import Error as NotBase64
from collections.abc import Callable
from shlex import quote

from bot.agents import params
from bot.agents.calls import Heed
from bot.agents.machines import Machines
from bot.core.errors import BotError, UserError
from bot.core.models import VmId
from bot.pipeline.journal.fleet import ToolCall
from bot.vms.base import Shell

_SMALL_BYTES = 8192
"""Up to here a content travels inside the answer; beyond, as a file of the caller's machine."""
_OUTPUT_BYTES = 8 << 20
_LONGEST_S = 3600.0
_FOLDER = "/run/swarm-exec"
_EXCHANGE = "/tmp/swarm"  # noqa: S108 - on the caller's machine, written as its agent
_KILLED, _BEFORE = 137, 113


def owner_on(shell: Shell) -> str:
    """Whose files an agent's are on a machine: the agent's, or root's on one that was not made from our image."""
    return "agent" if shell.run("id -u agent", check=False).exit_status == 0 else "root"


def _as(owner: str, script: str) -> str:
    """A bash script as its owner, with the environment of the agents' machines where there is one."""
    ready = f"[ ! -r /etc/profile.d/swarm.sh ] || . /etc/profile.d/swarm.sh; {script}"
    if owner == "root":
        return f"bash -c {quote(ready)}"
    return f"runuser -u {owner} -- env HOME=/home/{owner} USER={owner} bash -c {quote(ready)}"


class Hands:
    """Executes `vm_exec`, `vm_fetch` and `vm_store`. What the caller's machine gives and gets is its agent's, never root's."""

    def __init__(self, *, machines: Machines, which: Callable[[str], VmId]) -> None:
        """`which` finds a machine of this swarm by id or label, or raises `UserError`."""
        self._machines = machines
        self._which = which

    def exec(self, call: ToolCall, heed: Heed) -> str:
        """Run a command once. At its time limit, or when the call is given up, its processes are killed."""
        wish = params.read(params.Exec, call.params)
        shell = self._machines.shell(self._which(wish.vmId))
        limit_s = min(wish.timeout or _LONGEST_S, _LONGEST_S)
        mine = f"{_FOLDER}/{call.dialog}"
        inner = _as(owner_on(shell), f"cd {quote(wish.cwd)} && eval {quote(wish.command)}")
        # `timeout` leads a process group of its own; its id is kept so that the group can be killed from outside.
        script = (
            f"mkdir -p {_FOLDER}; mkdir {mine} 2>/dev/null || exit {_BEFORE}; "
            f"timeout -s KILL {limit_s:g} {inner} >{mine}/out 2>&1 </dev/null & echo $! >{mine}/pid; wait $!"
        )
        heed.when_over(lambda: self._kill(shell, mine))
        began = time.monotonic()
        status = shell.run(script, timeout_s=limit_s + 30.0, check=False).exit_status
        if status == _BEFORE:
            raise UserError("The line was lost while this command ran: look for yourself how far it came.")
        heed.check()
        timed_out = status == _KILLED and time.monotonic() - began >= limit_s
        output = shell.run(f"tail -c {_OUTPUT_BYTES} {mine}/out; rm -f {mine}/out").stdout
        return json.dumps({"status": status, "timedOut": timed_out, **self._handed(call, output)})

    def fetch(self, call: ToolCall, _heed: Heed) -> str:
        """The bytes of a file, as they are."""
        wish = params.read(params.Fetch, call.params)
        shell = self._machines.shell(self._which(wish.vmId))
        return json.dumps(self._handed(call, self._read(shell, wish.path)))

    def store(self, call: ToolCall, _heed: Heed) -> str:
        """These bytes and no others become a file's content. Its mode stays, and a link is followed as its owner may."""
        wish = params.read(params.Store, call.params)
        if wish.at is not None:
            content = self._read(self._machines.shell(call.vm), wish.at)
        else:
            try:
                content = base64.b64decode(wish.data or "", validate=True)
            except (NotBase64, ValueError) as error:
                raise UserError("the content did not arrive whole") from error
        shell = self._machines.shell(self._which(wish.vmId))
        path = quote(wish.path)
        script = (
            f't=$(mktemp) && trap \'rm -f "$t"\' EXIT && cat >"$t" && [ "$(stat -c %s "$t")" = {len(content)} ] && '
            f'mkdir -p "$(dirname {path})" && cat "$t" >{path}'
        )
        done = shell.run(_as(owner_on(shell), script), stdin=content, timeout_s=180.0, check=False)
        if done.exit_status != 0:
            raise UserError(_words(done.stderr) or f"{wish.path} could not be written")
        return "{}"

    @staticmethod
    def _read(shell: Shell, path: str) -> bytes:
        done = shell.run(_as(owner_on(shell), f"cat -- {quote(path)}"), timeout_s=180.0, check=False)
        if done.exit_status != 0:
            raise UserError(_words(done.stderr) or f"{path} could not be read")
        return done.stdout

    def _handed(self, call: ToolCall, content: bytes) -> dict[str, str]:
        if len(content) <= _SMALL_BYTES:
            return {"data": base64.b64encode(content).decode()}
        path = f"{_EXCHANGE}-{call.dialog}"
        self._machines.shell(call.vm).write_file(path, content, owner="agent")
        return {"at": path}

    @staticmethod
    def _kill(shell: Shell, folder: str) -> None:
        try:
            shell.run(f"kill -KILL -- -$(cat {folder}/pid)", check=False)
        except BotError:
            return  # the machine cannot be reached: its own time limit ends the command


def _words(stderr: bytes) -> str:
    return stderr.decode("utf-8", "replace").strip()[-500:]
