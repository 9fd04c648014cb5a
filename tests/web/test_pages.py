"""The pages: what they show, and what they must not."""

import re
from pathlib import Path

import pytest

from bot.core.models import AgentLabel, AgentState, Phase, RunId, RunState
from bot.pipeline.journal.database import metadata
from bot.pipeline.journal.runs import RunEvent
from bot.web.pages import event_line, site_of
from tests.web.world import World, open_world, start_build, until_success, until_swarm


@pytest.fixture
def world(tmp_path: Path) -> World:
    return open_world(tmp_path / "journal.db")


def page(world: World, path: str) -> str:
    answer = world.app().test_client().get(path)
    assert answer.status_code == 200
    return answer.text


def test_empty(world: World) -> None:
    """Before the first build the page says how to get one."""
    assert "<code>swarm-build</code>" in page(world, "/")


def test_list(world: World) -> None:
    """Every build, newest first, with state and links."""
    until_success(world, start_build(world, "000000000001"))
    start_build(world, "000000000002", "Kanban")
    text = page(world, "/")
    assert text.index("Kanban") < text.index("Multiplayer snake in the browser")
    assert "Waiting for its turn" in text
    assert 'href="https://vm-1.vm.vers.sh:3000"' in text
    assert 'href="https://github.com/octo/games/pull/8"' in text


def test_build_at_work(world: World) -> None:
    """Phases, agents, money and history of a build while it happens."""
    run = start_build(world)
    until_swarm(world, run)
    text = page(world, f"/builds/{run}")
    assert re.search(r'<li class="current"[^>]*><i></i><b>Build with the swarm</b>', text)
    assert "write server.js" in text
    assert "$0.68" in text
    assert 'href="https://github.com/octo/games/issues/7"' in text
    assert "The brief is written" in text


def test_what_the_model_reads_can_be_seen(world: World) -> None:
    """The issue as it is built and what maintainers said, without what a reader does not see."""
    run = start_build(world)
    sketch = "https://github.com/user-attachments/assets/0b5d7fd4-5a3c-4a0c-9d0e-3b1f6a2c9e11"
    world.runs.keep(run, remarks=[{"author": "wendy", "text": "Green, please."}], images=[sketch])
    text = page(world, f"/builds/{run}")
    assert "Build it" in text
    assert "@wendy: Green, please." in text
    assert f'href="{sketch}"' in text


def test_build_in_json(world: World) -> None:
    """The page asks for its moving part until the build has ended."""
    run = start_build(world)
    until_swarm(world, run)
    client = world.app().test_client()
    now = client.get(f"/builds/{run}.json").json
    assert now is not None
    assert (now["state"], now["ended"]) == ("running", False)
    assert now["html"] in client.get(f"/builds/{run}").text
    world.runs.end(run, RunState.FAILED, "out of luck")
    then = client.get(f"/builds/{run}.json").json
    assert then is not None
    assert then["ended"]
    assert "out of luck" in then["html"]


def test_preview_that_is_gone(world: World) -> None:
    """A preview whose machine was deleted is no longer offered."""
    run = start_build(world)
    until_success(world, run)
    link = 'href="https://vm-1.vm.vers.sh:3000"'
    assert link in page(world, f"/builds/{run}")
    for machine in world.fleet.machines(run):
        assert machine.vm
        world.fleet.gone(machine.vm)
    assert link not in page(world, f"/builds/{run}")
    assert link not in page(world, "/")


def test_stopping(world: World) -> None:
    """Who asked a build to stop is shown until it has."""
    run = start_build(world)
    until_swarm(world, run)
    world.runs.cancel(run, "bob", "the label was removed")
    assert "stopped by @bob: the label was removed" in page(world, f"/builds/{run}")


def test_foreign_text_is_text(world: World) -> None:
    """Titles, agents' doings and reasons are escaped; and the policy would run nothing anyway."""
    evil = "<script>alert(1)</script><img src=x onerror=y>"
    run = start_build(world, title=evil)
    world.runs.enter(run, Phase.SWARM)
    world.fleet.add_agent(run, AgentLabel("server"), "worker")  # type: ignore[arg-type]  # as stored
    world.fleet.update_agent(run, AgentLabel("server"), state=AgentState.FAILED, reason=evil)
    world.runs.record(run, "note", text=evil)
    world.runs.end(run, RunState.FAILED, evil)
    for path in ("/", f"/builds/{run}", f"/builds/{run}.json"):
        answer = world.app().test_client().get(path)
        assert "<script>alert" not in answer.text
        assert "<img src=x" not in answer.text
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Cache-Control"] == "no-store"


def test_pages_fit_their_policy(world: World) -> None:
    """No inline script, style or handler, which the policy would block."""
    run = start_build(world)
    until_success(world, run)
    for path in ("/", f"/builds/{run}"):
        text = page(world, path)
        assert not re.search(r"<script(?![^>]*\ssrc=)", text)
        assert not re.search(r"<style|\sstyle=|\son\w+=", text)
        for address in re.findall(r'(?:src|href)="(/static/[^"]+)"', text):
            assert world.app().test_client().get(address).status_code == 200


def test_unknown_build(world: World) -> None:
    """A build that does not exist is 404 with a way back."""
    answer = world.app().test_client().get("/builds/nope")
    assert answer.status_code == 404
    assert "No such build" in answer.text
    assert 'href="/"' in answer.text


def test_database_down(world: World) -> None:
    """Without the database pages say so, with 503."""
    metadata.drop_all(world.engine)
    client = world.app().test_client()
    for path in ("/", "/builds/x", "/builds.json"):
        answer = client.get(path)
        assert answer.status_code == 503
        assert "database" in answer.text


@pytest.mark.parametrize(
    ("kind", "data", "text"),
    [
        ("phase", {"phase": "swarm"}, "Build with the swarm"),
        ("agent", {"label": "server", "state": "working", "doing": "write x"}, "server: working, write x"),
        ("agent", {"label": "server", "state": "lost", "doing": "x", "reason": "gone"}, "server: lost, gone"),
        ("agent", {}, "?: ?"),
        ("state", {"state": "failed", "reason": "no luck"}, "The build failed: no luck"),
        ("state", {"state": "succeeded", "reason": ""}, "Built"),
        ("step", {"name": "collect", "seconds": 2}, "collect took 2.0 s"),
        ("warning", {"text": "two\nlines"}, "two lines"),
        ("new-kind", {"x": 1}, "new-kind"),
    ],
)
def test_history(kind: str, data: dict[str, object], text: str) -> None:
    """Each kind of event in words."""
    line = event_line(RunEvent(RunId("r"), 1, 70.0, kind, data), 5.0)
    assert (line.after, line.text) == ("1:05", text)


@pytest.mark.parametrize(
    ("api", "site"),
    [
        ("https://api.github.com", "https://github.com"),
        ("https://api.github.com/", "https://github.com"),
        ("https://git.example/api/v3", "https://git.example"),
        ("http://127.0.0.1:4001", "http://127.0.0.1:4001"),
    ],
)
def test_site(api: str, site: str) -> None:
    """Where people look follows from the API's address."""
    assert site_of(api) == site


def test_a_transcript_is_a_strangers_page(world: World) -> None:
    """It may run its scripts, in an origin of nobody's; what was not kept, or is no page yet, is not there."""
    run = start_build(world, "000000000001")
    world.transcripts.store(run, {"architect": b"<script>1</script>"}, pages=True)
    world.transcripts.store(run, {"server": b"{}"}, pages=False)
    client = world.app().test_client()
    answer = client.get(f"/builds/{run}/transcripts/architect")
    assert answer.data == b"<script>1</script>"
    policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith("sandbox allow-scripts; default-src 'none'")
    assert "allow-same-origin" not in policy
    assert client.get(f"/builds/{run}/transcripts/server").status_code == 404
    text = page(world, f"/builds/{run}")
    assert f"/builds/{run}/transcripts/architect" in text
    assert "transcripts/server" not in text
    world.clock.at += 31 * 86_400
    world.transcripts.store(RunId("000000000002"), {"x": b"y"}, pages=True)
    assert client.get(f"/builds/{run}/transcripts/architect").status_code == 404
