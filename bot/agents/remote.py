"""pi's read, bash, edit and write on the machine in use: what the extension asks for on their behalf."""

import base64
import json
from binascii import Error as NotBase64
from collections.abc import Callable
from shlex import quote

import stamina

from bot.agents import params
from bot.agents.calls import Heed
from bot.agents.home import Homes, as_owner, last_words, owner_on, read_as_owner
from bot.agents.machines import Machines
from bot.core.errors import BotError, Transient, UserError
from bot.core.models import VmId
from bot.pipeline.journal.fleet import ToolCall
from bot.vms.base import Shell

_SMALL_BYTES = 8192
"""Up to here a content travels inside the answer; beyond, as a file of the caller's machine."""
_OUTPUT_BYTES = 8 << 20
_LONGEST_S = 3600.0
_FOLDER = "/run/swarm-exec"
_TIDY = f"find {_FOLDER} -name end -mmin +10 -printf '%h/out\\n' | xargs -r rm -f"
"""What commands printed goes some time after they have ended: one that runs may be silent for longer."""
_KILLED = 137


class Hands:
    """Executes `vm_exec`, `vm_fetch` and `vm_store`. What the caller's machine gives and gets is its agent's, never root's."""

    def __init__(self, *, machines: Machines, homes: Homes, which: Callable[[str], VmId]) -> None:
        """`which` finds a machine of this swarm by id or label, or raises `UserError`."""
        self._machines = machines
        self._homes = homes
        self._which = which

    def exec(self, call: ToolCall, heed: Heed) -> str:
        """Run a command once. At its time limit, or when the call is given up, its processes are killed.

        It runs on whatever becomes of the line or of us: who comes back waits for its end as the first did.
        """
        wish = params.read(params.Exec, call.params)
        shell = self._machines.shell(self._which(wish.vmId))
        limit_s = min(wish.timeout or _LONGEST_S, _LONGEST_S)
        mine = f"{_FOLDER}/{call.dialog}"
        inner = as_owner(owner_on(shell), f"cd {quote(wish.cwd)} && eval {quote(wish.command)}")
        # `timeout` leads a process group of its own; its id is kept so that the group can be killed from outside.
        job = (
            f"timeout -s KILL {limit_s:g} {inner} >{mine}/out 2>&1 </dev/null & echo $! >{mine}/pid; wait $!; "
            f'echo "$? $SECONDS" >{mine}/end.new && mv {mine}/end.new {mine}/end'
        )
        script = (
            f"mkdir -p {_FOLDER}; {_TIDY}; if mkdir {mine} 2>/dev/null; "
            f"then setsid bash -c {quote(job)} </dev/null >/dev/null 2>&1 & wait $!; "
            f"else sleep 0.5; [ -e {mine}/pid ] || exit 1; until [ -e {mine}/end ]; do sleep 0.2; done; fi; cat {mine}/end"
        )
        heed.when_over(lambda: self._kill(shell, mine))
        for attempt in stamina.retry_context(on=Transient, attempts=5, timeout=None):
            with attempt:
                heed.check()
                ended = shell.run(script, timeout_s=limit_s + 30.0).text.split()
        heed.check()
        status, seconds = int(ended[0]), int(ended[1])
        timed_out = status == _KILLED and seconds >= int(limit_s)
        output = shell.run(f"tail -c {_OUTPUT_BYTES} {mine}/out").stdout
        return json.dumps({"status": status, "timedOut": timed_out, **self._handed(call, output)})

    def fetch(self, call: ToolCall, _heed: Heed) -> str:
        """The bytes of a file, as they are."""
        wish = params.read(params.Fetch, call.params)
        shell = self._machines.shell(self._which(wish.vmId))
        return json.dumps(self._handed(call, read_as_owner(shell, wish.path)))

    def store(self, call: ToolCall, _heed: Heed) -> str:
        """These bytes and no others become a file's content. Its mode stays, and a link is followed as its owner may."""
        wish = params.read(params.Store, call.params)
        if wish.at is not None:
            content = self._homes.of(call).read(wish.at)
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
        done = shell.run(as_owner(owner_on(shell), script), stdin=content, timeout_s=180.0, check=False)
        if done.exit_status != 0:
            raise UserError(last_words(done.stderr) or f"{wish.path} could not be written")
        return "{}"

    def _handed(self, call: ToolCall, content: bytes) -> dict[str, str]:
        if len(content) <= _SMALL_BYTES:
            return {"data": base64.b64encode(content).decode()}
        return {"at": self._homes.of(call).hand(call.dialog, content)}

    @staticmethod
    def _kill(shell: Shell, folder: str) -> None:
        try:
            shell.run(f"kill -KILL -- -$(cat {folder}/pid)", check=False)
        except BotError:
            return  # the machine cannot be reached: its own time limit ends the command
