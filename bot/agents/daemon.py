"""One pi process on one machine: start it, send it commands exactly once, look after it, stop it."""

import json
import shlex
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import stamina

from bot.agents import rpc
from bot.agents.lines import PROGRAMS, STARTS
from bot.core.errors import Permanent, Transient
from bot.core.models import VmId
from bot.vms.base import Shell

START = "s1"
"""The name of the start of pi that a swarm follows. A machine is used by one agent, which is started once."""
_NO_READER, _NOT_WHOLE, _STOPPED_READING = 3, 4, 5
_DELIVERY_LIMIT_S = 90.0
_FULL_BYTES = 16 << 20
_KILLED = 128 + 9


class PiGone(Permanent):
    """Nobody reads pi's commands any more."""


@dataclass(frozen=True, slots=True)
class Identity:
    """`/root/.swarm/identity.json`, with the guide's field names."""

    vmId: str  # noqa: N815 - the guide's name
    agentId: str  # noqa: N815 - the guide's name
    rootVmId: str  # noqa: N815 - the guide's name
    parentVmId: str  # noqa: N815 - the guide's name
    depth: int
    maxDepth: int  # noqa: N815 - the guide's name
    maxVms: int  # noqa: N815 - the guide's name
    createdAt: str  # noqa: N815 - the guide's name


@dataclass(frozen=True, slots=True)
class Health:
    """What root on the machine sees of pi.

    Attributes:
        status: its exit status; None while it runs, or if nobody saw its end.
        free_bytes: on the fullest of the disks that it writes to.
        oom_kills: processes that the kernel has killed for their memory since pi was started.
    """

    alive: bool
    status: int | None
    stderr: str
    free_bytes: int
    oom_kills: int = 0

    @property
    def sentence(self) -> str:
        """Why pi is not running, with the last lines that it wrote to stderr."""
        end = (
            f"pi ended with exit status {self.status}"
            if self.status is not None
            else "pi is gone without a trace"
        )
        full = " (its disk is full)" if self.free_bytes < _FULL_BYTES else ""
        if self.status == _KILLED and self.oom_kills:
            full += " (its machine has run out of memory)"
        lines = [line for line in self.stderr.splitlines() if line.strip()]
        return end + full + (": " + " | ".join(lines[-5:]) if lines else "")


class Daemon:
    """pi on the machine behind a shell. Every method may be called again after a lost line."""

    def __init__(self, shell: Shell, start: str = START) -> None:
        self._shell = shell
        self.start_id = start
        self.folder = f"{STARTS}/{start}"
        self.events = f"{self.folder}/out.jsonl"

    @property
    def vm(self) -> VmId:
        """The machine it runs on."""
        return self._shell.vm

    def start(
        self,
        *,
        model: str,
        thinking: str,
        tools: Sequence[str] = (),
        bearer: str | None = None,
        identity: Identity | None = None,
        fresh: bool = False,
    ) -> bool:
        """Start pi, if this start was not made before; True if it was made now. Does not wait for pi to listen.

        One that came along running in an image is taken, unless `fresh`: pi reads the workspace's instructions as it starts.

        `bearer` (what the agent pays with) and `identity` are written if given, also to a pi that runs: it reads its key for
        every call, so that it can be started before anybody knows who it will be. `tools` names those that it may use; all
        without any.
        """
        want: dict[str, Any] = {
            "vm": self.vm, "model": model, "thinking": thinking, "tools": ",".join(tools),
            "fresh": fresh,
        }  # fmt: skip
        if bearer is not None:
            want["bearer"] = bearer
        if identity is not None:
            want["identity"] = asdict(identity)
        return bool(self._keeper("start", want)["started"])

    def wait_ready(self, timeout_s: float = 60.0) -> None:
        """Until pi answers.

        Raises:
            Permanent: it ended, or did not answer in time; the message carries its stderr.
            Transient: the line was lost.
        """
        deadline = time.monotonic() + timeout_s
        splitter = rpc.LineSplitter()
        for chunk in self._shell.follow(self.events, 0, idle_s=0.5):
            for line in splitter.feed(chunk):
                match rpc.parse(line):
                    case rpc.Stamped(_, rpc.Response(id=rpc.READY_ID)):
                        return
                    case rpc.Stamped(_, rpc.Exited()):
                        raise Permanent(self.check().sentence)
                    case _:
                        pass
            if time.monotonic() > deadline:
                health = self.check()
                why = health.stderr.strip() if health.alive else health.sentence
                raise Permanent(f"pi did not answer within {timeout_s:.0f} s. {why}".rstrip())

    def deliver(self, command_id: str, line: bytes) -> None:
        """Write one command to pi exactly once, however often this is repeated with the same id.

        Raises:
            PiGone: nobody reads.
            Transient: the line stayed away; whether pi got the command is told by doing it again.
        """
        words = (PROGRAMS + "/send.py", self.folder, command_id, str(len(line)))
        for attempt in stamina.retry_context(on=Transient, attempts=8, timeout=45.0, wait_max=5.0):
            with attempt:
                done = self._shell.run(
                    "python3 -I " + shlex.join(words), stdin=line, timeout_s=_DELIVERY_LIMIT_S, check=False
                )
                if done.exit_status in (_NO_READER, _STOPPED_READING):
                    raise PiGone(_last_words(done.stderr))
                if done.exit_status == _NOT_WHOLE:
                    raise Transient(_last_words(done.stderr))
                if done.exit_status != 0:
                    raise Permanent(f"a command could not be delivered: {_last_words(done.stderr)}")

    def check(self) -> Health:
        """How pi is; asked once, so that who watches learns soon that nobody answers.

        Raises:
            Transient: the line was lost.
        """
        return Health(**self._keeper("check", {}, tries=1))

    def stop(self) -> Health:
        """End pi and everything that runs as the agent."""
        return Health(**self._keeper("stop", {}))

    def clean(self) -> None:
        """Remove every trace of any start, as an image must have none."""
        self._keeper("clean", {})

    def _keeper(self, verb: str, want: Mapping[str, Any], tries: int = 4) -> dict[str, Any]:
        stdin = json.dumps({"start": self.start_id, **want}).encode()
        for attempt in stamina.retry_context(on=Transient, attempts=tries, timeout=45.0):
            with attempt:  # every verb may be done twice
                done = self._shell.run(f"python3 -I {PROGRAMS}/keeper.py {verb}", stdin=stdin, timeout_s=30.0)
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer


def _last_words(stderr: bytes) -> str:
    lines = stderr.decode("utf-8", "replace").strip().splitlines()
    return lines[-1] if lines else "no reason given"
