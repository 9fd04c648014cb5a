"""Faults, rate limits, and webhooks that are late, doubled, lost or sent again."""

import time
from collections.abc import Callable
from typing import Any

import httpx

from bot.local.github.server import Running
from tests.local.github.conftest import Receiver, Rest, app_jwt

ISSUES = "/repos/acme/arcade/issues"


def plan(hub: Running, what: str, **body: Any) -> None:
    answer = httpx.post(f"{hub.web_url}/_local/{what}", json=body)
    assert answer.status_code == 204, answer.text


def titles(rest: Callable[[str], Rest]) -> list[str]:
    return [issue["title"] for issue in rest("alice")("GET", ISSUES).json()]


def test_a_fault_before_the_effect_leaves_nothing(hub: Running, rest: Callable[[str], Rest]) -> None:
    """One call fails, the next goes through."""
    plan(hub, "faults", method="POST", path_regex="/issues$", kind="before", status=502)
    alice = rest("alice")
    assert alice("POST", ISSUES, {"title": "x"}).status_code == 502
    assert titles(rest) == []
    assert alice("POST", ISSUES, {"title": "x"}).status_code == 201


def test_a_fault_after_the_effect_hides_it(hub: Running, rest: Callable[[str], Rest]) -> None:
    """The answer is lost, the issue is there: what a repeated POST doubles."""
    plan(hub, "faults", method="POST", path_regex="/issues$", kind="after", status=502, times=2)
    alice = rest("alice")
    for _ in range(2):
        assert alice("POST", ISSUES, {"title": "x"}).status_code == 502
    assert titles(rest) == ["x", "x"]


def test_faults_can_wait_for_their_turn_and_carry_headers(hub: Running, rest: Callable[[str], Rest]) -> None:
    """The second match fails with the secondary limit's words."""
    plan(hub, "faults", path_regex="/issues", status=403, headers={"Retry-After": "7"}, skip=1, delay_s=0.05)
    alice = rest("alice")
    assert alice("GET", ISSUES).status_code == 200
    started = time.monotonic()
    answer = alice("GET", ISSUES)
    assert time.monotonic() - started >= 0.05
    assert (answer.status_code, answer.headers["retry-after"]) == (403, "7")
    assert "secondary rate limit" in answer.json()["message"]
    assert alice("GET", ISSUES).status_code == 200


def test_the_hourly_limit_ends(hub: Running, rest: Callable[[str], Rest]) -> None:
    """Headers count down; at zero everything is 403 but /rate_limit, per caller."""
    alice = rest("alice")
    first = alice("GET", ISSUES).headers
    second = alice("GET", ISSUES).headers
    assert int(first["x-ratelimit-remaining"]) - int(second["x-ratelimit-remaining"]) == 1
    token = {"Authorization": f"Bearer {hub.users['alice']}"}
    assert httpx.post(f"{hub.web_url}/_local/rate-limit", headers=token).status_code == 204
    refused = alice("GET", ISSUES)
    assert (refused.status_code, refused.headers["x-ratelimit-remaining"]) == (403, "0")
    assert "API rate limit exceeded" in refused.json()["message"]
    assert alice("GET", "/rate_limit").json()["rate"]["remaining"] == 0
    assert rest("mark")("GET", ISSUES).status_code == 200


def test_both_prefixes_serve_the_same(hub: Running, rest: Callable[[str], Rest]) -> None:
    """As on api.github.com and as on an Enterprise Server; unchanged answers are 304."""
    token = {"Authorization": f"Bearer {hub.users['alice']}"}
    path = "/repos/acme/arcade"
    one, other = (httpx.get(base + path, headers=token) for base in (hub.base_url, hub.web_url))
    assert one.json() == other.json()
    again = httpx.get(hub.base_url + path, headers=token | {"If-None-Match": one.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_what_is_not_in_the_description_is_a_violation(hub: Running, rest: Callable[[str], Rest]) -> None:
    """Unknown paths, unknown body keys, wrong types: the list has them all."""
    alice = rest("alice")
    assert alice("GET", "/repos/acme/arcade/nonsense").status_code == 404
    assert alice("POST", ISSUES, {"title": "x", "colour": "red"}).status_code == 201
    assert alice("POST", ISSUES, {"body": "no title"}).status_code == 422
    assert alice("GET", f"{ISSUES}?pre_page=5").status_code == 200
    found = httpx.get(f"{hub.web_url}/_local/violations").json()
    assert [(each["subject"], each["problem"][:40]) for each in found] == [
        ("GET /repos/acme/arcade/nonsense", "no such operation"),
        ("issues/create", "unknown body key 'colour'"),
        ("issues/create", '(body): "title" is a required property'),
        ("issues/list-for-repo", "unknown query parameter 'pre_page'"),
    ]
    assert httpx.delete(f"{hub.web_url}/_local/violations").status_code == 204


def test_webhooks_can_come_twice_late_or_not_at_all(
    hub: Running, receiver: Receiver, rest: Callable[[str], Rest]
) -> None:
    """Twins share their id; a late one is overtaken; a lost one is in the list of deliveries only."""
    plan(hub, "webhooks", events=r"issues\.opened", copies=2, delay_s=0.3)
    plan(hub, "webhooks", events=r"issues\.closed", lose=True)
    alice = rest("alice")
    alice("POST", ISSUES, {"title": "x"})
    alice("POST", f"{ISSUES}/1/labels", {"labels": ["bug"]})
    alice("PATCH", f"{ISSUES}/1", {"state": "closed"})
    twins = receiver.wait_for("issues.opened", 2)
    assert len({twin.headers["x-github-delivery"] for twin in twins}) == 1
    events = [received.event for received in receiver.got if received.event.startswith("issues")]
    assert events == ["issues.labeled", "issues.opened", "issues.opened"]
    lost = [each for each in deliveries(hub) if each["action"] == "closed"]
    assert [(each["status"], each["status_code"]) for each in lost] == [("failed to connect to host", 502)]


def deliveries(hub: Running, query: str = "") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = app(hub)("GET", f"/app/hook/deliveries{query}").json()
    return found


def app(hub: Running) -> Rest:
    return Rest(hub.base_url, app_jwt(hub))


def test_a_failed_delivery_is_sent_again_only_on_demand(
    hub: Running, receiver: Receiver, rest: Callable[[str], Rest]
) -> None:
    """With the same id and the same bytes; the record says that it is a redelivery."""
    receiver.answer = 500
    rest("alice")("POST", ISSUES, {"title": "x"})
    (first,) = receiver.wait_for("issues.opened")
    assert hub.wait_for_webhooks()
    (failed,) = [each for each in deliveries(hub, "?status=failure") if each["event"] == "issues"]
    assert (failed["status"], failed["redelivery"]) == ("Invalid HTTP Response: 500", False)
    receiver.answer = 202
    assert app(hub)("POST", f"/app/hook/deliveries/{failed['id']}/attempts").status_code == 202
    again = receiver.wait_for("issues.opened", 2)[1]
    assert again.body == first.body
    assert again.headers["x-github-delivery"] == first.headers["x-github-delivery"] == failed["guid"]
    assert hub.wait_for_webhooks()
    newest = deliveries(hub)[0]
    assert (newest["redelivery"], newest["status"]) == (True, "OK")
    whole = app(hub)("GET", f"/app/hook/deliveries/{newest['id']}").json()
    assert whole["request"]["payload"]["action"] == "opened"
    assert whole["request"]["headers"]["X-GitHub-Event"] == "issues"


def test_deliveries_come_by_cursor(hub: Running, rest: Callable[[str], Rest]) -> None:
    """Newest first, with a Link to the next ones."""
    for number in range(3):
        rest("alice")("POST", ISSUES, {"title": str(number)})
    assert hub.wait_for_webhooks()
    page = app(hub)("GET", "/app/hook/deliveries?per_page=2")
    following = page.links["next"]["url"].removeprefix(hub.base_url)
    ids = [each["id"] for each in [*page.json(), *app(hub)("GET", following).json()]]
    assert ids == sorted(ids, reverse=True)
    assert len(set(ids)) == len(ids) == 4  # three issues and the ping


def test_a_slow_receiver_does_not_hold_up_the_api(
    hub: Running, receiver: Receiver, rest: Callable[[str], Rest]
) -> None:
    """Webhooks are sent from threads of their own: the call is answered while its webhook still waits."""
    receiver.free.clear()
    assert rest("alice")("POST", ISSUES, {"title": "x"}).status_code == 201
    assert not hub.wait_for_webhooks(0.05)
    receiver.free.set()
    receiver.wait_for("issues.opened")


def test_an_app_hears_when_its_installation_changes(hub: Running, receiver: Receiver) -> None:
    """Installation and installation_repositories come without a subscription."""
    hub.create_repository("acme/second", {"a": b"b"})
    number = next(iter(hub.world.store.installations)).id
    base = f"{hub.web_url}/_local/installations/{number}"
    assert httpx.post(f"{base}/repositories", json={"removed": ["acme/second"]}).status_code == 204
    assert httpx.post(f"{base}/deleted").status_code == 204
    (removed,) = receiver.wait_for("installation_repositories.removed")
    assert [repo["full_name"] for repo in removed.json()["repositories_removed"]] == ["acme/second"]
    (gone,) = receiver.wait_for("installation.deleted")
    assert gone.json()["installation"]["id"] == number


def test_making_a_webhook_sends_a_ping(receiver: Receiver, hub: Running) -> None:
    """Signed like everything else."""
    (ping,) = receiver.wait_for("ping")
    assert ping.signed_by(hub.webhook_secret)
    assert ping.json()["hook"]["app_id"] == hub.app_id
