"""`VersProvider` against scripted HTTP answers: errors by status, what is repeated and what never is."""

import base64
import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from bot.core.errors import BotError, Conflict, Forbidden, NotFound, Permanent, Transient
from bot.core.models import CommitId, VmId
from bot.vms import wire
from bot.vms.base import Provider, VmState
from bot.vms.calls import FOREIGN, NotSent
from bot.vms.profile import Profile
from bot.vms.vers import LocalAddresses, VersProvider

OWNER = "11111111-2222-3333-4444-555555555555"
KEY = OWNER + "a" * 64
VM = VmId("vm-1")
Script = Callable[[httpx.Request], httpx.Response]


def provider(script: Script, **options: Any) -> VersProvider:
    options = {"patience_s": 2.0, "first_wait_s": 0.001, **options}
    return VersProvider(
        url="https://api.example", api_key=KEY, vm_domain="vm.example",
        transport=httpx.MockTransport(script), **options,
    )  # fmt: skip


class Scripted:
    """Answers in their order, the last one for ever; remembers the requests."""

    def __init__(self, *answers: httpx.Response | Exception) -> None:
        self.answers = list(answers)
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


def listed(vm: str, owner: str = OWNER, **more: Any) -> dict[str, Any]:
    return {"vm_id": vm, "owner_id": owner, "state": "running", "created_at": "2026-01-01T00:00:00Z", **more}


@pytest.mark.parametrize(
    "url", ["https://api.example", "https://api.example/", "https://api.example/api/v1/"]
)
def test_the_base_url_may_carry_the_prefix(url: str) -> None:
    """Some tools of Vers configure the address with /api/v1, others without."""
    script = Scripted(httpx.Response(200, json=[]))
    VersProvider(url=url, api_key=KEY, vm_domain="d", transport=httpx.MockTransport(script)).vms()
    assert str(script.requests[0].url) == "https://api.example/api/v1/vm"
    assert script.requests[0].headers["authorization"] == f"Bearer {KEY}"


def test_the_list_shows_only_machines_of_our_key() -> None:
    """Vers lists all machines of the organisation; another owner's are not ours to touch."""
    script = Scripted(
        httpx.Response(200, json=[listed("a", labels={"run": "r"}), listed("b", owner="other")])
    )
    [vm] = provider(script).vms()
    assert (vm.id, vm.state, vm.labels) == ("a", VmState.RUNNING, {"run": "r"})


def branched(*vms: str) -> httpx.Response:
    return httpx.Response(201, json={"vms": [{"vm_id": vm} for vm in vms]})


def test_machines_that_are_named_are_never_thrown_away() -> None:
    """Fewer than asked are handed over; a surplus is deleted; none at all is unclear."""
    commit = CommitId("c")
    assert provider(Scripted(branched("a", "b"))).branch(commit, 3) == ["a", "b"]
    more = Scripted(branched("a", "b"), httpx.Response(200))
    assert provider(more).branch(commit) == ["a"]
    assert (more.requests[1].method, more.requests[1].url.path) == ("DELETE", "/api/v1/vm/b")
    with pytest.raises(Transient, match="named no machine"):
        provider(Scripted(branched())).branch(commit)


@pytest.mark.parametrize(
    ("answer", "made"), [(httpx.Response(403), ["a", "b"]), (branched("c"), ["a", "b", "c"])]
)
def test_one_by_one_those_before_a_refusal_are_handed_over(answer: httpx.Response, made: list[str]) -> None:
    """The first refusal is an error, for nothing came."""
    single = {"profile": Profile(branch_count=1)}
    assert provider(Scripted(branched("a"), branched("b"), answer), **single).branch(CommitId("c"), 3) == made
    with pytest.raises(Forbidden):
        provider(Scripted(httpx.Response(403)), **single).branch(CommitId("c"), 3)


@pytest.mark.parametrize("status", [404, 405])
def test_an_older_server_lists_under_another_path(status: int) -> None:
    """GET /vm falls back to /vms, and remembers it."""
    script = Scripted(httpx.Response(status, text="no"), httpx.Response(200, json=[listed("a")]))
    vers = provider(script)
    assert [vm.id for vm in vers.vms()] == ["a"]
    vers.vms()
    assert [request.url.path for request in script.requests] == ["/api/v1/vm", "/api/v1/vms", "/api/v1/vms"]


@pytest.mark.parametrize(
    ("status", "body", "error", "text"),
    [
        (400, "Invalid URL: Cannot parse `vm_id`", Permanent, "Cannot parse"),
        (400, '{"error": "disk too small", "success": false}', Permanent, "disk too small"),
        (401, "", Forbidden, "no reason given"),
        (403, "403 Forbidden", Forbidden, "403 Forbidden"),
        (404, '{"vms": [], "error": "commit not found"}', NotFound, "commit not found"),
        (409, '{"error": "commit still has 2 active VM(s)"}', Conflict, "2 active"),
        (422, "Failed to deserialize the JSON body", Permanent, "deserialize"),
        (418, "short and stout", Permanent, "stout"),
    ],
)
def test_a_refusal_is_final_and_says_why(status: int, body: str, error: type[BotError], text: str) -> None:
    """Each status has its error, whatever form the body has, and none of these is tried again."""
    script = Scripted(httpx.Response(status, text=body))
    with pytest.raises(error, match=text) as caught:
        provider(script).status(VM)
    assert type(caught.value) is error
    assert len(script.requests) == 1


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 529])
def test_a_passing_fault_is_tried_again(status: int) -> None:
    """Reads are repeated until they succeed."""
    script = Scripted(
        httpx.Response(status, text="503 Service unavailable"), httpx.Response(200, json=listed("vm-1"))
    )
    assert provider(script).status(VM).state is VmState.RUNNING
    assert len(script.requests) == 2


def test_patience_ends() -> None:
    """A server that stays down ends in Transient, with what it said."""
    with pytest.raises(Transient, match="answered 503"):
        provider(Scripted(httpx.Response(503, text="down")), patience_s=0.05).status(VM)


def test_a_short_retry_after_is_waited_for_and_a_long_one_is_handed_on() -> None:
    """The other side's wish is obeyed within the patience; beyond it, the caller learns how long to wait."""
    short = Scripted(
        httpx.Response(429, headers={"retry-after": "0.01"}), httpx.Response(200, json=listed("vm-1"))
    )
    provider(short).status(VM)
    long = Scripted(httpx.Response(429, headers={"retry-after": "600"}))
    with pytest.raises(Transient) as caught:
        provider(long).status(VM)
    assert caught.value.retry_after_s == 600
    assert len(long.requests) == 1


def test_retry_after_may_be_a_date() -> None:
    """HTTP allows both forms; the past means now, nonsense means nothing."""
    assert wire.retry_after_s("Thu, 01 Jan 1970 00:02:00 GMT", 100.0) == 20.0
    assert wire.retry_after_s("Thu, 01 Jan 1970 00:00:00 GMT", 100.0) == 0.0
    assert wire.retry_after_s("soon", 100.0) is None


def test_the_same_idempotency_key_goes_with_every_try() -> None:
    """A server that honours the key can tell a repetition from a second wish."""
    script = Scripted(httpx.Response(500), httpx.Response(200, json={"vm_id": "vm-1"}))
    provider(script).delete(VM)
    keys = [request.headers["x-idempotency-key"] for request in script.requests]
    assert len(keys) == 2
    assert len(set(keys)) == 1


@pytest.mark.parametrize(
    "create",
    [
        lambda vers: vers.branch(CommitId("c")),
        lambda vers: vers.branch_vm(VM),
        lambda vers: vers.create(memory_mib=512, disk_mib=1024, vcpus=1, labels={}),
    ],
)
@pytest.mark.parametrize(
    "fault", [httpx.Response(503), httpx.ReadTimeout("late"), httpx.RemoteProtocolError("cut")]
)
def test_a_creating_call_is_not_repeated_after_an_unclear_answer(
    create: Callable[[Provider], object], fault: httpx.Response | Exception
) -> None:
    """The machine may exist although its name was lost: a second try would make a second one."""
    script = Scripted(fault)
    with pytest.raises(Transient):
        create(provider(script))
    assert len(script.requests) == 1


@pytest.mark.parametrize("fault", [httpx.Response(503), httpx.ReadTimeout("late")])
def test_a_snapshot_is_not_taken_twice(fault: httpx.Response | Exception) -> None:
    """Only the look at the machine's state may be repeated."""
    script = Scripted(httpx.Response(200, json=listed(VM)), fault)
    with pytest.raises(Transient):
        provider(script).commit(VM, "golden")
    assert [request.method for request in script.requests] == ["GET", "POST"]


@pytest.mark.parametrize(("before", "after", "resumed"), [
    ("running", "running", False), ("running", "paused", True), ("paused", "paused", False),
])  # fmt: skip
def test_a_machine_goes_on_after_its_snapshot(before: str, after: str, *, resumed: bool) -> None:
    """Whether or not the server resumes it; one that was paused stays so."""
    script = Scripted(
        httpx.Response(200, json={**listed(VM), "state": before}),
        httpx.Response(201, json={"commit_id": "c"}),
        *[httpx.Response(200, json={**listed(VM), "state": after})] * (before == "running"),
        *[httpx.Response(200)] * resumed,
    )
    assert provider(script).commit(VM, "golden") == "c"
    assert ("PATCH" in [request.method for request in script.requests]) is resumed


def test_a_creating_call_that_was_never_sent_is_repeated() -> None:
    """A refused connection leaves no doubt."""
    script = Scripted(httpx.ConnectError("refused"), httpx.Response(201, json={"vms": [{"vm_id": "a"}]}))
    assert provider(script).branch(CommitId("c")) == ["a"]


@pytest.mark.parametrize("body", ["", "null", "[]", '{"vms": 3}', '{"vms": [{}]}', "<html>"])
def test_an_answer_of_another_shape_is_an_error(body: str) -> None:
    """Nothing is guessed from a body that we do not understand."""
    with pytest.raises(Permanent, match="not understood"):
        provider(Scripted(httpx.Response(201, text=body))).branch(CommitId("c"))


def test_deleting_what_is_gone_is_fine() -> None:
    """Vers answers 403 for a machine that does not exist; the list tells that it is gone."""
    gone = Scripted(httpx.Response(403, json={"error": "Forbidden"}), httpx.Response(200, json=[]))
    provider(gone).delete(VM)
    provider(Scripted(httpx.Response(404, json={"error": "vm not found"}))).delete(VM)
    there = Scripted(httpx.Response(403, json={"error": "Forbidden"}), httpx.Response(200, json=[listed(VM)]))
    with pytest.raises(Forbidden):
        provider(there).delete(VM)


def test_what_belongs_to_another_key_is_not_taken_for_gone() -> None:
    """It bills still: after a change of keys, the former one's machines and snapshots are refused with 403, too."""
    refused = httpx.Response(403, json={"error": "Forbidden"})
    machine = Scripted(refused, httpx.Response(200, json=[listed(VM, owner="the former key")]))
    with pytest.raises(Forbidden):
        provider(machine).delete(VM)
    commit = {"commit_id": "c", "owner_id": "the former key", "name": "n", "created_at": ""}
    snapshot = Scripted(refused, httpx.Response(200, json={"commits": [commit], "total": 1}))
    with pytest.raises(Forbidden):
        provider(snapshot).delete_commit(CommitId("c"))
    gone = Scripted(refused, httpx.Response(200, json={"commits": [commit], "total": 1}))
    provider(gone).delete_commit(CommitId("another"))


def test_a_commit_with_living_machines_stays() -> None:
    """409 is told and not repeated."""
    script = Scripted(httpx.Response(409, json={"error": "commit still has 1 active VM(s)"}))
    with pytest.raises(Conflict, match="1 active"):
        provider(script).delete_commit(CommitId("c"))
    assert len(script.requests) == 1


def test_commits_are_read_page_by_page() -> None:
    """The list is complete and holds only ours."""
    all_commits = [
        {"commit_id": f"c{n}", "owner_id": OWNER if n % 2 else "other", "name": f"n{n}", "created_at": ""}
        for n in range(120)
    ]

    def script(request: httpx.Request) -> httpx.Response:
        offset, limit = int(request.url.params["offset"]), int(request.url.params["limit"])
        page = all_commits[offset : offset + limit]
        return httpx.Response(200, json={"commits": page, "total": 120, "limit": limit, "offset": offset})

    assert [commit.id for commit in provider(script).commits()] == [f"c{n}" for n in range(1, 120, 2)]


def test_a_tag_that_exists_is_moved() -> None:
    """POST conflicts, PATCH moves; a missing tag is None."""
    script = Scripted(httpx.Response(409, json={"error": "exists"}), httpx.Response(204))
    provider(script).tag("swarm/golden", CommitId("c"))
    assert script.requests[1].method == "PATCH"
    assert script.requests[1].url.raw_path == b"/api/v1/commit_tags/swarm%2Fgolden"
    assert json.loads(script.requests[1].content) == {"commit_id": "c"}
    assert provider(Scripted(httpx.Response(404, json={"error": "tag not found"}))).tagged("x") is None
    assert (
        provider(Scripted(httpx.Response(200, json={"commit_id": "c", "tag_name": "x"}))).tagged("x") == "c"
    )


def test_pausing_uses_the_word_that_the_server_knows() -> None:
    """Paused first, Sleeping where that is refused as unknown."""
    script = Scripted(httpx.Response(422, text="unknown variant `Paused`"), httpx.Response(200))
    provider(script).set_paused(VM, paused=True)
    assert [json.loads(request.content)["state"] for request in script.requests] == ["Paused", "Sleeping"]


def test_labels_of_the_deployment_are_on_every_machine() -> None:
    """So that a machine is found again whose run is not known any more."""
    script = Scripted(httpx.Response(200, json={"vm_id": "a"}))
    vers = provider(script, deployment_labels={"app": "swarm-build"})
    vers.label(VM, {"run": "r1"})
    vers.create(memory_mib=4096, disk_mib=8192, vcpus=2, labels={"purpose": "golden"})
    assert json.loads(script.requests[0].content) == {"labels": {"app": "swarm-build", "run": "r1"}}
    assert json.loads(script.requests[1].content) == {
        "vm_config": {
            "vcpu_count": 2, "mem_size_mib": 4096, "fs_size_mib": 8192,
            "labels": {"app": "swarm-build", "purpose": "golden"},
        }
    }  # fmt: skip


def test_the_host_key_is_read_over_the_api() -> None:
    """Key and pinned host key come from the authenticated API; the comment of the key file is dropped."""

    def script(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/ssh_key"):
            return httpx.Response(200, json={"ssh_port": 2222, "ssh_private_key": "PEM"})
        assert request.url.params["path"] == "/etc/ssh/ssh_host_ed25519_key.pub"
        line = base64.b64encode(b"ssh-ed25519 AAAAC3 root@vm\n").decode()
        return httpx.Response(200, json={"content_b64": line})

    key = provider(script).ssh_key(VM)
    assert (key.private_key, key.host_key) == ("PEM", "ssh-ed25519 AAAAC3")
    assert "PEM" not in repr(key)


def test_public_addresses_come_from_one_place() -> None:
    """The domain by default, the local Vers' answer where it publishes ports."""
    assert provider(Scripted(httpx.Response(500))).public_url(VM, 3000) == "https://vm-1.vm.example:3000"
    script = Scripted(httpx.Response(200, json={"url": "http://127.0.0.1:40001"}))
    local = LocalAddresses("http://127.0.0.1:1/publish", httpx.MockTransport(script))
    assert (
        provider(Scripted(httpx.Response(500)), address=local).public_url(VM, 3000)
        == "http://127.0.0.1:40001"
    )
    assert json.loads(script.requests[0].content) == {"vm_id": "vm-1", "port": 3000}


def test_every_foreign_error_has_its_translation() -> None:
    """No exception of httpx leaves this room, and only those before sending count as never sent."""
    foreign = [
        kind for kind in vars(httpx).values() if isinstance(kind, type) and issubclass(kind, Exception)
    ]
    assert len(foreign) > 20
    for kind in foreign:
        assert any(issubclass(kind, known) for known in FOREIGN), kind
    for kind in (httpx.ReadTimeout, httpx.WriteTimeout, httpx.ReadError, httpx.RemoteProtocolError):
        [first, *_] = [ours for known, ours in FOREIGN.items() if issubclass(kind, known)]
        assert first is Transient
    assert [kind for kind, ours in FOREIGN.items() if ours is NotSent] == [
        httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout,
    ]  # fmt: skip
