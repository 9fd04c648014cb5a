import pytest

from bot.core.models import AgentLabel
from bot.core.timeline import Command, Course, ModelCall, Task, Wait, critical_path

RATE = 100.0
TTFT_S = 0.5


def label(name: str) -> AgentLabel:
    return AgentLabel(name)


def call(agent: str, started: float, tokens: int, *, late_s: float = 0.0) -> ModelCall:
    """A call that took its ideal time, or `late_s` longer."""
    return ModelCall(label(agent), started, started + TTFT_S + tokens / RATE + late_s, tokens)


def command(agent: str, started: float, seconds: float) -> Command:
    return Command(label(agent), started, started + seconds)


def path(
    calls: list[ModelCall],
    commands: list[Command] | None = None,
    tasks: list[Task] | None = None,
    waits: list[Wait] | None = None,
    install_s: float = 0.0,
    start_s: float = 0.0,
) -> float:
    return critical_path(
        calls,
        commands or [],
        tasks or [],
        waits or [],
        preview_install_s=install_s,
        preview_start_s=start_s,
        rate_tokens_per_s=RATE,
        ttft_s=TTFT_S,
    )


def test_one_agent_is_a_chain() -> None:
    """Call, command, call, then the app: the sum, however long the gaps were."""
    calls = [call("architect", 100.0, 50), call("architect", 110.0, 150, late_s=4)]
    ran = [command("architect", 105.0, 2.0)]
    assert path(calls, ran, install_s=3.0, start_s=0.25) == pytest.approx(1.0 + 2.0 + 2.0 + 3.0 + 0.25)


def test_the_brief_comes_first() -> None:
    """The architect's prompt is made from it."""
    assert path([call("brief", 0, 150), call("architect", 9, 50)]) == pytest.approx(2.0 + 1.0)


def test_parallel_workers_count_once() -> None:
    """Of two workers, the longer one is on the path, from its task to the wait's end."""
    calls = [
        call("architect", 0, 50),  # spawns and tasks: 1.0
        call("fast", 5, 50),
        call("slow", 6, 450),  # 5.0
        call("slow", 20, 50),  # 1.0
        call("architect", 4, 0),  # asks to wait: 0.5
        call("architect", 40, 150),  # 2.0
    ]
    tasks = [Task(label("fast"), 2.0), Task(label("slow"), 2.0)]
    waits = [Wait((label("fast"), label("slow")), 4.6, 35.0)]
    assert path(calls, [], tasks, waits) == pytest.approx(1.0 + 5.0 + 1.0 + 2.0)


def test_the_architects_own_work_may_be_the_longer_way() -> None:
    """A worker that ends early costs nothing while the architect writes."""
    calls = [
        call("architect", 0, 50),
        call("worker", 3, 50),
        call("architect", 3, 950),  # 10.0
        call("architect", 30, 50),
    ]
    waits = [Wait((label("worker"),), 14.0, 14.1)]
    assert path(calls, [], [Task(label("worker"), 2.0)], waits) == pytest.approx(1.0 + 10.0 + 1.0)


def test_two_waits_that_time_out_and_end() -> None:
    """A wait that ran into its limit binds nothing that was still going on; the next one does."""
    calls = [
        call("architect", 0, 50),  # 1.0
        call("architect", 2, 0),  # first wait: 0.5
        call("worker", 3, 2950),  # 30.0, goes on beyond the first wait
        call("architect", 12, 0),  # second wait: 0.5
        call("architect", 50, 50),  # 1.0
    ]
    waits = [Wait((label("worker"),), 2.6, 11.0), Wait((label("worker"),), 12.6, 45.0)]
    assert path(calls, [], [Task(label("worker"), 1.5)], waits) == pytest.approx(1.0 + 30.0 + 1.0)


def test_a_worker_that_nobody_awaits_is_off_the_path() -> None:
    """What the architect did not wait for did not hold up the result."""
    calls = [call("architect", 0, 50), call("worker", 2, 5000), call("architect", 3, 50)]
    assert path(calls, [], [Task(label("worker"), 1.5)], []) == pytest.approx(1.0 + 1.0)


def test_commands_side_by_side_count_once() -> None:
    """Two commands of one message overlap, so the longer one counts; one that follows is added."""
    calls = [call("architect", 0, 50), call("architect", 20, 50)]
    overlapping = [command("architect", 2.0, 3.0), command("architect", 2.1, 5.0)]
    assert path(calls, overlapping) == pytest.approx(1.0 + 5.0 + 1.0)
    following = [command("architect", 2.0, 3.0), command("architect", 6.0, 5.0)]
    assert path(calls, following) == pytest.approx(1.0 + 3.0 + 5.0 + 1.0)


def test_a_workers_command_holds_up_the_architect() -> None:
    """What a worker ran last is awaited like what it said last."""
    calls = [call("architect", 0, 50), call("worker", 2, 50), call("architect", 20, 50)]
    waits = [Wait((label("worker"),), 1.2, 15.0)]
    tasks = [Task(label("worker"), 1.1)]
    assert path(calls, [command("worker", 4.0, 7.0)], tasks, waits) == pytest.approx(1.0 + 1.0 + 7.0 + 1.0)


def test_a_second_task_starts_from_its_own_call() -> None:
    """A worker that is tasked again goes on after the architect's later call."""
    calls = [
        call("architect", 0, 50),
        call("worker", 2, 50),
        call("architect", 10, 350),  # 4.0, gives the second task
        call("worker", 15, 50),
        call("architect", 30, 50),
    ]
    tasks = [Task(label("worker"), 1.5), Task(label("worker"), 14.2)]
    waits = [Wait((label("worker"),), 1.6, 5.0), Wait((label("worker"),), 14.3, 25.0)]
    # 1.0, worker 1.0, architect 4.0, worker 1.0, architect 1.0
    assert path(calls, [], tasks, waits) == pytest.approx(8.0)


def test_the_chain_says_who_waited_for_whom() -> None:
    """From the first call to the last: the gap before each node, and what it took beyond its ideal time."""
    calls = [call("architect", 10.0, 50), call("w", 13.0, 150, late_s=0.25), call("architect", 17.0, 50)]
    course = Course(calls, [], [Task(label("w"), 11.5)], [Wait((label("w"),), 11.6, 16.0)], ttft_s=TTFT_S)
    links = course.chain(RATE)
    assert [link.edge for link in links] == [
        "begins", "call of architect → call of w", "call of w → call of architect",
    ]  # fmt: skip
    assert [link.waited_s for link in links] == [0.0, pytest.approx(2.0), pytest.approx(1.75)]
    assert [link.over_s for link in links] == pytest.approx([0.0, 0.25, 0.0])
    total = calls[-1].ended - calls[0].started
    assert course.path(RATE) + sum(link.waited_s + link.over_s for link in links) == pytest.approx(total)


def test_nothing_is_nothing() -> None:
    """A build without calls has only its app."""
    assert path([], install_s=1.0, start_s=2.0) == pytest.approx(3.0)
