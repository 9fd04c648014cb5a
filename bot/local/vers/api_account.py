"""Routes of the account: variables of new machines, who am I, keys, domains, version."""

import re
import uuid

from flask import Blueprint, Response, request

from bot.core.errors import NotFound
from bot.local.vers.api_vms import machine_of
from bot.local.vers.store import now
from bot.local.vers.wire import Body, answer, body, empty, failure, path_uuid
from bot.local.vers.world import caller, find_caller, world

routes = Blueprint("account", __name__)

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,255}")
_VALUE_LIMIT = 8192


class Variables(Body):
    vars: dict[str, str]
    replace: bool | None = None


class KeyToCheck(Body):
    api_key: str | None = None


class NewDomain(Body):
    domain: str
    vm_id: str


@routes.get("/env_vars")
def list_variables() -> Response:
    return answer({"vars": caller().organisation.variables})


@routes.put("/env_vars")
def set_variables() -> Response:
    wanted = body(Variables)
    for name, value in wanted.vars.items():
        if not _VARIABLE.fullmatch(name) or len(value) > _VALUE_LIMIT:
            return failure(400, f"invalid environment variable: {name[:300]}")
    with world().store.change() as books:
        organisation = books.organisations[caller().organisation.id]
        kept = {} if wanted.replace else organisation.variables
        organisation.variables = {**kept, **wanted.vars}
    return answer({"vars": organisation.variables})


@routes.delete("/env_vars/<name>")
def delete_variable(name: str) -> Response:
    with world().store.change() as books:
        variables = books.organisations[caller().organisation.id].variables
        if name not in variables:
            raise NotFound("Environment variable not found")
        del variables[name]
    return empty(204)


@routes.get("/whoami")
def whoami() -> Response:
    organisation, key = caller().organisation, caller().key
    return answer(
        {
            "user": {"id": organisation.user_id, "email": "local@localhost", "user_name": "local"},
            "org": {"id": organisation.id, "name": organisation.name},
            "api_key": {
                "id": key.id,
                "label": key.label,
                "created_at": key.created_at,
                "expires_at": None,
                "max_vcpus": None,
                "max_memory_mib": world().habits.max_memory_mib or None,
            },
        }
    )


@routes.post("/keys/validate")
def validate_key() -> Response:
    wanted = body(KeyToCheck, optional=True)
    bearer = f"Bearer {wanted.api_key}" if wanted.api_key else request.headers.get("Authorization", "")
    if find_caller(world().store.read(), bearer) is None:
        return answer({"valid": False, "message": "Invalid API key"}, 401)
    return answer({"valid": True, "message": "API key is valid"})


@routes.get("/system/version")
def version() -> Response:
    return answer({"executable_name": "orchestrator", "git_hash": "local", "workspace_version": "0.1.0"})


@routes.get("/domains")
def list_domains() -> Response:
    wanted = request.args.get("vm_id")
    if wanted is not None:
        wanted = path_uuid("vm_id", wanted)
    return answer([d for d in caller().organisation.domains.values() if wanted in {None, d["vm_id"]}])


@routes.post("/domains")
def new_domain() -> Response:
    wanted = body(NewDomain)
    machine = machine_of(wanted.vm_id)
    with world().store.change() as books:
        if any(
            wanted.domain == d["domain"] for o in books.organisations.values() for d in o.domains.values()
        ):
            return failure(409, f"domain '{wanted.domain}' already exists")
        made = {
            "domain_id": str(uuid.uuid4()),
            "domain": wanted.domain,
            "vm_id": machine.id,
            "created_at": now(),
        }
        books.organisations[caller().organisation.id].domains[made["domain_id"]] = made
    return answer(made, 201)


@routes.get("/domains/<domain_id>")
def get_domain(domain_id: str) -> Response:
    found = caller().organisation.domains.get(path_uuid("domain_id", domain_id))
    return answer(found) if found else failure(404, "domain not found")


@routes.delete("/domains/<domain_id>")
def delete_domain(domain_id: str) -> Response:
    identity = path_uuid("domain_id", domain_id)
    with world().store.change() as books:
        if books.organisations[caller().organisation.id].domains.pop(identity, None) is None:
            raise NotFound("domain not found")
    return answer({"domain_id": identity})
