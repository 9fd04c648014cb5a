"""What becomes of an agent when its machine fails under it: each end is seen within a minute, with its reason."""

import contextlib
import subprocess
import time
from pathlib import Path

from bot.agents.daemon import START
from bot.agents.lines import STARTS
from bot.core.models import AgentLabel, AgentState, CommitId, VmId
from bot.local.vers.cgroups import PARENT, hierarchies
from bot.local.vers.server import Running
from bot.vms.base import Shell
from bot.vms.ssh import SshConnector
from tests.agents.building import ARCHITECT, Build, Building, turns
from tests.agents.conftest import World
from tests.agents.scripted import call, say
from tests.waiting import wait_until

MEMORY, DISK, TMUX, KEEPER, PAUSED = map(AgentLabel, ("memory", "disk", "tmux", "keeper", "paused"))
WITHIN_S = 60
HUNGRY = """
import os, time
for _ in range(40):
    if not os.fork():
        kept = b"x" * (30 << 20)
        time.sleep(60)
    time.sleep(0.05)
time.sleep(60)
"""
"""Many that are each smaller than pi, so that the kernel chooses pi."""


def outside_of(vm: VmId) -> int:
    """A process of a machine, as its host sees it."""
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):  # it ended, or is nobody's to look into
            if entry.name.isdigit() and (entry / "root/etc/hostname").read_text().strip() == f"vm-{vm[:8]}":
                return int(entry.name)
    raise AssertionError(f"no process of {vm}")


def small_disk(vm: VmId) -> None:
    """What pi's keeper, its filter and pi write goes to a disk of 64 MB."""
    enter = ["nsenter", "--target", str(outside_of(vm)), "--mount"]
    mount = ["mount", "-t", "tmpfs", "-o", "size=64m,mode=755", "disk", STARTS]
    subprocess.run([*enter, *mount], check=True, timeout=10, cwd="/")


def limit_memory(run: str, vm: VmId, mib: int) -> bool:
    """Take memory from a machine that runs, where this host can."""
    for kind, file in (("memory", "memory.limit_in_bytes"), ("v2", "memory.max")):
        limit = hierarchies().get(kind, Path("/none")) / PARENT / run / vm / file
        if limit.exists():
            limit.write_text(str(mib << 20))
            return True
    return False


def test_each_end_is_seen_with_its_reason(
    world: World, golden: CommitId, local_vers: Running, build: Build
) -> None:
    """A pi without memory, one with a full disk, one whose keeper and tmux are gone, and a paused machine. Who only lost the
    tmux that started it works on.
    """
    connect = SshConnector(
        world.provider, vm_domain=local_vers.vm_domain, front=local_vers.front, ca_file=local_vers.ca_file,
        silence_s=5.0,
    )  # fmt: skip
    known: set[VmId] = set()

    def prepared(vm: VmId, *, timeout_s: float = 60.0) -> Shell:
        shell = connect(vm, timeout_s=timeout_s)
        if vm not in known:
            known.add(vm)
            small_disk(vm)
        return shell

    run = world.new_run()
    swarm = build(run, connect=prepared, max_agents=7, warm_workers=5)
    labels = [MEMORY, DISK, TMUX, KEEPER, PAUSED]
    world.model.scripts["architect-states"] = turns(
        [call("vers_swarm_spawn", count=len(labels), labels=labels)],
        [
            *(call("vers_swarm_task", agentId=name, task="@@waits") for name in (TMUX, KEEPER, PAUSED)),
            call("vers_swarm_task", agentId=MEMORY, task="@@hungers"),
            call("vers_swarm_task", agentId=DISK, task="@@writes"),
        ],
        [call("bash", command="until [ -e /tmp/go ]; do sleep 0.1; done")],
        [say("done")],
    )
    world.model.scripts["waits"] = turns(
        [call("bash", command="until [ -e /tmp/go ]; do sleep 0.1; done")], [say("I went on.")]
    )
    world.model.scripts["hungers"] = turns([call("bash", command=f"python3 -c '{HUNGRY}'")])
    world.model.scripts["writes"] = turns([call("bash", command="until [ -e /tmp/go ]; do sleep 0.1; done")])
    building = Building(swarm, "@@architect-states")

    def at_work(label: AgentLabel) -> bool:
        watch = swarm._roster.watch(label)
        return bool(watch and watch.progress.open_tools)

    for label in labels:
        wait_until(lambda label=label: at_work(label), 60, f"{label} works")
    vms = {label: swarm.shell_of(label).vm for label in labels}
    world.provider.set_paused(vms[PAUSED], paused=True)
    limited = limit_memory(local_vers.run, vms[MEMORY], 300)
    if not limited:
        swarm.shell_of(MEMORY).run(
            f"while kill -KILL $(cat {STARTS}/{START}/pid); do sleep 2; done", check=False
        )
    swarm.shell_of(TMUX).run("tmux -L swarm kill-server")
    swarm.shell_of(DISK).run(
        f"dd if=/dev/zero of={STARTS}/full bs=1M status=none; touch /tmp/go", check=False
    )
    swarm.shell_of(KEEPER).run(f"pkill -KILL -f [w]rapper.sh; kill -KILL $(cat {STARTS}/{START}/pid)")
    swarm.shell_of(TMUX).run("touch /tmp/go")

    deadline = time.monotonic() + WITHIN_S

    def reason(label: AgentLabel, state: AgentState) -> str:
        def seen() -> list[str]:
            view = swarm._roster.view(label)
            return [view.reason] if view.state is state else []

        return wait_until(seen, deadline - time.monotonic(), f"{label} is {state}")[0]

    assert reason(TMUX, AgentState.DONE) == ""
    assert reason(DISK, AgentState.FAILED) == "pi is gone without a trace (its disk is full)"
    assert reason(KEEPER, AgentState.FAILED) == "pi is gone without a trace"
    why = " (its machine has run out of memory)" if limited else ""
    assert reason(MEMORY, AgentState.FAILED) == "pi ended with exit status 137" + why
    replaced = wait_until(
        lambda: [event.data for event in world.runs.events(run) if event.kind == "replaced"],
        deadline - time.monotonic(),
        "the paused machine's worker is lost",
    )
    assert replaced == [{"label": PAUSED, "reason": "its machine was paused"}]
    swarm.shell_of(ARCHITECT).run("touch /tmp/go")
    assert building.result().architect_state is AgentState.DONE
