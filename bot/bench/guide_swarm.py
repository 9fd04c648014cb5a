"""The guide's swarm, step by step as its extension does it: one machine after another, fixed waits, a connection per command.

Sources: vers-swarm.ts of pi-v as of February 2026, lines in brackets. What a machine gets for nothing here, because the
local machines have no route out: its way to the model and to the package registries, over a line of ours that costs the
contender no time, and the answers to its architect's tool calls, which in the guide never leave the machine.
"""

import base64
import json
import logging
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from socket import create_connection
from typing import Any
from urllib.parse import urlsplit

import httpx

from bot.agents import rpc
from bot.agents.lines import MODEL_PORT, REGISTRY_PORT
from bot.agents.progress import AgentProgress, fold
from bot.bench.hand import Hand
from bot.bench.openssh import OpenSsh
from bot.core.errors import BotError, Permanent
from bot.core.models import AgentState, RunId, VmId
from bot.vms.base import Shell, labels_of

log = logging.getLogger(__name__)

RPC = "/run/pi-rpc"
"""In memory, so that `tail -f` is told of growth; on the local machines' own file system it would have to look."""
_READY_TRIES, _READY_PAUSE_S = 30, 2.0
"""[561-570]"""
_STATE_TRIES, _STATE_PAUSE_S = 9, 3.0
"""[621-643]"""
_WAIT_PAUSE_S = 2.0
"""[740, 782]"""
_MASTER_PAUSE_S = 5.0
"""[vers-vm.ts 234]: `vers_vm_use` waits so long for its shared connection, always."""
_ENDED = (AgentState.DONE, AgentState.FAILED)


@dataclass
class Agent:
    """One pi, and what its output says so far."""

    label: str
    vm: VmId
    line: "Future[Shell]"
    progress: AgentProgress = field(default_factory=AgentProgress)
    answered: threading.Event = field(default_factory=threading.Event)
    """It has answered `get_state`."""
    tail: subprocess.Popen[bytes] | None = None
    gate: threading.Lock = field(default_factory=threading.Lock)


class GuideSwarm:
    """The swarm tools of the guide. `close` deletes everything."""

    def __init__(
        self,
        hand: Hand,
        run: RunId,
        model: Mapping[str, Any],
        vm_files: Path,
        bench_files: Path,
        folder: Path,
    ) -> None:
        """
        Args:
            hand: provider, golden image, registries.
            run: name for the model's ledger.
            model: base_url and api_key of the scripted model.
            vm_files: what a person's own pi is configured with, and is copied to every machine.
            bench_files: the daemon's script.
            folder: for keys.
        """
        self._hand = hand
        self._run = run
        self._model = model
        self._vm_files = vm_files
        self._daemon = (bench_files / "daemon.sh").read_bytes()
        self._ssh = OpenSsh(hand.settings, folder)
        self.agents: dict[str, Agent] = {}
        self._masters: list[subprocess.Popen[bytes]] = []
        self._pool = ThreadPoolExecutor(32, thread_name_prefix="guide")
        self._closed = False
        self._vms: list[VmId] = []

    # The tools -------------------------------------------------------------------------------------

    def spawn(self, labels: Sequence[str]) -> str:
        """Strictly one after another [552]."""
        for label in labels:
            self._spawn(label)
        return json.dumps({"agents": [{"label": label, "vm": self.agents[label].vm} for label in labels]})

    def task(self, label: str, text: str) -> str:
        """A new connection, and the prompt into the FIFO [452-463]."""
        agent = self.agents[label]
        agent.progress = AgentProgress(ready=True)
        self._send(agent, rpc.prompt("task", text))
        return f"{label} has its task"

    def wait(self, labels: Sequence[str], timeout_s: float) -> str:
        """Looks every two seconds at what the agents' output said."""
        end = time.monotonic() + timeout_s
        while any(self.agents[label].progress.state not in _ENDED for label in labels):
            if time.monotonic() > end or self._closed:
                break
            time.sleep(_WAIT_PAUSE_S)
        return "\n".join(f"{label}: {self.agents[label].progress.state}" for label in labels)

    def use(self, label: str) -> str:
        """A shared connection to a machine, and the fixed wait for it."""
        vm = self.agents[label].vm
        self._masters.append(self._ssh.open_master(vm))
        time.sleep(_MASTER_PAUSE_S)
        return json.dumps({"vmId": vm})

    def fetch(self, vm: VmId, path: str) -> str:
        """A file of the machine in use, over its shared connection."""
        done = self._ssh.run(vm, f"cat -- {path}", options=self._ssh.master_of(vm))
        if done.returncode:
            raise Permanent(done.stderr.decode(errors="replace").strip())
        return json.dumps({"data": base64.b64encode(done.stdout).decode()})

    def close(self) -> None:
        """End all connections, delete all machines."""
        self._closed = True
        for process in [*self._masters, *(agent.tail for agent in self.agents.values() if agent.tail)]:
            process.terminate()
            process.wait()
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(self._hand.rooms.provider.delete, self._vms))
        for agent in self.agents.values():
            if agent.line.done() and agent.line.exception() is None:
                agent.line.result().close()
        self._pool.shutdown(wait=False, cancel_futures=True)

    # One machine -----------------------------------------------------------------------------------

    def _spawn(self, label: str) -> None:
        vm = self._from_commit()
        agent = self.agents[label] = Agent(label, vm, self._pool.submit(self._connect, label, vm))
        self._ssh.fetch_key(vm)
        for _ in range(_READY_TRIES):
            if b"ready" in self._ssh.run(vm, "echo ready").stdout:
                break
            time.sleep(_READY_PAUSE_S)
        self._introduce(agent)
        self._sync(vm)
        agent.line.result()
        model = self._hand.settings.agent_model
        started = self._ssh.run(vm, f"bash -s {RPC} {model}", stdin=self._daemon)
        if b"daemon_started" not in started.stdout:
            raise Permanent(f"pi was not started on {label}: {started.stderr.decode(errors='replace')}")
        agent.tail = self._ssh.follow(vm, f"{RPC}/out")
        threading.Thread(target=self._listen, args=(agent,), name=f"guide-{label}", daemon=True).start()
        for _ in range(_STATE_TRIES):
            if agent.answered.wait(_STATE_PAUSE_S):
                return
            self._send(agent, rpc.get_state(rpc.READY_ID))
        raise Permanent(f"{label} was not ready within {_STATE_TRIES * _STATE_PAUSE_S:g} s")

    def _from_commit(self) -> VmId:
        settings = self._hand.settings
        answer = httpx.post(
            f"{settings.vers_url}/api/v1/vm/from_commit",
            json={"commit_id": self._hand.golden},
            headers={"authorization": f"Bearer {settings.vers_api_key.get_secret_value()}"},
            timeout=120.0,
        )
        vm = VmId(answer.raise_for_status().json()["vm_id"])
        self._vms.append(vm)
        return vm

    def _connect(self, label: str, vm: VmId) -> Shell:
        """What costs the contender nothing: labels, so that nobody takes the machine for a stray; the way to the model."""
        self._hand.rooms.provider.label(vm, labels_of("bench", agent=label))
        shell = self._hand.rooms.connect(vm)
        at = urlsplit(str(self._model["base_url"]))
        address = (str(at.hostname), int(at.port or 80))
        shell.forward(MODEL_PORT, lambda: create_connection(address, 10.0))
        shell.forward(REGISTRY_PORT, self._hand.lines.registry(vm))
        provider = {
            "baseUrl": f"http://127.0.0.1:{MODEL_PORT}",
            "apiKey": self._model["api_key"],
            "headers": {"x-swarm-run": self._run, "x-swarm-agent": label},
        }
        content = json.dumps({"providers": {"anthropic": provider}}).encode()
        shell.write_file("/root/.pi/agent/models.json", content)
        return shell

    def _introduce(self, agent: Agent) -> None:
        identity = {
            "vmId": agent.vm,
            "agentId": agent.label,
            "parentVmId": "local",
            "depth": 1,
            "maxDepth": 50,
            "maxVms": 20,
        }
        self._ssh.run(agent.vm, "cat >/root/.swarm/identity.json", stdin=json.dumps(identity).encode())
        if len(self.agents) == 1:
            registry = {
                "vms": [{"vmId": agent.vm, "agentId": agent.label, "role": "agent", "status": "running"}]
            }
            script = "mkdir -p /root/.swarm/status && cat >/root/.swarm/registry.json"
            self._ssh.run(agent.vm, script, stdin=json.dumps(registry).encode())

    def _sync(self, vm: VmId) -> None:
        """The person's own configuration [211-332]: each skill, the settings, the instructions; no git packages."""
        self._ssh.run(vm, "mkdir -p /root/.pi/agent/skills")
        for skill in sorted((self._vm_files / "skills").iterdir()):
            self._ssh.copy(vm, skill, f"/root/.pi/agent/skills/{skill.name}")
        for name in ("settings.json", "AGENTS.md"):
            self._ssh.copy(vm, self._vm_files / name, f"/root/.pi/agent/{name}")

    def _send(self, agent: Agent, line: bytes) -> None:
        self._ssh.run(agent.vm, f"cat >{RPC}/in", stdin=line)

    # What comes back -------------------------------------------------------------------------------

    def _listen(self, agent: Agent) -> None:
        tail = agent.tail
        if tail is None or tail.stdout is None:
            return
        splitter = rpc.LineSplitter()
        while chunk := tail.stdout.read1(1 << 16):  # type: ignore[attr-defined]  # a pipe of Popen is buffered
            for line in splitter.feed(chunk):
                stamped = rpc.parse(b"%.6f\t%s" % (time.time(), line))
                if stamped is None:
                    continue
                agent.progress = fold(agent.progress, stamped)
                match stamped.event:
                    case rpc.Response(id=rpc.READY_ID):
                        agent.answered.set()
                    case rpc.Dialog() as dialog:
                        self._pool.submit(self._take, agent, dialog)
                    case _:
                        pass

    def _take(self, agent: Agent, dialog: rpc.Dialog) -> None:
        call = rpc.host_call(dialog)
        if call is None:
            answer = rpc.cancel(dialog.id)
        else:
            try:
                outcome = {"ok": True, "text": self._execute(call.tool, call.params)}
            except (BotError, KeyError, OSError, httpx.HTTPError, subprocess.SubprocessError) as error:
                log.warning("%s of the guide's architect: %s", call.tool, error)
                outcome = {"ok": False, "text": str(error)}
            answer = rpc.answer(dialog.id, json.dumps(outcome))
        if not self._closed:
            with agent.gate:
                agent.line.result().run(f"cat >{RPC}/in", stdin=answer)

    def _execute(self, tool: str, params: Mapping[str, Any]) -> str:
        tools: Mapping[str, Callable[[], str]] = {
            "vers_swarm_spawn": lambda: self.spawn(params["labels"]),
            "vers_swarm_task": lambda: self.task(params["agentId"], params["task"]),
            "vers_swarm_wait": lambda: self.wait(params["agentIds"], params.get("timeoutSeconds", 300.0)),
            "vers_vm_use": lambda: self.use(params["vmId"]),
            "vers_vm_local": lambda: "on your own machine again",
            "vm_fetch": lambda: self.fetch(VmId(params["vmId"]), params["path"]),
        }
        if tool not in tools:
            raise Permanent(f"{tool} is no tool of this contender")
        return tools[tool]()
