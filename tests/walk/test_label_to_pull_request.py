"""From a label to a pull request with a live preview, through the front door."""

import json

import httpx
from websockets.sync.client import connect

from bot.cli import wiring
from bot.core.models import AgentLabel
from tests.waiting import wait_until
from tests.walk.conftest import REPOSITORY, Walk


def test_a_labelled_issue_becomes_a_pull_request_with_a_game_to_play(walk: Walk) -> None:
    """Spec, files, evidence, address and one comment; playing works over HTTP and WebSocket; closing ends it."""
    number, run = walk.build("multiplayer-snake.md")
    assert run.state == "succeeded", run.reason
    agents = {row.agent: row for row in walk.stores.fleet.agents(run.id)}
    assert agents[AgentLabel("server")].files >= 1
    assert all(row.heard_at > run.created_at for row in agents.values())
    branch = f"swarm/issue-{number}"
    (pull,) = walk.pull_requests(number)
    body = str(pull["body"])
    assert f"Closes #{number}" in body
    assert not pull["draft"]
    tree = walk.tree(branch)
    assert {"SPEC.md", "server.js", "public/game.js", "public/index.html", "Procfile", "package.json"} <= set(
        tree
    )
    assert not [path for path in tree if "node_modules" in path]
    assert "segments" in walk.file(branch, "SPEC.md")
    assert "snake.snake" not in walk.file(branch, "public/game.js"), (
        "the architect's fix is in the pull request"
    )
    head = walk.github.call("GET", f"/repos/{REPOSITORY}/commits/{branch}")
    assert head["commit"]["verification"]["verified"]
    assert "[skip ci]" in head["commit"]["message"]

    url = run.result["evidence"]["url"]
    assert url in body
    assert httpx.get(url).status_code == 200
    with connect(url.replace("http", "ws", 1)) as socket:
        frames = (json.loads(socket.recv(timeout=10)) for _ in range(20))
        state = next(frame for frame in frames if frame.get("type") == "state")
    assert "snakes" in state
    (deployment,) = walk.github.call("GET", f"/repos/{REPOSITORY}/deployments?ref={head['sha']}")
    statuses = walk.github.call("GET", f"/repos/{REPOSITORY}/deployments/{deployment['id']}/statuses")
    assert statuses[0]["environment_url"] == url

    ours = [each for each in walk.comments(number) if "swarm:issue=" in str(each["body"])]
    assert len(ours) == 1, "one progress comment, edited"
    assert walk.machines() == 1, "the preview's machine is the only one left"

    walk.close_pull_request(number)
    statuses = wait_until(
        lambda: walk.github.call("GET", f"/repos/{REPOSITORY}/deployments/{deployment['id']}/statuses"),
        10,
        "the deployment has statuses",
    )
    wait_until(
        lambda: (
            walk.github.call("GET", f"/repos/{REPOSITORY}/deployments/{deployment['id']}/statuses")[0][
                "state"
            ]
            == "inactive"
        ),
        20,
        "the deployment is inactive",
    )


def test_a_delivery_that_comes_twice_changes_nothing(walk: Walk) -> None:
    """The same delivery again: no second build, no second comment."""
    number, run = walk.build("typo.md")
    assert run.state == "declined"
    builds, comments = len(walk.stores.runs.of_issue(REPOSITORY, number)), len(walk.comments(number))
    app = wiring.github_app(walk.world.settings)
    before = app.deliveries()
    labelled = next(each for each in before if each.action == "labeled")
    app.redeliver(labelled.id)
    again = wait_until(
        lambda: [each for each in app.deliveries() if each.guid == labelled.guid and each.id != labelled.id],
        20,
        "the webhook was sent again",
    )
    assert again[0].status_code == 200, "known: answered, and not stored twice"
    assert len(walk.stores.runs.of_issue(REPOSITORY, number)) == builds == 1
    assert len(walk.comments(number)) == comments


def test_a_reader_is_refused_once_and_kindly(walk: Walk) -> None:
    """A label by somebody with read permission: one sentence, no build, no machine."""
    number = walk.open("multiplayer-snake.md")
    repository = walk.github.call("GET", f"/repos/{REPOSITORY}")
    issue = walk.github.call("GET", f"/repos/{REPOSITORY}/issues/{number}")
    rita = walk.person("rita").call("GET", "/user")
    answer = walk.deliver(
        "issues",  # as from an issue form that sets a label: anybody's label, without anybody's permission
        {
            "action": "labeled",
            "issue": issue,
            "label": {"name": "swarm-build"},
            "repository": repository,
            "sender": rita,
            "installation": {"id": walk.installation()},
        },
    )
    assert answer.status_code == 202
    (comment,) = wait_until(lambda: walk.comments(number), 30, "the refusal is written")
    assert "@rita" in str(comment["body"])
    assert walk.stores.runs.of_issue(REPOSITORY, number) == []
    assert walk.machines() == 0


def test_a_tool_without_a_page_shows_its_tests(walk: Walk) -> None:
    """A command-line tool with a library: a pull request without preview, with its tests' output."""
    number, run = walk.build("word-counter.md")
    assert run.state == "succeeded", run.reason
    evidence = run.result["evidence"]
    assert evidence["kind"] == "none"
    assert evidence["exit_status"] == 0
    assert evidence["url"] == ""
    (pull,) = walk.pull_requests(number)
    assert evidence["output"].splitlines()[-1].strip() in str(pull["body"])
    assert walk.machines() == 0


def test_an_issue_that_needs_no_swarm_is_declined_before_a_machine_works(walk: Walk) -> None:
    """Declined with the reason; a maintainer who insists gets the build."""
    number, run = walk.build("typo.md")
    assert run.state == "declined"
    assert walk.machines() == 0
    assert run.reason in str(walk.comments(number)[0]["body"])
    walk.person("wendy").comment(REPOSITORY, number, "/swarm build")
    second = wait_until(
        lambda: next((r for r in walk.stores.runs.of_issue(REPOSITORY, number) if r.id != run.id), None),
        30,
        "the second build is queued",
    )
    assert walk.ended(second.id).state == "succeeded"
    walk.close_pull_request(number)


def test_an_app_on_ipv4_only_is_reached_over_the_bridge(walk: Walk) -> None:
    """The preview answers, and the pull request says that the bridge is used."""
    number, run = walk.build("kiosk-clock.md")
    assert run.state == "succeeded", run.reason
    assert run.result["evidence"]["bridged"]
    (pull,) = walk.pull_requests(number)
    assert "bridge" in str(pull["body"]).lower()
    assert httpx.get(run.result["evidence"]["url"]).status_code == 200
    walk.close_pull_request(number)
