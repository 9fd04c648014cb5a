"""Apps, installations, their tokens, webhook deliveries, the manifest exchange; users; limits."""

import secrets
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from bot.local.github.api import Answer, Call, handles, limit_of
from bot.local.github.clock import moment
from bot.local.github.identity import mint
from bot.local.github.permissions import LEVELS
from bot.local.github.records import App, Delivery, Installation, Repository
from bot.local.github.refusals import Refusal, not_found, unprocessable
from bot.local.github.shapes import common
from bot.local.github.shapes.delivery import webhook_delivery
from bot.local.github.world import World

KEY_BITS = 2048
MOST_REPOSITORIES = 500


def by_jwt(call: Call) -> App:
    """The App that calls with its JWT.

    Raises:
        Refusal: 401 for everybody else.
    """
    if call.caller.app is None or call.caller.installation is not None:
        raise Refusal(401, "A JSON web token could not be decoded")
    return call.caller.app


@handles("apps/get-authenticated")
def get_app(call: Call) -> Answer:
    app = by_jwt(call)
    count = len(call.world.store.installations.where(app_id=app.id))
    return Answer(200, common.app(call.world, app) | {"installations_count": count})


@handles("apps/get-by-slug")
def get_by_slug(call: Call) -> Answer:
    app = call.world.store.apps.one(slug=call.params["app_slug"])
    if app is None:
        raise not_found()
    return Answer(200, common.app(call.world, app))


@handles("apps/list-installations")
def list_installations(call: Call) -> Answer:
    found = call.world.store.installations.where(app_id=by_jwt(call).id)
    return call.page(found, lambda each: common.installation(call.world, each))


def own_installation(call: Call) -> Installation:
    """The installation of the path, if it is one of the calling App."""
    app = by_jwt(call)
    found = call.world.store.installations.get(call.number("installation_id"))
    if found is None or found.app_id != app.id:
        raise not_found()
    return found


@handles("apps/get-installation")
def get_installation(call: Call) -> Answer:
    return Answer(200, common.installation(call.world, own_installation(call)))


@handles("apps/get-repo-installation")
def get_repo_installation(call: Call) -> Answer:
    app = by_jwt(call)
    for found in call.world.installations_on(call.repo):
        if found.app_id == app.id:
            return Answer(200, common.installation(call.world, found))
    raise not_found()


@handles("apps/get-org-installation", "apps/get-user-installation")
def get_account_installation(call: Call) -> Answer:
    account = call.params.get("org") or call.params.get("username")
    found = call.world.store.installations.one(app_id=by_jwt(call).id, account=account)
    if found is None:
        raise not_found()
    return Answer(200, common.installation(call.world, found))


@handles("apps/create-installation-access-token")
def create_token(call: Call) -> Answer:
    installation = own_installation(call)
    if installation.suspended_at:
        raise Refusal(403, "This installation has been suspended")
    repositories = chosen_repositories(call, installation)
    permissions = chosen_permissions(installation, call.fields.get("permissions"))
    ids = None if repositories is None else tuple(repo.id for repo in repositories)
    token = mint(call.world, installation, ids, permissions)
    body: dict[str, Any] = {
        "token": token.value,
        "expires_at": token.expires_at,
        "permissions": permissions,
        "repository_selection": installation.repository_selection if repositories is None else "selected",
    }
    if repositories is not None:
        body["repositories"] = [common.repository(call.world, repo) for repo in repositories]
    return Answer(201, body)


def chosen_repositories(call: Call, installation: Installation) -> list[Repository] | None:
    """The repositories that a token is limited to; None without a limit.

    Raises:
        Refusal: 422 if one of them is not the installation's.
    """
    names, ids = call.fields.get("repositories"), call.fields.get("repository_ids")
    if names is None and ids is None:
        return None
    covered = call.world.repositories_of(installation)
    chosen = [repo for repo in covered if repo.name in (names or ()) or repo.id in (ids or ())]
    if len(chosen) != len(set(names or ()) | set(ids or ())) or len(chosen) > MOST_REPOSITORIES:
        raise unprocessable(
            "There is at least one repository that does not exist or is not accessible to the parent installation."
        )
    return chosen


def chosen_permissions(installation: Installation, wanted: Mapping[str, str] | None) -> dict[str, str]:
    """The permissions of a token: all of the installation's, or those asked for.

    Raises:
        Refusal: 422 if more is asked than was granted.
    """
    granted = {"metadata": "read", **installation.permissions}
    if not wanted:
        return granted
    for name, level in wanted.items():
        if name not in granted or LEVELS.index(granted[name]) < LEVELS.index(level):
            raise unprocessable("The permissions requested are not granted to this installation.")
    return {"metadata": "read", **wanted}


@handles("apps/revoke-installation-access-token")
def revoke_token(call: Call) -> Answer:
    if call.caller.installation is None or call.caller.token is None:
        raise Refusal(401, "Bad credentials")
    call.world.store.tokens.drop(call.caller.token.id)
    return Answer(204)


@handles("apps/list-repos-accessible-to-installation")
def list_repositories(call: Call) -> Answer:
    if call.caller.installation is None or call.caller.token is None:
        raise Refusal(
            403,
            "You must authenticate with an installation access token in order to list repositories for an installation.",
        )
    limited = call.caller.token.repository_ids
    covered = call.world.repositories_of(call.caller.installation)
    found = [repo for repo in covered if limited is None or repo.id in limited]
    return call.page(found, lambda repo: common.repository(call.world, repo, call.caller), key="repositories")


# Webhooks of the App


@handles("apps/get-webhook-config-for-app")
def get_hook(call: Call) -> Answer:
    return Answer(200, hook_shape(by_jwt(call)))


def hook_shape(app: App) -> dict[str, str]:
    """The webhook of an App; its secret is never shown."""
    shape = {"content_type": "json", "insecure_ssl": "0"}
    if app.webhook_secret:
        shape["secret"] = "********"  # noqa: S105  # what GitHub shows instead of it
    return shape | ({"url": app.webhook_url} if app.webhook_url else {})


@handles("apps/update-webhook-config-for-app")
def update_hook(call: Call) -> Answer:
    app = by_jwt(call)
    new = replace(
        app,
        webhook_url=call.fields.get("url", app.webhook_url),
        webhook_secret=call.fields.get("secret", app.webhook_secret),
    )
    return Answer(200, hook_shape(call.world.store.apps.put(new)))


def own_delivery(call: Call) -> Delivery:
    """The delivery of the path."""
    found = call.world.store.deliveries.get(call.number("delivery_id"))
    if found is None or found.app_id != by_jwt(call).id:
        raise not_found()
    return found


@handles("apps/list-webhook-deliveries")
def list_deliveries(call: Call) -> Answer:
    app = by_jwt(call)
    found = [d for d in call.world.store.deliveries.where(app_id=app.id) if d.status != "pending"][::-1]
    if (status := call.query.get("status")) is not None:
        # GitHub's filter looks at the code alone.
        found = [d for d in found if (400 <= d.status_code <= 599) == (status == "failure")]
    size = min(int(call.query.get("per_page") or 30), 100)
    cursor = int((call.query.get("cursor") or "v1_0").removeprefix("v1_"))
    rest = [d for d in found if not cursor or d.id < cursor]
    page = rest[:size]
    headers = {}
    if len(rest) > size:
        link = f"{call.url}?per_page={size}&cursor=v1_{page[-1].id}"
        headers["Link"] = f'<{link}>; rel="next"'
    return Answer(200, [webhook_delivery(each, full=False) for each in page], headers)


@handles("apps/get-webhook-delivery")
def get_delivery(call: Call) -> Answer:
    return Answer(200, webhook_delivery(own_delivery(call), full=True))


@handles("apps/redeliver-webhook-delivery")
def redeliver(call: Call) -> Answer:
    call.outbox.redeliver(own_delivery(call))
    return Answer(202, {})


# The manifest exchange


@handles("apps/create-from-manifest")
def from_manifest(call: Call) -> Answer:
    found = call.world.store.manifest_codes.one(code=call.params["code"])
    if found is None or moment(found.expires_at) <= call.world.clock():
        raise not_found()
    call.world.store.manifest_codes.drop(found.id)
    app, pem = make_app(call.world, found.owner, found.manifest)
    body = common.app(call.world, app) | {
        "client_id": app.client_id,
        "client_secret": app.client_secret,
        "webhook_secret": app.webhook_secret or None,
        "pem": pem,
    }
    if app.webhook_url:
        call.outbox.ping(app)
    return Answer(201, body)


def make_app(
    world: World, owner: str, manifest: Mapping[str, Any], *, app_id: int | None = None
) -> tuple[App, str]:
    """An App and its bot account from a manifest; gives the private key too, which is not kept."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=KEY_BITS)
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )
    name = str(manifest["name"])
    hook = manifest.get("hook_attributes") or {}
    active = bool(hook.get("active", True)) and bool(hook.get("url"))
    app = App(
        id=app_id or world.store.next_id("app", first=200_001),
        slug=_free_slug(world, name),
        name=name,
        owner=owner,
        client_id=f"Iv23li{secrets.token_hex(7)}",
        client_secret=secrets.token_hex(20),
        public_key_pem=public.decode(),
        permissions={"metadata": "read", **(manifest.get("default_permissions") or {})},
        events=tuple(manifest.get("default_events") or ()),
        webhook_url=hook.get("url") if active else None,
        webhook_secret=secrets.token_hex(20),
        hook_id=world.store.next_id(),
        external_url=str(manifest.get("url") or "http://127.0.0.1"),
        created_at=world.now(),
    )
    world.store.apps.put(app)
    world.add_account(world.bot_login(app), "Bot", app.id)
    return app, private.decode()


def _free_slug(world: World, name: str) -> str:
    """The name in an address. GitHub makes the owner choose another name when it is taken; here it gets a number."""
    slug = "-".join(name.lower().split())
    taken = {app.slug for app in world.store.apps}
    names = (slug, *(f"{slug}-{number}" for number in range(2, len(taken) + 2)))
    return next(each for each in names if each not in taken)


# Users and limits


@handles("users/get-authenticated")
def get_me(call: Call) -> Answer:
    account = call.world.account(call.caller.login)
    if call.caller.app:
        raise Refusal(403, "Resource not accessible by integration")
    if account is None:
        raise Refusal(401, "Requires authentication")
    return Answer(200, common.public_user(call.world, account.login, account.created_at))


@handles("users/get-by-username")
def get_user(call: Call) -> Answer:
    account = call.world.account(call.params["username"])
    if account is None:
        raise not_found()
    return Answer(200, common.public_user(call.world, account.login, account.created_at))


@handles("rate-limit/get")
def get_rate_limit(call: Call) -> Answer:
    core = call.rates.count(call.caller.name, limit=limit_of(call.caller), spend=0)
    resources = dict.fromkeys(("core", "search", "graphql", "integration_manifest"), core)
    return Answer(200, {"resources": resources, "rate": core})


@handles("meta/get")
def get_meta(_: Call) -> Answer:
    return Answer(200, {"verifiable_password_authentication": False, "hooks": ["127.0.0.1/32", "::1/128"]})
