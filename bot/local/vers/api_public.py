"""Routes of public repositories, which need no key, and of forking one."""

import uuid

from flask import Blueprint, Response

from bot.core.errors import NotFound
from bot.local.vers.api_commits import repository_tag_shown
from bot.local.vers.store import Books, Organisation, Repository, Tag, now
from bot.local.vers.wire import Body, answer, body, failure
from bot.local.vers.world import caller, world

routes = Blueprint("public", __name__)


class Fork(Body):
    """The new names are the source's when they are left out."""

    source_org: str
    source_repo: str
    source_tag: str
    repo_name: str | None = None
    tag_name: str | None = None


def _shown(organisation: Organisation, repository: Repository) -> dict[str, object]:
    return {
        "repo_id": repository.id,
        "name": repository.name,
        "org_name": organisation.name,
        "full_name": f"{organisation.name}/{repository.name}",
        "description": repository.description,
        "created_at": repository.created_at,
    }


def _public(books: Books) -> list[tuple[Organisation, Repository]]:
    return [
        (organisation, repository)
        for organisation in books.organisations.values()
        for repository in organisation.repositories.values()
        if repository.is_public
    ]


def _found(organisation_name: str, name: str) -> tuple[Organisation, Repository]:
    for organisation, repository in _public(world().store.read()):
        if (organisation.name, repository.name) == (organisation_name, name):
            return organisation, repository
    raise NotFound("repository not found")


def _tag(repository: Repository, name: str) -> Tag:
    if name not in repository.tags:
        raise NotFound("tag not found")
    return repository.tags[name]


@routes.get("/public/repositories")
def list_public() -> Response:
    return answer({"repositories": [_shown(*pair) for pair in _public(world().store.read())]})


@routes.get("/public/repositories/<organisation>/<name>")
def get_public(organisation: str, name: str) -> Response:
    return answer(_shown(*_found(organisation, name)))


@routes.get("/public/repositories/<organisation>/<name>/tags")
def list_public_tags(organisation: str, name: str) -> Response:
    _, repository = _found(organisation, name)
    tags = [repository_tag_shown(repository, tag) for tag in repository.tags.values()]
    return answer({"repository": repository.name, "tags": tags})


@routes.get("/public/repositories/<organisation>/<name>/tags/<tag_name>")
def get_public_tag(organisation: str, name: str, tag_name: str) -> Response:
    _, repository = _found(organisation, name)
    return answer(repository_tag_shown(repository, _tag(repository, tag_name)))


@routes.post("/repositories/fork")
def fork() -> Response:
    """Starts a machine from the public tag, which goes on running, and commits it into the caller's organisation."""
    wanted = body(Fork)
    _, source = _found(wanted.source_org, wanted.source_repo)
    source_commit = world().store.read().commits[_tag(source, wanted.source_tag).commit]
    name, tag_name = wanted.repo_name or source.name, wanted.tag_name or wanted.source_tag
    if name in caller().organisation.repositories:
        return failure(409, f"repository '{name}' already exists")
    parts = world()
    machine = parts.machines.branch(caller().owner, source_commit, 1)[0]
    commit = parts.machines.commit(machine, name=None, description=None, keep_paused=False)
    with parts.store.change() as books:
        made = Repository(str(uuid.uuid4()), name, source.description, now())
        made.tags[tag_name] = Tag(str(uuid.uuid4()), tag_name, commit.id, None, now(), now())
        books.organisations[caller().organisation.id].repositories[name] = made
    forked = {
        "repo_name": name,
        "tag_name": tag_name,
        "reference": f"{name}:{tag_name}",
        "commit_id": commit.id,
        "vm_id": machine.id,
    }
    return answer(forked, 201)
