"""Cut GitHub's official OpenAPI description down to the operations and webhooks that the local GitHub serves.

    npm pack @octokit/openapi@23.0.2
    python tools/trim_spec.py octokit-openapi-23.0.2.tgz

writes `bot/local/github/official.json.gz`: paths, the schemas and examples they reach, and one schema per webhook.
Prose is dropped (it is nine tenths of the file); package, version, checksum and licence are kept in `x-source`.
"""

import gzip
import hashlib
import json
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

TARGET = Path(__file__).parent.parent / "bot/local/github/official.json.gz"
DESCRIPTION = "package/generated/api.github.com.json"

OPERATIONS = [
    "apps/get-authenticated",
    "apps/get-by-slug",
    "apps/list-installations",
    "apps/get-installation",
    "apps/get-repo-installation",
    "apps/get-org-installation",
    "apps/get-user-installation",
    "apps/create-installation-access-token",
    "apps/revoke-installation-access-token",
    "apps/list-repos-accessible-to-installation",
    "apps/create-from-manifest",
    "apps/list-webhook-deliveries",
    "apps/get-webhook-delivery",
    "apps/redeliver-webhook-delivery",
    "apps/get-webhook-config-for-app",
    "apps/update-webhook-config-for-app",
    "users/get-authenticated",
    "users/get-by-username",
    "rate-limit/get",
    "meta/get",
    "repos/get",
    "repos/get-branch",
    "repos/list-branches",
    "repos/get-collaborator-permission-level",
    "repos/get-content",
    "repos/create-or-update-file-contents",
    "repos/get-readme",
    "repos/list-commits",
    "repos/get-commit",
    "repos/compare-commits",
    "repos/compare-commits-with-basehead",
    "repos/download-tarball-archive",
    "repos/create-commit-status",
    "repos/get-combined-status-for-ref",
    "repos/list-commit-statuses-for-ref",
    "repos/create-deployment",
    "repos/list-deployments",
    "repos/get-deployment",
    "repos/delete-deployment",
    "repos/create-deployment-status",
    "repos/list-deployment-statuses",
    "repos/get-deployment-status",
    "repos/get-all-environments",
    "repos/get-environment",
    "repos/delete-an-environment",
    "issues/create",
    "issues/get",
    "issues/update",
    "issues/list-for-repo",
    "issues/create-comment",
    "issues/update-comment",
    "issues/get-comment",
    "issues/delete-comment",
    "issues/list-comments",
    "issues/list-comments-for-repo",
    "issues/add-labels",
    "issues/set-labels",
    "issues/remove-label",
    "issues/remove-all-labels",
    "issues/create-label",
    "issues/get-label",
    "issues/update-label",
    "issues/delete-label",
    "issues/list-labels-on-issue",
    "issues/list-labels-for-repo",
    "issues/list-sub-issues",
    "issues/add-sub-issue",
    "reactions/create-for-issue",
    "reactions/list-for-issue",
    "reactions/delete-for-issue",
    "reactions/create-for-issue-comment",
    "reactions/list-for-issue-comment",
    "reactions/delete-for-issue-comment",
    "git/get-ref",
    "git/list-matching-refs",
    "git/create-ref",
    "git/update-ref",
    "git/delete-ref",
    "git/create-blob",
    "git/get-blob",
    "git/create-tree",
    "git/get-tree",
    "git/create-commit",
    "git/get-commit",
    "pulls/create",
    "pulls/get",
    "pulls/update",
    "pulls/list",
    "pulls/list-files",
    "pulls/list-commits",
    "pulls/merge",
    "pulls/check-if-merged",
    "pulls/create-review-comment",
    "pulls/list-review-comments",
    "checks/create",
    "checks/update",
    "checks/get",
    "checks/list-for-ref",
    "checks/list-annotations",
    "checks/rerequest-run",
    "checks/set-suites-preferences",
    "checks/get-suite",
    "checks/list-suites-for-ref",
    "checks/list-for-suite",
]

WEBHOOKS = [
    "ping",
    "push",
    "check-run-created",
    "check-run-completed",
    "check-run-requested-action",
    "check-run-rerequested",
    "check-suite-requested",
    "check-suite-rerequested",
    "check-suite-completed",
    "deployment-created",
    "deployment-status-created",
    "installation-created",
    "installation-deleted",
    "installation-suspend",
    "installation-unsuspend",
    "installation-new-permissions-accepted",
    "installation-repositories-added",
    "installation-repositories-removed",
    "issue-comment-created",
    "issue-comment-edited",
    "issue-comment-deleted",
    "issues-opened",
    "issues-edited",
    "issues-closed",
    "issues-reopened",
    "issues-labeled",
    "issues-unlabeled",
    "issues-deleted",
    "issues-transferred",
    "label-created",
    "label-edited",
    "label-deleted",
    "pull-request-opened",
    "pull-request-edited",
    "pull-request-closed",
    "pull-request-reopened",
    "pull-request-synchronize",
    "pull-request-labeled",
    "pull-request-unlabeled",
    "pull-request-converted-to-draft",
    "pull-request-ready-for-review",
    "pull-request-review-submitted",
    "pull-request-review-comment-created",
    "repository-created",
    "repository-deleted",
    "repository-renamed",
    "repository-transferred",
    "repository-archived",
    "repository-privatized",
    "repository-publicized",
    "repository-edited",
]

METHODS = ("get", "post", "put", "patch", "delete")
PROSE = ("description", "example", "examples", "externalDocs", "summary", "title", "deprecated", "x-github")


def refs(node: Any) -> Iterator[str]:
    """Every `$ref` below a node."""
    if isinstance(node, dict):
        if isinstance(ref := node.get("$ref"), str):
            yield ref
        for value in node.values():
            yield from refs(value)
    elif isinstance(node, list):
        for value in node:
            yield from refs(value)


def bare(schema: Any, *, of_properties: bool = False) -> Any:
    """A schema without its prose. The keys of `properties` are names, so there they stay."""
    if isinstance(schema, dict):
        return {
            key: bare(value, of_properties=key == "properties" and not of_properties)
            for key, value in schema.items()
            if of_properties or key not in PROSE
        }
    return [bare(item) for item in schema] if isinstance(schema, list) else schema


def operation(full: dict[str, Any]) -> dict[str, Any]:
    """An operation with the parts that are needed to route, to validate and to give an example."""
    kept = {
        key: full[key] for key in ("operationId", "parameters", "requestBody", "responses") if key in full
    }
    for response in kept["responses"].values():
        response.pop("headers", None)
        if "content" in response:
            # Callers ask for JSON; the other media types only repeat its schemas.
            response["content"] = {
                kind: body for kind, body in response["content"].items() if kind == "application/json"
            }
    for parameter in kept.get("parameters", []):
        parameter.pop("description", None)
        parameter.pop("examples", None)
    if "requestBody" in kept:
        for body in kept["requestBody"].get("content", {}).values():
            body.pop("examples", None)
            if "schema" in body:
                body["schema"] = bare(body["schema"])
    return kept


def trimmed(full: dict[str, Any], source: dict[str, Any]) -> dict[str, Any]:
    """The part of the description that `OPERATIONS` and `WEBHOOKS` reach.

    Raises:
        SystemExit: an operation or a webhook is not in the description.
    """
    paths: dict[str, dict[str, Any]] = {}
    wanted = set(OPERATIONS)
    for path, item in full["paths"].items():
        for method in METHODS:
            if method in item and item[method]["operationId"] in wanted:
                wanted.discard(item[method]["operationId"])
                paths.setdefault(path, {})[method] = operation(item[method])
    missing = sorted(wanted | {name for name in WEBHOOKS if name not in full["x-webhooks"]})
    if missing:
        raise SystemExit(f"not in the description: {', '.join(missing)}")
    hooks = {}
    for name in WEBHOOKS:
        content = full["x-webhooks"][name]["post"]["requestBody"]["content"]
        hooks[name] = bare(content["application/json"]["schema"])
    out: dict[str, Any] = {
        "openapi": full["openapi"],
        "x-source": source,
        "paths": paths,
        "webhooks": hooks,
        "components": {},
    }
    todo: list[Any] = [paths, hooks]
    while todo:
        for ref in refs(todo.pop()):
            _, _, kind, name = ref.split("/")
            group = out["components"].setdefault(kind, {})
            if name not in group:
                found = full["components"][kind][name]
                group[name] = bare(found) if kind == "schemas" else found
                todo.append(group[name])
    return out


def main() -> None:
    """Read the package named on the command line and write the trimmed description."""
    archive = Path(sys.argv[1])
    with tarfile.open(archive) as package:
        read = {
            name: file.read()
            for name in (DESCRIPTION, "package/package.json", "package/LICENSE")
            if (file := package.extractfile(name))
        }
    about = json.loads(read["package/package.json"])
    source = {
        "package": about["name"],
        "version": about["version"],
        "package_sha256": hashlib.sha256(archive.read_bytes()).hexdigest(),
        "description_sha256": hashlib.sha256(read[DESCRIPTION]).hexdigest(),
        "licence": read["package/LICENSE"].decode().strip(),
    }
    text = json.dumps(trimmed(json.loads(read[DESCRIPTION]), source), separators=(",", ":")).encode()
    TARGET.write_bytes(gzip.compress(text, mtime=0))
    print(f"{TARGET}: {len(text)} bytes, {TARGET.stat().st_size} compressed")


if __name__ == "__main__":
    main()
