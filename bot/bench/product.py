"""The product, as its user meets it: a label on an issue, and a pull request with a preview that answers."""

import time
from collections import defaultdict
from collections.abc import Sequence

from bot.bench.built import COMPARED_RATE, Built, Contender
from bot.bench.ground import PERSON, REPOSITORY, Ground, Issue
from bot.cli.report import course_of, report_of
from bot.cli.world import Person, machines_left
from bot.core.codec import load
from bot.core.errors import Permanent
from bot.core.models import Evidence, RunId
from bot.core.timeline import ARCHITECT, BRIEF, Course, Link

_LOOK_EVERY_S = 0.1
_BUILD_LIMIT_S = 900.0
_CLEAN_LIMIT_S = 120.0
_SHOWN_LOSSES = 12


def build(ground: Ground, issue: Issue, conditions: str) -> tuple[Built, Course]:
    """One build; its pull request is closed and its machines are gone on return.

    Raises:
        Permanent: it did not end well, or not in time, or left machines.
    """
    world, person = ground.at_rate(), Person(ground.world.github, PERSON)
    number, url = person.open_issue(REPOSITORY, issue.title, issue.text)
    labelled_at = time.time()
    person.label(REPOSITORY, number, world.settings.trigger_label)
    run = _ended(ground, number)
    report = report_of(world, ground.stores, run, issue_url=url, labelled_at=labelled_at)
    if pull := report["pull_request"]:
        person.close_pull_request(REPOSITORY, pull)
    _await_no_machines(ground)
    row = ground.stores.runs.get(run)
    evidence = load(Evidence, row.result["evidence"]) if "evidence" in row.result else None
    course = course_of(world, row, evidence)
    if course is None or not (report["state"] == "succeeded" and report["answered"]):
        problem = evidence.problem if evidence else ""
        raise Permanent(f"the build of {issue.name} did not succeed: {report['reason'] or problem}")
    rate, seconds = ground.model["rate"], report["seconds"]["total"]
    path_s = course.path(rate)
    built = Built(
        Contender.PRODUCT,
        issue.name,
        issue.workers,
        rate,
        conditions,
        seconds,
        path_s,
        course.path(COMPARED_RATE),
        own_path_s=path_s,
        output_tokens=sum(call.output_tokens for call in course.calls),
        phases=_phases(ground, run, labelled_at),
        lost=losses(course.chain(rate)),
    )
    return built, course


def losses(chain: Sequence[Link]) -> tuple[tuple[str, float], ...]:
    """Seconds by which the chain was longer than ideal, by what waited for what; the longest first."""
    lost: defaultdict[str, float] = defaultdict(float)
    for link in chain:
        words = " ".join(_role(word) for word in link.edge.split())
        lost[words] += link.waited_s
        lost[f"{words.rpartition('→ ')[2]}: longer than ideal"] += link.over_s
    return tuple(sorted(lost.items(), key=lambda pair: -pair[1])[:_SHOWN_LOSSES])


def _role(word: str) -> str:
    kinds = ("call", "command", "of", "→", "begins", ARCHITECT, BRIEF)
    return word if word in kinds else "worker"


def _ended(ground: Ground, number: int) -> RunId:
    end = time.monotonic() + _BUILD_LIMIT_S
    while time.monotonic() < end:
        ground.world.processes.check()
        found = ground.stores.runs.of_issue(REPOSITORY, number)
        if found and found[0].state.ended:
            return found[0].id
        time.sleep(_LOOK_EVERY_S)
    raise Permanent(f"the build of issue {number} did not end within {_BUILD_LIMIT_S:g} s")


def _await_no_machines(ground: Ground) -> None:
    end = time.monotonic() + _CLEAN_LIMIT_S
    while machines_left(ground.world.vers):
        if time.monotonic() > end:
            raise Permanent("machines are left although the pull request was closed")
        time.sleep(_LOOK_EVERY_S)


def _phases(ground: Ground, run: RunId, labelled_at: float) -> dict[str, float]:
    events = ground.stores.runs.events(run)
    steps = {str(e.data["name"]): float(e.data["seconds"]) for e in events if e.kind == "step"}
    entered = [event.at for event in events if event.kind == "phase"]
    queue = {"queue": round(min(entered) - labelled_at, 3)} if entered else {}
    return {**queue, **steps}
