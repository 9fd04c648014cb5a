"""Error bodies as clients meet them on the real service: text from its framework and gateway, JSON from its own code."""

import json

import httpx
import pytest

from tests.local.vers.conftest import Api

pytestmark = pytest.mark.machines

NOBODY = "00000000-0000-4000-8000-000000000000"
TEXT, NONE = "text/plain; charset=utf-8", None
JSON = "application/json"


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "kind", "starts"),
    [
        # the path
        ("GET", "/vm/nonsense/status", None, 400, NONE, "Invalid URL: Cannot parse `vm_id`"),
        ("DELETE", "/vm/nonsense", None, 400, NONE, "Invalid URL: Cannot parse `vm_id`"),
        ("POST", "/vm/nonsense/branch", None, 400, NONE, "Invalid URL: Cannot parse `vm_or_commit_id`"),
        ("DELETE", "/commits/nonsense", None, 400, NONE, "Invalid URL: Cannot parse `commit_id`"),
        ("GET", "/nothing/here", None, 404, NONE, ""),
        ("DELETE", "/vm", None, 405, NONE, ""),
        # the body
        ("POST", "/vm/new_root", "{", 400, TEXT, "Failed to parse the request body as JSON: "),
        ("POST", "/vm/new_root", None, 400, TEXT, "Failed to parse the request body as JSON: "),
        ("POST", "/vm/new_root", {}, 422, TEXT, "Failed to deserialize the JSON body into the target type: "),
        ("POST", "/vm/new_root", {"vm_config": {"mem_size_mib": "1"}}, 422, TEXT, "Failed to deserialize"),
        ("POST", "/vm/new_root", {"vm_config": {"labels": {"a": 1}}}, 422, TEXT, "Failed to deserialize"),
        ("POST", "/vm/from_commit", {}, 400, TEXT, "Failed to parse the request body as JSON: "),
        (
            "POST",
            "/vm/from_commit",
            {"commit_id": NOBODY, "tag_name": "x"},
            400,
            TEXT,
            "Failed to parse the request body as JSON: ",
        ),
        ("PATCH", "/vm/{vm}/state", {"state": "paused"}, 422, TEXT, "Failed to deserialize"),
        ("PATCH", "/vm/{vm}/state", {}, 422, TEXT, "Failed to deserialize"),
        ("POST", "/vm/{vm}/exec", {}, 422, TEXT, "Failed to deserialize"),
        ("POST", "/vm/{vm}/exec", {"command": "ls"}, 422, TEXT, "Failed to deserialize"),
        ("POST", "/vm/{vm}/exec/stream/attach", {"exec_id": "x"}, 422, TEXT, "Failed to deserialize"),
        # the query
        ("POST", "/vm/{commit}/branch?count=x", None, 400, TEXT, "Failed to deserialize query string"),
        ("DELETE", "/vm/{vm}?skip_wait_boot=1", None, 400, TEXT, "Failed to deserialize query string"),
        # meaning
        ("POST", "/vm/{commit}/branch?count=0", None, 400, JSON, "count"),
        ("PATCH", "/vm/{vm}/label", {}, 400, TEXT, "Failed to parse the request body as JSON: "),
        ("PATCH", "/vm/{vm}/disk", {"fs_size_mib": 1}, 400, JSON, "new disk size"),
        ("GET", "/vm/{vm}/files?path=relative", None, 400, JSON, "path"),
        ("POST", "/commit_tags", {"tag_name": "a/b", "commit_id": "{commit}"}, 400, JSON, "tag names"),
        ("PUT", "/env_vars", {"vars": {"1x": "y"}}, 400, JSON, "invalid environment variable"),
        ("PUT", "/env_vars", {"vars": {"x": "y" * 8193}}, 400, JSON, "invalid environment variable"),
        # nothing there
        ("GET", f"/vm/{NOBODY}/status", None, 404, JSON, "vm not found"),
        ("GET", f"/vm/{NOBODY}/metadata", None, 404, JSON, "vm not found"),
        ("GET", f"/vm/{NOBODY}/ssh_key", None, 404, JSON, "vm not found"),
        ("POST", f"/vm/{NOBODY}/commit", None, 404, JSON, "vm not found"),
        ("POST", f"/vm/{NOBODY}/branch", None, 404, JSON, "commit not found"),
        ("POST", f"/vm/branch/by_commit/{NOBODY}", None, 404, JSON, "commit not found"),
        ("POST", "/vm/branch/by_tag/none", None, 404, JSON, "tag not found"),
        ("POST", "/vm/from_commit", {"commit_id": NOBODY}, 404, JSON, "commit not found"),
        ("POST", "/vm/from_commit", {"ref": "none:x"}, 404, JSON, "repository not found"),
        ("GET", f"/vm/commits/{NOBODY}/parents", None, 404, JSON, "commit not found"),
        ("DELETE", f"/commits/{NOBODY}", None, 404, JSON, "commit not found"),
        ("GET", "/commit_tags/none", None, 404, JSON, "tag not found"),
        ("GET", "/repositories/none", None, 404, JSON, "repository not found"),
        ("DELETE", "/env_vars/NONE", None, 404, JSON, "Environment variable not found"),
        ("GET", "/vm/{vm}/files?path=/none", None, 404, JSON, "file not found"),
        ("POST", "/vm/{vm}/exec/stream/attach", {"exec_id": NOBODY}, 404, JSON, "exec not found"),
        # the machine says no
        ("GET", "/vm/{vm}/files?path=/root", None, 500, JSON, "Not a regular file"),
        ("POST", "/vm/{vm}/exec", {"command": ["no-such-program"]}, 500, JSON, "No such file"),
        ("POST", "/vm/{vm}/exec", {"command": ["true"], "working_dir": "/none"}, 500, JSON, "No such file"),
        (
            "POST",
            "/vm/{vm}/exec",
            {"command": ["sleep", "9"], "timeout_secs": 1},
            500,
            JSON,
            "command timed out",
        ),
    ],
)
def test_errors(
    api: Api,
    shared: str,
    image: str,
    method: str,
    path: str,
    body: object,
    status: int,
    kind: str | None,
    starts: str,
) -> None:
    """Status, content type and the beginning of what is said."""
    content = None if body is None else body if isinstance(body, str) else json.dumps(body)
    fill = {"{vm}": shared, "{commit}": image}
    for name, value in fill.items():
        path = path.replace(name, value)
        content = content.replace(name, value) if content else content
    answer = api.http.request(method, path, content=content)
    assert answer.status_code == status, answer.text
    assert answer.headers.get("content-type") == kind
    if kind == JSON:
        assert answer.json()["success"] is False
        assert answer.json()["error"].startswith(starts)
    else:
        assert answer.text.startswith(starts)


@pytest.mark.parametrize("path", [f"/vm/branch/by_vm/{NOBODY}", "/vm/branch/by_ref/none/x"])
def test_hybrid_answers(api: Api, path: str) -> None:
    """Two branch routes answer 404 with an empty list and an error, and without `success`."""
    answer = api.http.post(path)
    assert answer.status_code == 404
    assert set(answer.json()) == {"vms", "error"}
    assert answer.json()["vms"] == []


def test_deleting_what_is_not_yours(api: Api, machine: str) -> None:
    """An unknown machine, a foreign one and one that is gone get the same 403, and the foreign one lives on."""
    other = api.local("POST", "/keys").json()
    headers = {"Authorization": f"Bearer {other['api_key']}"}
    for vm, sent in ((NOBODY, {}), (machine, headers)):
        answer = api.http.delete(f"/vm/{vm}", headers=sent)
        assert answer.status_code == 403
        assert answer.json() == {"error": "Forbidden", "success": False}
    assert api.http.get(f"/vm/{machine}/status", headers=headers).status_code == 404
    assert api.http.get("/vm", headers=headers).json() == []
    assert api.state(machine) == "running"
    api.delete(machine)
    assert api.http.delete(f"/vm/{machine}").status_code == 403
    api.local("DELETE", f"/organisations/{other['organisation']}")


@pytest.mark.parametrize("authorization", ["", "Bearer wrong", "Basic {key}", "Bearer {key}x"])
def test_bad_keys(api: Api, authorization: str) -> None:
    """The gateway refuses before the API sees anything: 403 in plain text, whatever the path."""
    headers = {"Authorization": authorization.replace("{key}", api.key)}
    for path in ("/vm", "/vm/nonsense/status"):
        answer = httpx.get(f"{api.vers.base_url}/api/v1{path}", headers=headers)
        assert (answer.status_code, answer.text) == (403, "403 Forbidden")


def test_without_a_key(api: Api) -> None:
    """Health and the check of a key need none."""
    assert httpx.get(f"{api.vers.base_url}/health").status_code == 200
    check = f"{api.vers.base_url}/api/v1/keys/validate"
    assert httpx.post(check, json={"api_key": api.key}).json()["valid"] is True
    assert httpx.post(check, json={"api_key": "x"}).status_code == 401
