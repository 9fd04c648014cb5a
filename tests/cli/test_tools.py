"""`swarm-bot pi install` and `swarm-bot tools`: a person's own pi on a computer drives a swarm on Vers."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bot.cli.wiring import stores, templates
from bot.core.errors import UserError
from bot.pipeline.journal.migrate import migrate
from bot.settings import Settings
from tests.agents.building import turns
from tests.agents.scripted import Block, ScriptedModel, call, say
from tests.agents.scripted import results as told
from tests.cli.conftest import Say
from tests.cli.own_pi import OwnPi, installed, results
from tests.cli.test_run import machines
from tests.waiting import wait_until

SPEC = "# The contract\n\nThe server sends `segments`.\n"


@pytest.fixture
def model() -> Iterator[ScriptedModel]:
    """Plays the person's pi and the workers."""
    played = ScriptedModel()
    yield played
    played.close()


def test_installed_and_taken_away(swarm_bot: Say, tmp_path: Path) -> None:
    """Doing it again changes nothing, what a person changed or wrote is left alone, and nothing else is touched."""
    folder = tmp_path / "agent"
    (folder / "extensions").mkdir(parents=True)
    (folder / "extensions" / "mine.ts").write_text("// mine")
    where = ("--pi-folder", str(folder), "--json")
    done = swarm_bot("pi", "install", *where)
    assert {row["now"] for row in done} == {"written"}
    extension = folder / "extensions" / "swarm-build" / "index.ts"
    assert extension.read_bytes() == (templates() / "vm" / "swarm.ts").read_bytes()
    assert {row["now"] for row in swarm_bot("pi", "install", *where)} == {"as it was"}
    skill = folder / "skills" / "architect-pattern" / "SKILL.md"
    skill.write_text("my own words")
    with pytest.raises(UserError, match=r"SKILL.md is there and is not ours: move it away first"):
        swarm_bot("pi", "install", *where)
    gone = {Path(row["file"]).name: row["now"] for row in swarm_bot("pi", "uninstall", *where)}
    assert gone == {"index.ts": "removed", "SKILL.md": "changed since: kept", "installed.json": "removed"}
    left = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert left == {"extensions/mine.ts", "skills/architect-pattern/SKILL.md"}
    with pytest.raises(UserError, match="Nothing of ours is in"):
        swarm_bot("pi", "uninstall", *where)


@pytest.mark.machines
@pytest.mark.usefixtures("golden_image")
def test_a_persons_own_pi_drives_a_swarm(
    swarm_bot: Say, settings: Settings, environment: dict[str, str], model: ScriptedModel, tmp_path: Path
) -> None:
    """The same tools, with the project folder as the workspace. The swarm outlives pi, a call that is given up ends, and
    after the last teardown nothing is left.
    """
    programs = installed(settings.swarm_cache)
    kept = stores(settings)
    migrate(kept.database)
    agent, project = tmp_path / "agent", tmp_path / "project"
    project.mkdir()
    swarm_bot("pi", "install", "--pi-folder", str(agent), "--json")
    provider = {"baseUrl": model.url, "apiKey": "a-key"}
    (agent / "models.json").write_text(json.dumps({"providers": {"anthropic": provider}}))
    there = {**environment, "ANTHROPIC_BASE_URL": model.url, "ANTHROPIC_API_KEY": "a-key"}
    found: dict[str, str] = {}

    def hands(turn: int, messages: list[dict[str, Any]]) -> list[Block]:
        if turn == 1:
            found["vm"] = json.loads(told(messages)[-1])["vmId"]
        return [
            lambda: [call("vers_vm_create", mem_size_mib=512, fs_size_mib=1024)],
            lambda: [call("vers_vm_use", vmId=found["vm"])],
            lambda: [call("bash", command="seq 1 9000; pwd")],
            lambda: [call("vers_vm_copy", localPath="made", remotePath="there", direction="to_vm")],
            lambda: [call("read", path="there/server.txt")],
            lambda: [call("vers_vm_local"), call("vers_vm_delete", vmId=found["vm"])],
            lambda: [say("done")],
        ][turn]()

    model.scripts["here-begins"] = turns(
        [call("vers_swarm_status"), call("write", path="SPEC.md", content=SPEC)],
        [call("vers_swarm_spawn", count=2, labels=["server", "sleeper"])],
        [call("vers_swarm_task", agentId="server", task="@@there-works")],
        [say("They work.")],
    )
    model.scripts["there-works"] = turns(
        [call("write", path="server.txt", content="made")], [say("I made it.")]
    )
    model.scripts["here-goes-on"] = turns(
        [call("vers_swarm_wait")],
        [call("vers_swarm_collect", destination="made"), call("vers_swarm_read", agentId="server")],
        [say("It stands.")],
    )
    model.scripts["here-hands"] = hands
    model.scripts["here-waits"] = turns(
        [call("vers_swarm_task", agentId="sleeper", task="@@there-sleeps")],
        [call("vers_swarm_wait", agentIds=["sleeper"])],
        [say("never")],
    )
    model.scripts["there-sleeps"] = turns([call("bash", command="sleep 100")])
    model.scripts["here-ends"] = turns([call("vers_swarm_teardown")], [say("gone")])

    first = OwnPi(programs, there, agent, project)
    first.send(id="commands", type="get_commands")
    listed = first.until("response", id="commands")[-1]["data"]["commands"]
    assert "skill:architect-pattern" in [each["name"] for each in listed]
    try:
        begun = first.prompt("@@here-begins")
        assert "There is no swarm yet: vers_swarm_spawn begins one." in begun
        assert begun[-1] == "server has its task with SPEC.md."
        first.close()
        (run,) = kept.runs.active()
        second = OwnPi(programs, there, agent, project)
        gone_on = second.prompt("@@here-goes-on")
        assert gone_on[0].startswith("1 of 1 workers done.")
        assert f"1 files were copied into {project}/made." in "\n".join(gone_on)
        assert "I made it." in "\n".join(gone_on)
        assert (project / "made" / "server.txt").read_text() == "made"
        assert any(SPEC in text for text in model.texts_with("@@there-works"))

        used = second.prompt("@@here-hands")
        assert "8999\n9000\n/root/workspace" in used[2]
        assert used[3].startswith("1 files were copied to /root/workspace/there")
        assert used[4] == "made"
        assert any(text.endswith("is deleted.") for text in used[5:])  # two calls at once, in any order

        second.send(id="prompt", type="prompt", message="@@here-waits")
        second.until("tool_execution_start", toolName="vers_swarm_wait")
        second.send(id="abort", type="abort")
        assert "the call was cancelled" in results(second.until("agent_settled"))
        wait_until(
            lambda: all(row.result for row in kept.fleet.calls(run.id)), 20, "the wait ended with its caller"
        )

        second.prompt("@@here-ends")
        second.close()
        wait_until(lambda: kept.runs.get(run.id).state.ended, 60, "the swarm has ended with its last machine")
        wait_until(lambda: machines(settings) == [], 20, "no machine is left")
    finally:
        for each in kept.runs.active():
            kept.runs.cancel(each.id, "operator", "the test is over")
        wait_until(lambda: not kept.runs.active(), 60, "the swarm has ended")
