import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from bot.agents.tasking import WorkerTask
from bot.bench.alone import AlonePrompt
from bot.bench.guide import GuidePrompt
from bot.core.models import AgentLabel
from bot.core.prompts import architect_prompt
from bot.local.model.scenarios import all_scenarios, recognise
from bot.local.model.scenarios.board import SIZES, board, title
from bot.local.model.scenarios.scenario import Scenario
from bot.local.model.server import Running, start
from tests.local.model.swarm import TEXTS, Swarm


@pytest.fixture(scope="module")
def model() -> Iterator[Running]:
    running = start(rate=0, ttft_s=0)
    yield running
    running.stop()


def scenario(name: str) -> Scenario:
    return next(each for each in all_scenarios() if each.name == name)


def test_every_example_issue_has_its_scenario() -> None:
    """An issue of docs/issues is recognised, and two are never the same."""
    found = [recognise(path.read_text()) for path in sorted(Path("docs/issues").glob("*.md"))]
    names = [each.name for each in found if each]
    assert len(names) == len(found) == len(set(names))


@pytest.mark.parametrize("each", all_scenarios(), ids=lambda each: each.name)
def test_a_scenario_is_recognised_at_every_stage(each: Scenario) -> None:
    """The prompts that the product makes from a scenario's brief and tasks lead back to it."""
    assert recognise(architect_prompt(each.brief, texts=TEXTS, golden="abc")) is each
    for part in each.parts:
        view = WorkerTask(AgentLabel(part.label), part.task, each.files["SPEC.md"])
        assert recognise(TEXTS.render("prompts/worker.md.j2", view)) is each
    assert [part.label for part in each.parts] == [c.label for c in each.brief.components]


def test_the_seam_of_the_game_breaks_and_is_mended(model: Running, tmp_path: Path) -> None:
    """The client really reads a field that the server does not send; the check finds it, the edit mends it."""
    swarm = Swarm(model, tmp_path, scenario("snake"))
    last_words = swarm.build()
    bash = [(output, failed) for tool, output, failed in swarm.results if tool == "bash"]
    assert [failed for _, failed in bash] == [True, False]
    assert "client reads what no snake has: snake" in bash[0][0]
    assert "FAIL" not in bash[1][0]
    assert "all checks passed" in bash[1][0]
    assert [tool for tool, _, _ in swarm.results] == [
        "write", "vers_swarm_spawn", *["vers_swarm_task"] * 3, "write", "write", "vers_swarm_wait", "vers_swarm_collect",
        "bash", "edit", "bash", "vers_swarm_teardown",
    ]  # fmt: skip
    assert "Snake Arena is ready" in last_words
    assert "snake.segments" in (swarm.workspace / "public" / "game.js").read_text()


def test_the_word_counter_passes_its_tests(model: Running, tmp_path: Path) -> None:
    """The brief's check command succeeds on the assembled files."""
    chosen = scenario("wordcount")
    swarm = Swarm(model, tmp_path, chosen)
    assert "passes on the assembled whole" in swarm.build()
    done = subprocess.run(
        chosen.brief.check.split(), cwd=swarm.workspace, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
    assert "# pass 14" in done.stdout


@pytest.mark.parametrize("name", ["clock", "guestbook", "meetup", "typo"])
def test_the_small_scenarios_end_with_their_files(model: Running, tmp_path: Path, name: str) -> None:
    """All that the workers own is in the architect's workspace at the end."""
    chosen = scenario(name)
    swarm = Swarm(model, tmp_path, chosen)
    assert swarm.build() == chosen.closing
    for part in chosen.parts:
        for path, text in part.files.items():
            assert (swarm.workspace / path).read_text() == text


def test_a_failed_worker_is_made_good(model: Running, tmp_path: Path) -> None:
    """What a worker did not deliver, the architect writes itself."""
    swarm = Swarm(model, tmp_path, scenario("wordcount"), unlucky=frozenset({"library"}))
    assert "passes on the assembled whole" in swarm.build()


def test_it_waits_until_all_have_ended(model: Running, tmp_path: Path) -> None:
    """A wait that ran into its limit is repeated for those that are still at work; a check is not mistaken for an end."""
    chosen = scenario("meetup")
    swarm = Swarm(model, tmp_path, chosen, slow={"style": 2, "program": 1}, unlucky=frozenset({"page"}))
    assert swarm.build() == chosen.closing
    assert [tool for tool, _, _ in swarm.results].count("vers_swarm_wait") == 3


def test_a_failed_spawn_ends_the_build_with_its_reason(model: Running, tmp_path: Path) -> None:
    """Without workers the architect stops and says why."""
    swarm = Swarm(model, tmp_path, scenario("meetup"), failing={"vers_swarm_spawn": 1})
    assert "vers_swarm_spawn is out of order" in swarm.build()


@pytest.mark.parametrize(
    "tool", ["write", "vers_swarm_task", "vers_swarm_wait", "vers_swarm_collect", "bash"]
)
def test_what_fails_once_is_done_again(model: Running, tmp_path: Path, tool: str) -> None:
    """A tool that fails once does not end a build."""
    chosen = scenario("meetup")
    assert Swarm(model, tmp_path, chosen, failing={tool: 1}).build() == chosen.closing


def test_a_check_that_goes_on_failing_is_admitted(model: Running, tmp_path: Path) -> None:
    """The architect does not claim what it could not show."""
    swarm = Swarm(model, tmp_path, scenario("meetup"), failing={"bash": 9})
    assert "the check fails" in swarm.build()


def test_what_it_does_not_know_it_does_not_play(model: Running, tmp_path: Path) -> None:
    """An unknown prompt gets an honest answer and no tool calls."""
    swarm = Swarm(model, tmp_path, scenario("typo"))
    assert "set ANTHROPIC_API_KEY" in swarm.converse("architect", "You are the ARCHITECT. Build a rocket.")
    assert swarm.results == []


def test_one_agent_builds_the_same_files_alone(model: Running, tmp_path: Path) -> None:
    """Without a swarm: every file, the check, and the app in the background."""
    chosen = board(2)
    swarm = Swarm(model, tmp_path, chosen)
    prompt = TEXTS.render("prompts/alone.md.j2", AlonePrompt(chosen.brief.title, "On one page."))
    assert swarm.converse("architect", prompt) == chosen.closing
    assert [tool for tool, _, _ in swarm.results] == [*["write"] * 6, "bash", "bash"]
    assert "all 2 tiles are as specified" in swarm.results[6][1]
    assert_everything_is_there(chosen, swarm)


def test_the_guides_architect_reads_and_writes_every_file_again(model: Running, tmp_path: Path) -> None:
    """As in the guide: the specification in each task, then each worker's file through the model."""
    chosen = board(2)
    swarm = Swarm(model, tmp_path, chosen)
    prompt = TEXTS.render("prompts/guide.md.j2", GuidePrompt(chosen.brief.title, "On one page.", "golden-1"))
    assert swarm.converse("architect", prompt) == chosen.closing
    assert [tool for tool, _, _ in swarm.results] == [
        "write", "vers_swarm_spawn", *["vers_swarm_task"] * 2, *["write"] * 3, "vers_swarm_wait",
        *["vers_vm_use", "read"] * 2, "vers_vm_local", *["write"] * 2, "bash", "bash",
    ]  # fmt: skip
    assert_everything_is_there(chosen, swarm)


def assert_everything_is_there(chosen: Scenario, swarm: Swarm) -> None:
    """All files of the scenario, in the workspace of whoever assembled them."""
    for files in (chosen.files, *(part.files for part in chosen.parts)):
        for path, text in files.items():
            assert (swarm.workspace / path).read_text() == text


def test_boards_differ_in_their_workers_alone() -> None:
    """Each tile has one length, whatever the size of its board, and the issue's line leads to it."""
    lengths = {
        len(text) // 100 for size in SIZES for part in board(size).parts for text in part.files.values()
    }
    assert len(lengths) == 1
    for size in SIZES:
        assert recognise(title(size)) is not None
        assert len(board(size).parts) == size


def test_the_demo_is_about_a_minute() -> None:
    """The longest path of the game: architect and client worker, at 80 tokens a second."""
    game = scenario("snake")
    client = next(part for part in game.parts if part.label == "client")
    written = [
        *game.files.values(),
        game.closing,
        *(part.task for part in game.parts),
        *client.files.values(),
    ]
    assert sum(map(len, written)) / 4 < 6000
