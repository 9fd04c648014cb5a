"""The pages of the App set-up: making an App from a manifest, and installing it."""

import json
import secrets
from typing import Any
from urllib.parse import urlencode

from flask import Blueprint, Response, redirect, request

from bot.local.github import seed
from bot.local.github.clock import in_one_hour
from bot.local.github.pages import views
from bot.local.github.pages.desk import Desk
from bot.local.github.permissions import allows
from bot.local.github.records import ManifestCode
from bot.local.github.refusals import Refusal, not_found
from bot.local.github.shapes import common

_ALWAYS = ("installation", "installation_repositories", "github_app_authorization")
_NEEDS = {
    "issues": "issues:read",
    "issue_comment": "issues:read",
    "pull_request": "pull_requests:read",
    "pull_request_review_comment": "pull_requests:read",
    "push": "contents:read",
    "check_run": "checks:read",
    "check_suite": "checks:read",
    "deployment": "deployments:read",
    "deployment_status": "deployments:read",
}


def add_app_pages(pages: Blueprint, desk: Desk) -> None:
    """Register the routes."""

    @pages.post("/settings/apps/new")
    @pages.post("/organizations/<account>/settings/apps/new")
    def confirm(account: str = "") -> Any:
        manifest = read_manifest(request.form.get("manifest", ""))
        page = views.ManifestPage(
            frame=desk.frame("Create GitHub App"),
            app=str(manifest["name"]),
            manifest=json.dumps(manifest),
            permissions=tuple(sorted((manifest.get("default_permissions") or {}).items())),
            events=tuple(manifest.get("default_events") or ()),
            state=request.args.get("state", ""),
            account=account or desk.me(),
        )
        return desk.page("manifest", page)

    @pages.post("/_local/manifests")
    def create() -> Any:
        manifest = read_manifest(request.form.get("manifest", ""))
        code = secrets.token_hex(20)
        store = desk.world.store
        with store.lock:
            expires = in_one_hour(desk.world.clock())
            store.manifest_codes.put(
                ManifestCode(store.next_id(), code, manifest, request.form["account"], expires)
            )
        query = {"code": code, "state": request.form.get("state", "")}
        return redirect(f"{manifest['redirect_url']}?{urlencode(query)}", 302)

    @pages.get("/apps/<slug>/installations/new")
    def choose(slug: str) -> Response:
        with desk.world.store.lock:
            app = desk.world.store.apps.one(slug=slug)
            if app is None:
                raise not_found()
            owners = tuple(dict.fromkeys(repo.owner for repo in desk.world.store.repositories))
            page = views.InstallPage(desk.frame(f"Install {app.name}"), app.name, slug, owners)
            return desk.page("install", page)

    @pages.post("/apps/<slug>/installations")
    def install(slug: str) -> Any:
        with desk.world.store.lock:
            app = desk.world.store.apps.one(slug=slug)
            account = request.form["account"]
            if app is None or desk.world.store.installations.one(app_id=app.id, account=account):
                raise not_found()
            made = seed.install(desk.world, app, account)
            repos = [
                {
                    "id": repo.id,
                    "node_id": common.node_id("Repository", repo.id),
                    "name": repo.name,
                    "full_name": repo.full_name,
                    "private": repo.private,
                }
                for repo in desk.world.repositories_of(made)
            ]
            payload = {
                "installation": common.installation(desk.world, made),
                "repositories": repos,
                "requester": None,
            }
            desk.api.outbox.deliver(app, "installation", "created", payload, desk.me(), installation=made)
        return redirect(f"/{repos[0]['full_name']}" if repos else "/", 303)


def read_manifest(text: str) -> dict[str, Any]:
    """A manifest, if GitHub would take it.

    Raises:
        Refusal: 422 with what is wrong, in GitHub's words where they are known.
    """
    try:
        manifest = json.loads(text)
    except ValueError as error:
        raise Refusal(422, "Manifest is not valid JSON") from error
    missing = [key for key in ("name", "url", "redirect_url") if not manifest.get(key)]
    if missing:
        raise Refusal(422, f"Manifest lacks {', '.join(missing)}")
    events = manifest.get("default_events") or []
    granted = manifest.get("default_permissions") or {}
    if unsupported := [event for event in events if event in _ALWAYS]:
        raise Refusal(422, f"Default events unsupported: {', '.join(unsupported)}")
    if uncovered := [event for event in events if not allows(granted, _NEEDS.get(event, "metadata:read"))]:
        raise Refusal(422, f"Default events are not supported by permissions: {', '.join(uncovered)}")
    return dict(manifest)
