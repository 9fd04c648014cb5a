"""Routes that only the stand-in has, all below /_local: faults, delays, counters, further keys, loopback addresses."""

from flask import Blueprint, Response
from pydantic import Field

from bot.core.errors import UserError
from bot.local.vers.faults import Fault, FaultKind
from bot.local.vers.store import add_key, add_organisation
from bot.local.vers.wire import Body, answer, body, empty, failure
from bot.local.vers.world import world

routes = Blueprint("local", __name__)


class NewFault(Body):
    route: str
    kind: FaultKind
    times: int = Field(default=1, ge=1)
    status: int = Field(default=503, ge=400, le=599)
    seconds: float = Field(default=0.0, ge=0)
    body: str | None = None


class NewConditions(Body):
    delays: dict[str, float] | None = None
    round_trip_ms: float | None = None


class Publish(Body):
    vm_id: str
    port: int = Field(ge=1, le=65535)


class NewKey(Body):
    organisation: str | None = None
    """Id of an organisation that exists; a new one is made without it."""
    label: str = "further"
    keep: bool = False
    """Whether a new organisation outlives this server."""


@routes.post("/faults")
def add_fault() -> Response:
    """Body: route, kind, and what the kind needs (`faults.Fault`). Faults strike in the order they came."""
    wanted = body(NewFault)
    world().faults.add(
        Fault(wanted.route, wanted.kind, wanted.times, wanted.status, wanted.seconds, wanted.body)
    )
    return empty(204)


@routes.delete("/faults")
def clear_faults() -> Response:
    """Answers how many had not struck yet."""
    return answer({"left": world().faults.clear()})


@routes.put("/conditions")
def set_conditions() -> Response:
    """How slow the server is from now on; see `conditions`. What the body leaves out stays as it is."""
    wanted, conditions = body(NewConditions), world().conditions
    try:
        conditions.change(wanted.delays, wanted.round_trip_ms)
    except UserError as error:
        return failure(400, str(error))
    return answer({"delays": dict(conditions.delays), "round_trip_ms": conditions.round_trip_ms})


@routes.get("/state")
def state() -> Response:
    """How many machines live, and how many were ever made by this server."""
    machines = world().machines
    listed = [
        {"vm_id": machine.id, "state": machine.state.value, "labels": machine.labels}
        for machine in machines.listed()
    ]
    return answer({"vm_count": len(listed), "created_count": machines.created, "vms": listed})


@routes.put("/publish")
def publish() -> Response:
    """A loopback address for a guest's port, as `{"url"}`. No key is needed: it is this machine's own loopback."""
    wanted = body(Publish)
    machine = world().machines.anyones(wanted.vm_id)
    return answer({"url": world().publications.publish(machine, wanted.port)})


@routes.post("/keys")
def new_key() -> Response:
    """A key of a new organisation, or a further one of an old: `{"api_key", "organisation"}`."""
    wanted = body(NewKey, optional=True)
    with world().store.change() as books:
        if wanted.organisation is None:
            organisation = add_organisation(
                books,
                f"local-{len(books.organisations)}-{wanted.label}",
                None if wanted.keep else world().run,
            )
            key = organisation.keys[0]
        elif wanted.organisation in books.organisations:
            organisation = books.organisations[wanted.organisation]
            key = add_key(organisation, wanted.label)
        else:
            return failure(404, "organisation not found")
    return answer({"api_key": key.text, "organisation": organisation.id}, 201)


@routes.delete("/organisations/<organisation>")
def forget_organisation(organisation: str) -> Response:
    """Delete an organisation with its machines, commits and keys, as a test does that made one."""
    parts = world()
    for machine in parts.machines.listed(organisation):
        parts.publications.withdraw(machine)
        parts.machines.delete(machine)
    for commit in parts.store.read().commits.values():
        if commit.org == organisation:
            parts.machines.delete_commit(commit)
    with parts.store.change() as books:
        books.organisations.pop(organisation, None)
    return empty(204)
