"""The guide's files on the root machine, `/root/.swarm/registry.json` and `status/{agent}.json`, as the swarm is."""

import json
import logging
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from bot.agents.lines import SWARM_HOME
from bot.agents.machines import Machines
from bot.agents.roster import ARCHITECT, Roster
from bot.agents.tasking import Tasking
from bot.core.errors import BotError
from bot.core.models import AgentView, Role, VmId

log = logging.getLogger(__name__)

_EVERY_S = 1.0
_SUMMARY_CHARS = 2_000


class Conventions:
    """Writes what has changed, whenever something has. Nobody but root can write there, so that what stands is true."""

    def __init__(
        self, *, roster: Roster, machines: Machines, tasking: Tasking, now: Callable[[], float]
    ) -> None:
        self._roster = roster
        self._machines = machines
        self._tasking = tasking
        self._now = now
        self._written: dict[str, Mapping[str, Any]] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="conventions", daemon=True)

    def start(self) -> None:
        """Begin to write; call it when the architect has a machine."""
        self._thread.start()

    def close(self) -> None:
        """Write no more."""
        self._stop.set()
        if self._thread.ident is not None and self._thread is not threading.current_thread():
            self._thread.join(timeout=10.0)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self.write()
            except BotError as error:  # its watch sees what is wrong with the machine
                log.info("the conventions were not written: %s", error)
                self._stop.wait(_EVERY_S)
            self._roster.wait(_EVERY_S)

    def write(self) -> None:
        """Write the files that are not as they should be.

        Raises:
            BotError: the root machine cannot be written to.
        """
        root = self._roster.view(ARCHITECT).vm
        if root is None:
            return
        views = self._roster.views()
        wanted = {"registry.json": {"vms": self._registry(views, root)}}
        wanted |= {f"status/{view.label}.json": self._status(view, views) for view in views}
        shell = self._machines.shell(root)
        for name, content in wanted.items():
            if self._written.get(name) != content:
                stamped = {**content, "updatedAt": self._time()} if name != "registry.json" else content
                shell.write_file(f"{SWARM_HOME}/{name}", json.dumps(stamped, indent=2).encode() + b"\n")
                self._written[name] = content

    def _registry(self, views: list[AgentView], root: VmId) -> list[dict[str, Any]]:
        alive = self._machines.all()
        rows = [
            {
                "vmId": view.vm,
                "agentId": view.label,
                "parentVmId": "" if view.label == ARCHITECT else root,
                "role": "agent",
                "status": view.state,
            }
            for view in views
            if view.vm in alive.values()
        ]
        return rows + [
            {
                "vmId": vm,
                "agentId": purpose,
                "parentVmId": root,
                "role": "scratchpad",
                "status": self._scratch_state(vm),
            }
            for purpose, vm in self._machines.of_scratch().items()
        ]

    def _scratch_state(self, vm: VmId) -> str:
        try:
            return self._machines.known_state(vm)
        except BotError as error:
            log.info("the state of %s is not known: %s", vm, error)
            return "unknown"

    def _status(self, view: AgentView, views: list[AgentView]) -> dict[str, Any]:
        watch = self._roster.watch(view.label)
        progress = watch.progress if watch else None
        calls = self._tasking.calls(view.label)
        is_root = view.label == ARCHITECT
        return {
            "agentId": view.label,
            "vmId": view.vm,
            "status": view.state,
            "reason": view.reason,
            "task": str(calls[-1].params.get("task", ""))[:_SUMMARY_CHARS] if calls else "",
            "summary": progress.last_text[-_SUMMARY_CHARS:] if progress else "",
            "artifacts": list(progress.files) if progress else [],
            "children": [each.label for each in views if each.role is Role.WORKER] if is_root else [],
        }

    def _time(self) -> str:
        return datetime.fromtimestamp(self._now(), UTC).isoformat(timespec="seconds")
