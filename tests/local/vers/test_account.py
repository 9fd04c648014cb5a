"""The rest of the API: who am I, organisations, commits in pages, tags, repositories, domains."""

import httpx
import pytest

from tests.local.vers.conftest import Api

pytestmark = pytest.mark.machines


def test_who_am_i(api: Api, shared: str) -> None:
    """A key is the id that owns machines, followed by 64 hex digits of secret."""
    shown = api.http.get("/whoami").json()
    assert set(shown) == {"user", "org", "api_key"}
    assert shown["api_key"]["id"] == api.key[:36]
    assert len(api.key) == 100
    assert api.http.get(f"/vm/{shared}/status").json()["owner_id"] == api.key[:36]


def test_an_organisation_sees_the_machines_of_all_its_keys(api: Api, shared: str) -> None:
    """Both list routes show the organisation's; owner_id tells whose."""
    organisation = api.http.get("/whoami").json()["org"]["id"]
    colleague = api.local("POST", "/keys", json={"organisation": organisation}).json()["api_key"]
    headers = {"Authorization": f"Bearer {colleague}"}
    for path in ("/vm", "/vms"):
        owners = {vm["vm_id"]: vm["owner_id"] for vm in api.http.get(path, headers=headers).json()}
        assert owners[shared] == api.key[:36] != colleague[:36]


def test_shapes(api: Api, shared: str) -> None:
    """Exactly the published fields."""
    status = api.http.get(f"/vm/{shared}/status").json()
    assert set(status) == {"vm_id", "owner_id", "created_at", "state", "labels"}
    assert set(api.http.get(f"/vm/{shared}/ssh_key").json()) == {"ssh_port", "ssh_private_key"}
    assert set(api.http.get("/system/version").json()) == {"executable_name", "git_hash", "workspace_version"}


def test_commits_come_in_pages(api: Api, machine: str) -> None:
    """The page is asked for by query parameters; the newest is first; names can be changed."""
    made = [api.commit(machine, f"page-{number}") for number in range(3)]
    page = api.http.get("/commits", params={"limit": 2}).json()
    assert [commit["commit_id"] for commit in page["commits"]] == [made[2], made[1]]
    assert (page["limit"], page["offset"]) == (2, 0)
    assert page["total"] >= 3
    assert api.http.get("/commits", params={"limit": 1, "offset": 2}).json()["commits"][0]["name"] == "page-0"
    changed = api.http.patch(f"/commits/{made[0]}", json={"is_public": True, "name": "renamed"}).json()
    assert (changed["is_public"], changed["name"], changed["parent_vm_id"]) == (True, "renamed", machine)
    public = api.http.get("/commits/public").json()["commits"]
    assert made[0] in {commit["commit_id"] for commit in public}
    for commit in made:
        assert api.http.delete(f"/commits/{commit}").status_code == 204


def test_tags(api: Api, image: str) -> None:
    """Made once, moved, deleted."""
    body = {"tag_name": "golden.v-1_x", "commit_id": image, "description": "d"}
    made = api.http.post("/commit_tags", json=body)
    assert made.status_code == 201
    assert set(made.json()) == {"tag_id", "tag_name", "commit_id"}
    assert api.http.post("/commit_tags", json=body).status_code == 409
    path = "/commit_tags/golden.v-1_x"
    moved = api.http.patch(path, json={"commit_id": image, "description": None})
    assert (moved.status_code, moved.content) == (204, b"")
    assert api.http.get(path).json()["description"] is None
    assert [tag["tag_name"] for tag in api.http.get("/commit_tags").json()["tags"]] == ["golden.v-1_x"]
    assert api.http.delete(path).status_code == 204
    assert api.http.delete(path).status_code == 404


def test_repositories(api: Api, image: str) -> None:
    """A repository with a tag, by the exact statuses."""
    made = api.http.post("/repositories", json={"name": "base"})
    assert (made.status_code, set(made.json())) == (201, {"repo_id", "name"})
    assert api.http.post("/repositories", json={"name": "base"}).status_code == 409
    tag = api.http.post("/repositories/base/tags", json={"tag_name": "v1", "commit_id": image})
    assert (tag.status_code, tag.json()["reference"]) == (201, "base:v1")
    assert api.http.patch("/repositories/base/visibility", json={"is_public": True}).status_code == 204
    assert api.http.get("/repositories/base").json()["is_public"] is True
    listed = api.http.get("/repositories/base/tags").json()
    assert (listed["repository"], len(listed["tags"])) == ("base", 1)
    assert api.http.patch("/repositories/base/tags/v1", json={"description": "x"}).status_code == 204
    assert api.http.get("/repositories/base/tags/v1").json()["description"] == "x"
    assert api.http.delete("/repositories/base/tags/v1").status_code == 204
    assert api.http.delete("/repositories/base").status_code == 204
    assert api.http.get("/repositories").json() == {"repositories": []}


def test_domains(api: Api, shared: str) -> None:
    """A domain is a row; its deletion answers 200 with its id."""
    body = {"domain": "app.example.org", "vm_id": shared}
    made = api.http.post("/domains", json=body)
    assert made.status_code == 201
    assert api.http.post("/domains", json=body).status_code == 409
    identity = made.json()["domain_id"]
    assert api.http.get("/domains", params={"vm_id": shared}).json() == [made.json()]
    assert api.http.get(f"/domains/{identity}").json() == made.json()
    gone = api.http.delete(f"/domains/{identity}")
    assert (gone.status_code, gone.json()) == (200, {"domain_id": identity})


def test_disk_only_grows(api: Api, machine: str) -> None:
    """A larger size is accepted with an empty body."""
    grown = api.http.patch(f"/vm/{machine}/disk", json={"fs_size_mib": 100_000})
    assert (grown.status_code, grown.content) == (200, b"")
    assert api.http.patch(f"/vm/{machine}/disk", json={"fs_size_mib": 100_000}).status_code == 400


def test_public_repositories(api: Api, image: str) -> None:
    """Anybody sees a public one without a key; a fork is a copy in one's own organisation, with a running machine."""
    api.http.post("/repositories", json={"name": "open"})
    api.http.post("/repositories/open/tags", json={"tag_name": "v1", "commit_id": image})
    public = f"{api.vers.base_url}/api/v1/public/repositories"
    organisation = api.http.get("/whoami").json()["org"]["name"]
    path = f"{public}/{organisation}/open"
    assert httpx.get(path).status_code == 404
    api.http.patch("/repositories/open/visibility", json={"is_public": True})
    assert httpx.get(path).json()["full_name"] == f"{organisation}/open"
    assert [tag["reference"] for tag in httpx.get(f"{path}/tags").json()["tags"]] == ["open:v1"]
    assert httpx.get(f"{path}/tags/v1").json()["commit_id"] == image
    assert "open" in {repository["name"] for repository in httpx.get(public).json()["repositories"]}
    body = {"source_org": organisation, "source_repo": "open", "source_tag": "v1"}
    assert api.http.post("/repositories/fork", json=body).status_code == 409
    forked = api.http.post("/repositories/fork", json={**body, "repo_name": "mine"})
    assert forked.status_code == 201
    assert forked.json()["reference"] == "mine:v1"
    assert api.read(forked.json()["vm_id"], "/root/marker") == b"golden\n"
    api.delete(forked.json()["vm_id"])
    for name in ("open", "mine"):
        api.http.delete(f"/repositories/{name}")
