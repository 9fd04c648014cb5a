"""What the stand-in has beside GitHub's own surface, below /_local: worlds to build, misfortune to plan, what was seen."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any
from urllib.parse import unquote

from flask import Blueprint, Response, jsonify, request
from pydantic import BaseModel, Field

from bot.core import codec
from bot.local.github import attachments, seed
from bot.local.github.api import Api, limit_of
from bot.local.github.identity import identify
from bot.local.github.operations import checks
from bot.local.github.records import App, Installation, Repository
from bot.local.github.refusals import Refusal, not_found
from bot.local.github.shapes import common
from bot.local.github.world import World

_COLORS = ("0969da", "8250df", "bf3989", "cf222e", "bc4c00", "1a7f37", "0550ae", "6639ba")


class RepositoryOrder(BaseModel):
    """Body of `POST /_local/repositories`. Without files the repository is empty, without any commit."""

    full_name: str
    files: dict[str, str] = Field(default_factory=dict)
    private: bool = False
    description: str = ""
    roles: dict[str, str] | None = None


class SelectionOrder(BaseModel):
    """Body of `POST /_local/installations/ID/repositories`: full names."""

    added: list[str] = Field(default_factory=list)
    removed: list[str] = Field(default_factory=list)


class UserOrder(BaseModel):
    """Body of `POST /_local/users`: a person, and what they may do where (full name -> role)."""

    login: str
    roles: dict[str, str] = Field(default_factory=dict)


class HookOrder(BaseModel):
    """Body of `POST /_local/webhook-url`."""

    url: str | None


def blueprint(api: Api) -> Blueprint:
    """The routes."""
    room = Blueprint("local", __name__, url_prefix="/_local")
    world = api.world

    @room.get("/violations")
    def violations() -> Response:
        return jsonify(api.violations.all())

    @room.delete("/violations")
    def forget_violations() -> tuple[str, int]:
        api.violations.clear()
        return "", 204

    @room.post("/faults")
    def plan_fault() -> tuple[str, int]:
        api.faults.plan(request.get_json())
        return "", 204

    @room.post("/webhooks")
    def plan_webhooks() -> tuple[str, int]:
        api.faults.plan_hooks(request.get_json())
        return "", 204

    @room.get("/faults")
    def faults_left() -> Any:
        return codec.dump(api.faults.left())

    @room.delete("/faults")
    def forget_faults() -> tuple[str, int]:
        api.faults.clear()
        return "", 204

    @room.post("/webhook-url")
    def set_webhook_url() -> tuple[str, int]:
        order = HookOrder.model_validate(request.get_json())
        set_hook(api, order.url)
        return "", 204

    @room.post("/rate-limit")
    def exhaust() -> tuple[str, int]:
        caller = identify(world, request.headers.get("Authorization"))
        api.rates.exhaust(caller.name, limit=limit_of(caller))
        return "", 204

    @room.get("/avatars/<name>.svg")
    def avatar(name: str) -> Response:
        return Response(
            _avatar(unquote(name)), mimetype="image/svg+xml", headers={"Cache-Control": "max-age=3600"}
        )

    _worlds(room, api)
    _installations(room, api)
    return room


def set_hook(api: Api, url: str | None) -> None:
    """Point the first App's webhook somewhere; the first time GitHub says `ping`."""
    with api.world.store.lock:
        app = next(iter(api.world.store.apps))
        fresh = url is not None and app.webhook_url is None
        app = api.world.store.apps.put(replace(app, webhook_url=url))
        if fresh:
            api.outbox.ping(app)


def _worlds(room: Blueprint, api: Api) -> None:
    world = api.world

    @room.post("/repositories")
    def create_repository() -> tuple[Response, int]:
        order = RepositoryOrder.model_validate(request.get_json())
        with world.store.lock:
            files = {path: text.encode() for path, text in order.files.items()}
            repo = seed.create_repository(
                world,
                order.full_name,
                files,
                private=order.private,
                description=order.description,
                roles=order.roles,
            )
            return jsonify(common.repository(world, repo)), 201

    @room.post("/repositories/<owner>/<name>/attachments")
    def attach(owner: str, name: str) -> tuple[Response, int]:
        address = attachments.attach(world, _repository(world, f"{owner}/{name}"), request.get_data())
        return jsonify({"href": address}), 201

    @room.post("/users")
    def create_user() -> tuple[Response, int]:
        order = UserOrder.model_validate(request.get_json())
        with world.store.lock:
            token = world.store.tokens.one(login=order.login) or seed.add_person(world, order.login)
            for full_name, role in order.roles.items():
                repo = _repository(world, full_name)
                world.store.repositories.put(replace(repo, roles={**repo.roles, order.login: role}))
            return jsonify({"login": order.login, "token": token.value}), 201

    @room.post("/check-runs/<int:run_id>/<action>")
    def press(run_id: int, action: str) -> tuple[str, int]:
        with world.store.lock:
            caller = identify(world, request.headers.get("Authorization"))
            press_button(world, run_id, action, caller.login)
            return "", 204


def press_button(world: World, run_id: int, action: str, login: str) -> None:
    """A person clicks a check run's "Re-run" ("rerequested") or one of its buttons, by its identifier.

    Raises:
        Refusal: 403 without write access; 404 if there is no such button, or the run has not ended yet.
    """
    run = world.store.check_runs.get(run_id)
    repo = world.store.repositories.get(run.repo) if run else None
    if run is None or repo is None:
        raise not_found()
    if world.role(repo, login) not in ("write", "maintain", "admin"):
        raise Refusal(403, "Must have push access to repository.")
    if action == "rerequested":
        checks.tell(world, repo, run, action, login)
        return
    known = [button["identifier"] for button in run.actions]
    if run.status != "completed" or action not in known:
        raise not_found()  # buttons are shown when the run has ended
    checks.tell(world, repo, run, "requested_action", login, requested_action={"identifier": action})


def _installations(room: Blueprint, api: Api) -> None:
    world = api.world
    verbs: dict[str, Callable[[Installation], Installation]] = {
        "suspend": lambda old: replace(old, suspended_at=world.now()),
        "unsuspend": lambda old: replace(old, suspended_at=None),
        "deleted": lambda old: old,
    }

    @room.post("/installations/<int:number>/<verb>")
    def change(number: int, verb: str) -> tuple[str, int]:
        with world.store.lock:
            installation, app = _installation(world, number)
            if verb == "repositories":
                order = SelectionOrder.model_validate(request.get_json())
                _select(api, app, installation, order)
                return "", 204
            if verb not in verbs:
                raise not_found()
            new = world.store.installations.put(verbs[verb](installation))
            covered = [_brief(repo) for repo in world.repositories_of(new)]
            payload = {"installation": common.installation(world, new), "repositories": covered}
            api.outbox.deliver(app, "installation", verb, payload, _admin(world, new), installation=new)
            if verb == "deleted":
                world.store.installations.drop(new.id)
            return "", 204


def _select(api: Api, app: App, old: Installation, order: SelectionOrder) -> None:
    """Change which repositories an installation covers, with an event for what came and one for what went."""
    world = api.world
    before = {repo.full_name: repo for repo in world.repositories_of(old)}
    added = [_repository(world, name) for name in order.added if name not in before]
    removed = [before[name] for name in order.removed if name in before]
    after = [repo for repo in before.values() if repo not in removed] + added
    new = replace(old, repository_selection="selected", repository_ids=tuple(repo.id for repo in after))
    world.store.installations.put(new)
    for action, repos in (("added", added), ("removed", removed)):
        if repos:
            payload: dict[str, Any] = {
                "installation": common.installation(world, new),
                "repository_selection": "selected",
                "repositories_added": [_brief(repo) for repo in repos if action == "added"],
                "repositories_removed": [_brief(repo) for repo in repos if action == "removed"],
                "requester": None,
            }
            sender = _admin(world, new)
            api.outbox.deliver(app, "installation_repositories", action, payload, sender, installation=new)


def _brief(repo: Repository) -> dict[str, Any]:
    return {
        "id": repo.id,
        "node_id": common.node_id("Repository", repo.id),
        "name": repo.name,
        "full_name": repo.full_name,
        "private": repo.private,
    }


def _admin(world: World, installation: Installation) -> str:
    for repo in world.store.repositories.where(owner=installation.account):
        for login, role in repo.roles.items():
            if role == "admin":
                return login
    return installation.account


def _installation(world: World, number: int) -> tuple[Installation, App]:
    found = world.store.installations.get(number)
    app = world.store.apps.get(found.app_id) if found else None
    if found is None or app is None:
        raise not_found()
    return found, app


def _repository(world: World, full_name: str) -> Repository:
    owner, _, name = full_name.partition("/")
    found = world.repository(owner, name)
    if found is None:
        raise not_found()
    return found


def _avatar(name: str) -> str:
    color = _COLORS[sum(name.encode()) % len(_COLORS)]
    letter = next((character for character in name.upper() if character.isalnum()), "?")
    shape = '<circle cx="20" cy="20" r="20"' if "[bot]" not in name else '<rect width="40" height="40" rx="8"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="40" height="40" viewBox="0 0 40 40">{shape} fill="#{color}"/>'
        '<text x="20" y="27" font-family="system-ui, sans-serif" font-size="19" font-weight="600" fill="#fff" '
        f'text-anchor="middle">{letter}</text></svg>'
    )
