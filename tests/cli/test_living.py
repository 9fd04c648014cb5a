"""Whether the process lives that a run names, on real processes."""

import json
import subprocess
import sys

from bot.cli.living import lives, process_facts
from tests.waiting import wait_until

SAYS_ITS_FACTS = (
    "import json, sys; from bot.cli.living import process_facts; print(json.dumps(process_facts()), flush=True); "
    "sys.stdin.read()"
)


def test_a_process_lives_until_it_is_killed() -> None:
    """Also before anybody has asked for its status; somebody else's lives as well."""
    with subprocess.Popen(
        [sys.executable, "-c", SAYS_ITS_FACTS], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        facts = json.loads(child.stdout.readline())
        assert lives(facts)
        child.kill()
        child.stdout.read()
        wait_until(lambda: not lives(facts), 10, "it counts as dead")
    assert not lives(facts)
    assert lives({"pid": 1})


def test_a_number_that_was_given_to_another_process_is_not_taken_for_it() -> None:
    """The time of its start tells; facts from before there was one still count."""
    mine = process_facts()
    assert lives(mine)
    assert lives({"pid": mine["pid"]})
    assert not lives({**mine, "pid_began": "another boot 1"})
    assert not lives({})
    assert not lives({"pid": 0})
