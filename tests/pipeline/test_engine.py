"""The engine, as a program of its own: steps once, errors as themselves, timers, one worker on SQLite, crashes."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bot.core.errors import UserError
from bot.pipeline import engine
from bot.pipeline.engine import Jobs, only_worker
from bot.pipeline.journal.database import Database, open_database
from bot.pipeline.journal.migrate import migrate
from tests.waiting import wait_until

WORKER = """
import json, sys, time
from bot.core import errors
from bot.pipeline.engine import Engine, Steps
url, log = sys.argv[1:]
def say(*words):
    with open(log, "a") as out: out.write(json.dumps(words) + "\\n")
steps = Steps(patience_s=20, first_wait_s=0.05)
tries = {"n": 0}
def flaky():
    tries["n"] += 1
    say("flaky", tries["n"])
    if tries["n"] < 3: raise errors.Transient("not yet", retry_after_s=0.05)
    return {"tries": tries["n"]}
def raising(name):
    def step():
        say("ran", name)
        raise getattr(errors, name)(name + "!") if hasattr(errors, name) else ValueError("odd")
    return step
def build(run):
    if run == "steps":
        steps.run("first", lambda: say("first"))
        say("flaky gave", steps.run("flaky", flaky))
        for name in ("UserError", "Declined", "Cancelled", "Permanent", "Conflict", "ValueError"):
            try: steps.run(name, raising(name))
            except errors.BotError as error: say("caught", type(error).__name__, str(error))
    if run == "crash":
        say("one", steps.run("one", lambda: (say("one runs"), 1)[1]))
        steps.run("two", lambda: (say("two runs"), time.sleep(30 if __import__("os").environ.get("HANG") else 0)))
        say("end")
engine = Engine(url, concurrent_builds=2)
engine.launch(handle_event=lambda d: say("event", d), build=build, end_preview=lambda r: say("preview", r, time.time()),
    show_again=lambda order: say("shown", order), exhibit=lambda r: say("exhibit", r))
say("up")
time.sleep(60)
"""


class Worker:
    """The worker program and its diary."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url = url
        self.log = folder / "log"
        self.processes: list[subprocess.Popen[bytes]] = []

    def start(self, **environment: str) -> subprocess.Popen[bytes]:
        """Start it and wait until it polls."""
        ups = self.count("up")
        self.processes.append(
            subprocess.Popen(
                [sys.executable, "-c", WORKER, self.url, str(self.log)], env={**os.environ, **environment}
            )
        )
        wait_until(lambda: self.count("up") > ups, 60, "the worker is up")
        return self.processes[-1]

    def said(self) -> list[list[object]]:
        """All lines of the diary."""
        return [json.loads(line) for line in self.log.read_text().splitlines()] if self.log.exists() else []

    def count(self, word: str) -> int:
        """How often a line began with a word."""
        return sum(line[0] == word for line in self.said())

    def line(self, word: str, timeout_s: float = 30) -> list[object]:
        """The first line that begins with a word, once it is there."""
        return wait_until(
            lambda: next((x for x in self.said() if x[0] == word), None), timeout_s, f"{word!r} is said"
        )


@pytest.fixture
def database(tmp_path: Path) -> Database:
    """An empty database with all tables."""
    url = f"sqlite:///{tmp_path}/journal.db"
    opened = open_database(url)
    migrate(opened)
    engine.migrate(url)
    return opened


@pytest.fixture
def worker(database: Database, tmp_path: Path) -> Iterator[Worker]:
    """A worker that is not yet started; ended with the test."""
    made = Worker(f"sqlite:///{tmp_path}/journal.db", tmp_path)
    yield made
    for process in made.processes:
        process.kill()
        process.wait()


def _queue_build(worker: Worker, database: Database, run: str) -> None:
    with database.begin() as db:
        Jobs(worker.url).build(db, run, "o/r")


def test_errors_come_out_of_steps_as_themselves(worker: Worker, database: Database) -> None:
    """Passing trouble is tried again; the rest is raised in the workflow by its own class, once."""
    worker.start()
    _queue_build(worker, database, "steps")
    caught = {}
    wait_until(lambda: worker.count("caught") == 6, 60, "all errors are caught")
    for line in worker.said():
        if line[0] == "caught":
            caught[str(line[2])] = line[1]
    assert caught == {
        "UserError!": "UserError",
        "Declined!": "Declined",
        "Cancelled!": "Cancelled",
        "Permanent!": "Permanent",
        "Conflict!": "Conflict",
        "ValueError: ValueError: odd": "Permanent",
    }
    assert ["flaky gave", {"tries": 3}] in worker.said()
    assert [line for line in worker.said() if line[0] == "ran"] == [
        ["ran", name.removesuffix("!").split(":")[0]] for name in caught
    ]


def test_a_killed_worker_repeats_only_the_step_that_ran(worker: Worker, database: Database) -> None:
    """What was recorded before the crash is not done again."""
    first = worker.start(HANG="1")
    _queue_build(worker, database, "crash")
    worker.line("two runs")
    first.send_signal(signal.SIGKILL)
    first.wait()
    worker.start()
    worker.line("end")
    assert worker.count("one runs") == 1
    assert worker.count("two runs") == 2


def test_a_job_that_is_queued_twice_runs_once(worker: Worker, database: Database) -> None:
    """Builds and events are named after their cause."""
    for _ in range(2):
        with database.begin() as db:
            Jobs(worker.url).event(db, "d-1", "o/r")
    worker.start()
    worker.line("event")
    _queue_build(worker, database, "crash")
    worker.line("end")
    assert worker.count("event") == 1


def test_a_timer_waits_and_is_set_once(worker: Worker) -> None:
    """The end of a preview comes after its delay, from a row and not from a thread."""
    worker.start()
    asked = time.time()
    for _ in range(2):
        Jobs(worker.url).end_preview_later("run-1", 2.0)
    line = worker.line("preview")
    assert float(str(line[2])) >= asked + 2.0
    assert worker.count("preview") == 1


def test_a_second_worker_on_sqlite_is_refused(tmp_path: Path) -> None:
    """In a sentence that says what to do."""
    url = f"sqlite:///{tmp_path}/journal.db"
    with only_worker(url), pytest.raises(UserError, match="another worker"), only_worker(url):
        pass
    with only_worker(url):
        pass


def test_what_is_no_json_is_refused() -> None:
    """Nothing is pickled: an object that is no plain value is a mistake of ours, and said to be one."""
    serializer = engine._Json()
    assert serializer.deserialize(serializer.serialize({"a": [1, None, "x"]})) == {"a": [1, None, "x"]}
    with pytest.raises(TypeError, match="Path"):
        serializer.serialize(Path("/"))
