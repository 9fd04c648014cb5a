"""`swarm-bot vers probe` on the local Vers, and the client that reads what it found."""

import json
from pathlib import Path

import httpx
import pytest

from bot.cli.litter import Litter
from bot.cli.place import place_of
from bot.cli.probe import Probe, shape
from bot.core.errors import NotFound, Permanent
from bot.core.models import VmId
from bot.local.vers.server import Running
from bot.settings import Settings
from bot.vms.profile import Profile, file_of, store, stored
from bot.vms.vers import VersProvider
from tests.cli.conftest import Say
from tests.contracts.conftest import striking
from tests.waiting import wait_until


@pytest.mark.machines
def test_every_question_is_answered(swarm_bot: Say, settings: Settings) -> None:
    """In time, with three machines that go, a snapshot that goes, and a profile that is kept."""
    vers = place_of(settings).vers
    found = swarm_bot("vers", "probe", "--exec-seconds", "3", "--json")
    assert found["failures"] == {}
    assert found["seconds"] < 180
    assert found["list_paths"] == ["/vm", "/vms"]
    assert (found["pause_word"], found["pause_words"]) == ("Paused", ["Paused", "Sleeping"])
    assert found["state_after_commit"] == "running"
    assert (found["branch_count"], found["branch_inherits_labels"]) == (2, False)
    assert found["clones_share_host_key"] is True
    assert found["forwarding"] is True
    assert found["exec_limited"] is False
    assert found["exec_seconds"] >= 3
    assert "CN=" in found["certificate_issuer"] or "commonName=" in found["certificate_issuer"]
    assert isinstance(found["stream_first_cursor"], int)
    assert (found["errors"]["delete of an unknown machine"]["status"], found["errors"]["no key"]["kind"]) == (
        403,
        "text",
    )
    assert found["errors"]["delete of a commit in use"]["status"] == 409
    assert [vm for vm in vers.vms() if vm.labels.get("purpose") == "probe"] == []
    wait_until(  # another probe on this machine may have one just now
        lambda: not [commit for commit in vers.commits() if "-probe-" in commit.name],
        60,
        "its snapshot is gone",
    )
    assert stored(settings.swarm_cache, settings.vers_url).url == settings.vers_url
    file_of(settings.swarm_cache, settings.vers_url).unlink()


@pytest.mark.machines
def test_a_branch_whose_answer_is_lost_leaves_nothing(settings: Settings, local_vers: Running) -> None:
    """Its machines have no label, but the probe's snapshot is where they come from; the other questions are answered."""
    at = place_of(settings)
    before = {vm.id for vm in at.vers.vms()}, {commit.id for commit in at.vers.commits()}
    with striking(local_vers) as strike:
        strike("POST /vm/branch/by_commit/*", "cut")
        found = Probe(at, exec_seconds=1).run()
    assert set(found.failures) == {"branch"}
    assert found.state_after_commit == "running"
    assert ({vm.id for vm in at.vers.vms()}, {commit.id for commit in at.vers.commits()}) == before


@pytest.mark.machines
def test_one_failed_deletion_does_not_spare_the_rest(settings: Settings, local_vers: Running) -> None:
    """What is left is named; what lost answers made is found by its labels, its name and its origin."""
    at = place_of(settings)
    made = Litter(at.vers, at.labels(purpose="probe", build="litter"), "litter-probe", branching=True)
    stays, goes, lost = (
        at.vers.create(memory_mib=512, disk_mib=1024, vcpus=1, labels=made.labels) for _ in range(3)
    )
    commit = at.vers.commit(goes, made.name)
    (child,) = at.vers.branch(commit)
    made.vms += [stays, goes]
    with striking(local_vers) as strike:
        strike(f"DELETE /vm/{stays}", "before", status=409)
        with pytest.raises(Permanent, match=f"machine {stays}") as caught:
            made.clear()
    assert goes not in str(caught.value)
    assert {vm.id for vm in at.vers.vms()} & {stays, goes, lost, child} == {stays}
    assert commit not in {each.id for each in at.vers.commits()}
    made.clear()
    assert stays not in {vm.id for vm in at.vers.vms()}


def test_a_profile_is_kept_per_installation(tmp_path: Path) -> None:
    """Read again as it was written; without one, or with one of another version, the defaults hold."""
    found = Profile(
        url="https://api.example.test/api/v1",
        list_path="/vms",
        pause_word="Sleeping",
        pause_words=("Sleeping",),
    )
    assert store(tmp_path, found).name == "api.example.test.json"
    assert stored(tmp_path, "https://api.example.test") == found
    assert stored(tmp_path, "https://other.example.test") == Profile()
    file_of(tmp_path, found.url).write_text('{"who": "knows"}')
    assert stored(tmp_path, found.url).list_path in ("/vm", "/vms")


@pytest.mark.parametrize("list_path", ["/vm", "/vms"])
@pytest.mark.parametrize("word", ["Paused", "Sleeping"])
@pytest.mark.parametrize("profile", [Profile(), Profile(list_path="/vms", pause_word="Sleeping")])
def test_the_client_begins_with_what_is_known(list_path: str, word: str, profile: Profile) -> None:
    """A server that has only one of two ways is understood with any profile, and at once with its own."""
    asked: list[str] = []

    def server(request: httpx.Request) -> httpx.Response:
        path = request.url.path.removeprefix("/api/v1")
        if request.method == "GET":
            asked.append(path)
            return httpx.Response(200, json=[]) if path == list_path else httpx.Response(404)
        said = json.loads(request.content)["state"]
        asked.append(said)
        return (
            httpx.Response(200) if said in (word, "Running") else httpx.Response(422, text="unknown variant")
        )

    with VersProvider(
        url="http://vers", api_key="k" * 100, vm_domain="d", transport=httpx.MockTransport(server), profile=profile
    ) as vers:  # fmt: skip
        assert vers.vms() == vers.vms() == []
        vers.set_paused(VmId("x"), paused=True)
        vers.set_paused(VmId("x"), paused=False)
    assert asked.count(list_path) == 2
    assert len(asked) == 4 + (list_path != profile.list_path) + (word != profile.pause_word)


def test_a_server_with_neither_is_an_error() -> None:
    """The last refusal is what the caller hears."""
    nothing = httpx.MockTransport(lambda request: httpx.Response(404 if request.method == "GET" else 422))
    with VersProvider(url="http://vers", api_key="k" * 100, vm_domain="d", transport=nothing) as vers:
        for _ in range(2):
            with pytest.raises(NotFound):
                vers.vms()
        with pytest.raises(Permanent):
            vers.set_paused(VmId("x"), paused=True)


def test_shapes() -> None:
    """JSON, text or nothing."""
    assert shape(httpx.Response(404, json={"error": "x"})).kind == "json"
    assert shape(httpx.Response(400, text="Invalid URL")).kind == "text"
    assert shape(httpx.Response(200)).kind == "empty"
