"""The end of things, and webhooks that never came."""

import contextlib
import time

import httpx

from bot.cli import wiring
from bot.core.errors import UserError
from tests.waiting import wait_until
from tests.walk.conftest import REPOSITORY, Walk


def _local(walk: Walk, path: str, **body: object) -> None:
    httpx.post(f"{walk.world.github['web_url']}/_local/{path}", json=body or None).raise_for_status()


def _deployment(walk: Walk, sha: str) -> str:
    """State of the newest deployment of a commit."""
    (found,) = walk.github.call("GET", f"/repos/{walk.repository}/deployments?ref={sha}")
    statuses = walk.github.call("GET", f"/repos/{walk.repository}/deployments/{found['id']}/statuses")
    return str(statuses[0]["state"])


def test_merged(walk: Walk) -> None:
    """The preview goes, the deployment is inactive, and the branch is deleted."""
    walk = walk.beside(
        "acme/merged", {"README.md": "# Merged\n"}
    )  # what is merged is no change for the next test
    number, run = walk.build("kiosk-clock.md")
    assert run.state == "succeeded", run.reason
    (pull,) = walk.pull_requests(number)
    walk.github.call("PUT", f"/repos/{walk.repository}/pulls/{pull['number']}/merge")
    wait_until(lambda: walk.machines() == 0, 60, "the preview's machine is gone")
    sha = run.result["published"]["commit_sha"]
    wait_until(lambda: _deployment(walk, sha) == "inactive", 30, "the deployment is inactive")

    def branches() -> set[str]:
        return {each["name"] for each in walk.github.call("GET", f"/repos/{walk.repository}/branches")}

    wait_until(lambda: f"swarm/issue-{number}" not in branches(), 30, "the branch is deleted")


def test_the_label_goes_after_the_build(walk: Walk) -> None:
    """Removing the label takes a finished build's preview away; the pull request stays."""
    number, run = walk.build("kiosk-clock.md")
    assert run.state == "succeeded", run.reason
    walk.github.call("DELETE", f"/repos/{REPOSITORY}/issues/{number}/labels/swarm-build")
    wait_until(lambda: walk.machines() == 0, 60, "the preview's machine is gone")
    assert len(walk.pull_requests(number)) == 1

    def noted() -> bool:
        notes = [event.data.get("text", "") for event in walk.stores.runs.events(run.id)]
        return "preview taken away: the label was removed" in notes

    wait_until(noted, 10, "it is written down")


def test_a_lost_webhook_is_found(walk: Walk) -> None:
    """GitHub could not deliver the label; a worker that starts asks for it, and the build begins."""
    number = walk.open("typo.md")
    _local(walk, "webhooks", events="issues.labeled", lose=True)
    walk.label(number)
    app = wiring.github_app(walk.world.settings)
    wait_until(lambda: any(not each.ok for each in app.deliveries()), 10, "the delivery failed")
    assert walk.stores.runs.of_issue(REPOSITORY, number) == []
    walk.kill_worker()
    walk.world.start_worker()
    assert walk.ended(walk.run_of(number)).state == "declined"
    tries = [each for each in app.deliveries() if each.action == "labeled"]
    assert [each.ok for each in tries if each.guid == tries[0].guid] == [True, False], "asked for once"


def test_suspended_in_the_middle_of_a_build(walk: Walk) -> None:
    """Without any right left, the build ends and no machine stays; afterwards everything works again."""
    number = walk.open("multiplayer-snake.md")
    walk.label(number)
    run = walk.run_of(number)
    wait_until(lambda: walk.stores.fleet.agents(run), 60, "the swarm has an agent")
    installation = walk.installation()
    _local(walk, f"installations/{installation}/suspend")
    try:
        ended = walk.ended(run, 60)
        assert ended.state == "cancelled"
        assert "suspended" in ended.reason
        wait_until(lambda: walk.machines() == 0, 30, "no machine is left")
    finally:
        _local(walk, f"installations/{installation}/unsuspend")


def test_repositories_come_and_go(walk: Walk) -> None:
    """A repository that the App gets has the label at once; one that is deleted takes its preview along."""
    web = walk.world.github["web_url"]
    order = {"full_name": "acme/fresh", "files": {"README.md": "# Fresh"}}
    fresh = httpx.post(f"{web}/_local/repositories", json=order).raise_for_status().json()
    _, run = walk.build("kiosk-clock.md")
    assert run.state == "succeeded", run.reason
    installation, alice = {"id": walk.installation()}, walk.github.call("GET", "/user")
    label = "/repos/acme/fresh/labels/swarm-build"
    with contextlib.suppress(UserError):
        walk.github.call("DELETE", label)
    came = {"action": "added", "repositories_added": [fresh], "repositories_removed": []}
    walk.deliver("installation_repositories", {**came, "installation": installation, "sender": alice})

    def labelled() -> bool:
        with contextlib.suppress(UserError):
            return bool(walk.github.call("GET", label))
        return False

    wait_until(labelled, 30, "the label is there")
    arcade = walk.github.call("GET", f"/repos/{REPOSITORY}")
    walk.deliver(
        "repository",
        {"action": "deleted", "repository": arcade, "installation": installation, "sender": alice},
    )
    wait_until(lambda: walk.machines() == 0, 60, "the preview's machine is gone")


def test_a_preview_whose_time_is_up(walk: Walk) -> None:
    """Its machine's row says until when it lives: nothing else has to happen, and its address goes with it."""
    number, run = walk.build("kiosk-clock.md")
    assert run.state == "succeeded", run.reason
    (kept,) = walk.stores.fleet.machines(run.id)
    assert kept.vm
    walk.stores.fleet.keep_vm(kept.vm, time.time() - 1)
    walk.kill_worker()
    walk.world.start_worker()  # it sweeps when it starts, and then every minute
    wait_until(lambda: walk.machines() == 0, 60, "the preview's machine is gone")
    sha = run.result["published"]["commit_sha"]
    wait_until(lambda: _deployment(walk, sha) == "inactive", 30, "the deployment is inactive")

    def body() -> str:
        return str(walk.pull_requests(number)[0]["body"])

    wait_until(lambda: "The preview is gone" in body(), 20, "the pull request says so")
    assert "Its time was up" in body()
    assert run.result["evidence"]["url"] not in body().partition("Answered")[0]
