"""Routes of a machine's life: create, list, branch, commit, pause, label, delete."""

from typing import Literal

from flask import Blueprint, Response, request
from pydantic import Field

from bot.core.errors import NotFound
from bot.local.vers.machine import Machine, State
from bot.local.vers.store import Commit, Size
from bot.local.vers.wire import (
    Body,
    Refused,
    answer,
    body,
    empty,
    failure,
    flag,
    misfit,
    number,
    path_uuid,
    unparsed,
)
from bot.local.vers.world import caller, world

routes = Blueprint("vms", __name__)


class VmConfig(Body):
    """All of it may be left out."""

    vcpu_count: int | None = None
    mem_size_mib: int | None = None
    fs_size_mib: int | None = None
    image_name: str | None = None
    kernel_name: str | None = None
    labels: dict[str, str] | None = None


class NewRoot(Body):
    vm_config: VmConfig


class FromCommit(Body):
    commit_id: str | None = None
    tag_name: str | None = None
    ref: str | None = None


class NewCommit(Body):
    name: str | None = None
    description: str | None = None


class NewState(Body):
    """Capitalised on write, lower case on read."""

    state: Literal["Running", "Paused", "Sleeping"]


class NewDisk(Body):
    fs_size_mib: int = Field(ge=0)


class Labels(Body):
    labels: dict[str, str] | None = None


def machine_of(vm_id: str, name: str = "vm_id") -> Machine:
    """The caller's machine, or 404."""
    return world().machines.get(caller().organisation.id, path_uuid(name, vm_id))


def booted(vm_id: str) -> Machine:
    """The caller's machine once it has booted; with skip_wait_boot a booting one is an error."""
    machine = machine_of(vm_id)
    skip = flag("skip_wait_boot")
    if machine.state is State.BOOTING:
        if skip:
            raise Refused(failure(409, "vm is still booting"))
        machine.wait_booted()
    return machine


def commit_of(commit_id: str) -> Commit:
    """A commit that the caller may start machines from: the organisation's own, or a public one."""
    commit = world().store.read().commits.get(commit_id)
    if commit is None or not (commit.is_public or commit.org == caller().organisation.id):
        raise NotFound("commit not found")
    return commit


def tagged(tag_name: str) -> Commit:
    """The commit that a tag of the organisation names."""
    tag = caller().organisation.tags.get(tag_name)
    if tag is None:
        raise NotFound("tag not found")
    return commit_of(tag.commit)


def referenced(repository: str, tag_name: str) -> Commit:
    """The commit that a repository's tag names."""
    found = caller().organisation.repositories.get(repository)
    if found is None:
        raise NotFound("repository not found")
    if tag_name not in found.tags:
        raise NotFound("tag not found")
    return commit_of(found.tags[tag_name].commit)


def _shown(machine: Machine) -> dict[str, object]:
    return {
        "vm_id": machine.id,
        "owner_id": machine.owner,
        "created_at": machine.created_at,
        "state": machine.state.value,
        "labels": machine.labels,
    }


@routes.post("/vm/new_root")
def new_root() -> Response:
    config = body(NewRoot).vm_config
    for value in (config.vcpu_count, config.mem_size_mib, config.fs_size_mib):
        if value is not None and value <= 0:
            return failure(400, "vm_config values must be positive")
    if config.image_name not in {None, "default"}:
        return failure(404, "image not found")
    standard = Size()
    size = Size(
        config.vcpu_count or standard.vcpu_count,
        config.mem_size_mib or standard.mem_size_mib,
        config.fs_size_mib or standard.fs_size_mib,
    )
    most = world().habits.max_memory_mib
    if most and size.mem_size_mib > most:
        return failure(world().habits.limit_status, f"mem_size_mib exceeds the limit of {most}")
    wait = flag("wait_boot")
    machine = world().machines.create(caller().owner, caller().organisation, size, config.labels)
    if wait:
        machine.wait_booted()
    return answer({"vm_id": machine.id}, 201)


@routes.get("/vm")
@routes.get("/vms")
def list_vms() -> Response:
    if request.path.removeprefix("/api/v1") not in world().habits.list_paths:
        return empty(404)  # a path that the server does not have
    return answer([_shown(machine) for machine in world().machines.listed(caller().organisation.id)])


@routes.get("/vm/<vm_id>/status")
def status(vm_id: str) -> Response:
    return answer(_shown(machine_of(vm_id)))


@routes.get("/vm/<vm_id>/metadata")
def metadata(vm_id: str) -> Response:
    machine = machine_of(vm_id)
    return answer(
        {
            "vm_id": machine.id,
            "owner_id": machine.owner,
            "created_at": machine.created_at,
            "deleted_at": None,
            "state": machine.state.value,
            "ip": machine.address,
            "parent_commit_id": machine.parent_commit,
            "grandparent_vm_id": machine.grandparent_vm,
            "mem_size_mib": machine.size.mem_size_mib,
            "vcpu_count": machine.size.vcpu_count,
        }
    )


@routes.delete("/vm/<vm_id>")
def delete(vm_id: str) -> Response:
    try:
        machine = booted(vm_id)
    except NotFound:
        return failure(403, "Forbidden")  # what a foreign and a gone machine have in common
    world().publications.withdraw(machine)
    world().machines.delete(machine)
    return answer({"vm_id": machine.id})


def _branched(commit: Commit) -> Response:
    count = number("count", 1)
    if count < 1:
        return failure(400, "count must be at least 1")
    most = world().habits.max_branches
    if most and count > most:
        return failure(world().habits.limit_status, f"count must be at most {most}")
    machines = world().machines.branch(caller().owner, commit, count)
    return answer({"vms": [{"vm_id": machine.id} for machine in machines]}, 201)


def _branched_from(machine: Machine) -> Response:
    """A branch of a live machine commits it first."""
    commit = world().machines.commit(machine, name=None, description=None, keep_paused=flag("keep_paused"))
    return _branched(commit)


def _hybrid(error: NotFound) -> Response:
    return answer({"vms": [], "error": str(error)}, 404)


@routes.post("/vm/<any_id>/branch")
def branch(any_id: str) -> Response:
    identity = path_uuid("vm_or_commit_id", any_id)
    try:
        machine_of(identity)
    except NotFound:
        return _branched(commit_of(identity))
    return _branched_from(booted(identity))


@routes.post("/vm/branch/by_vm/<vm_id>")
def branch_by_vm(vm_id: str) -> Response:
    try:
        return _branched_from(booted(vm_id))
    except NotFound as error:
        return _hybrid(error)


@routes.post("/vm/branch/by_commit/<commit_id>")
def branch_by_commit(commit_id: str) -> Response:
    return _branched(commit_of(path_uuid("commit_id", commit_id)))


@routes.post("/vm/branch/by_tag/<tag_name>")
def branch_by_tag(tag_name: str) -> Response:
    return _branched(tagged(tag_name))


@routes.post("/vm/branch/by_ref/<repository>/<tag_name>")
def branch_by_ref(repository: str, tag_name: str) -> Response:
    try:
        return _branched(referenced(repository, tag_name))
    except NotFound as error:
        return _hybrid(error)


@routes.post("/vm/from_commit")
def from_commit() -> Response:
    source = body(FromCommit)
    given = [text for text in (source.commit_id, source.tag_name, source.ref) if text is not None]
    if len(given) != 1:
        raise Refused(unparsed("expected exactly one of commit_id, tag_name, ref"))
    if source.commit_id is not None:
        commit = commit_of(source.commit_id.lower())
    elif source.tag_name is not None:
        commit = tagged(source.tag_name)
    else:
        repository, colon, tag_name = given[0].partition(":")
        if not colon:
            return failure(400, "ref must be repo:tag")
        commit = referenced(repository, tag_name)
    machine = world().machines.branch(caller().owner, commit, 1)[0]
    return answer({"vm_id": machine.id}, 201)


@routes.post("/vm/<vm_id>/commit")
def commit(vm_id: str) -> Response:
    wanted = body(NewCommit, optional=True)
    keep_paused = flag("keep_paused")
    made = world().machines.commit(
        booted(vm_id), name=wanted.name, description=wanted.description, keep_paused=keep_paused
    )
    return answer({"commit_id": made.id}, 201)


@routes.patch("/vm/<vm_id>/state")
def set_state(vm_id: str) -> Response:
    machine, state = booted(vm_id), body(NewState).state
    words = world().habits.pause_words
    if state not in ("Running", *words):
        known = ", ".join(f"`{word}`" for word in ("Running", *words))
        raise Refused(misfit(f"state: unknown variant `{state}`, expected one of {known}"))
    machine.set_state(State(state.lower()))
    return empty()


@routes.patch("/vm/<vm_id>/disk")
def set_disk(vm_id: str) -> Response:
    machine, wanted = booted(vm_id), body(NewDisk).fs_size_mib
    if wanted <= machine.size.fs_size_mib:
        return failure(400, "new disk size must be larger than the current size")
    machine.size = Size(machine.size.vcpu_count, machine.size.mem_size_mib, wanted)
    return empty()


@routes.get("/vm/<vm_id>/ssh_key")
def ssh_key(vm_id: str) -> Response:
    machine = machine_of(vm_id)
    return answer({"ssh_port": world().new_port(), "ssh_private_key": machine.private_key})


def _labels() -> dict[str, str]:
    labels = body(Labels).labels
    if labels is None:
        raise Refused(unparsed("missing field `labels`"))
    return labels


@routes.patch("/vm/<vm_id>/label")
def add_labels(vm_id: str) -> Response:
    machine = machine_of(vm_id)
    machine.labels = {**(machine.labels or {}), **_labels()}
    return empty()


@routes.put("/vm/<vm_id>/labels")
def replace_labels(vm_id: str) -> Response:
    machine_of(vm_id).labels = _labels()
    return empty()


@routes.delete("/vm/<vm_id>/label/<name>")
def delete_label(vm_id: str, name: str) -> Response:
    machine = machine_of(vm_id)
    if name not in (machine.labels or {}):
        return failure(404, "label not found")
    machine.labels = {key: value for key, value in (machine.labels or {}).items() if key != name}
    return empty()
