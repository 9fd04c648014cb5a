"""Routes of snapshots and their names: commits, the organisation's tags, repositories and their tags."""

import re
import uuid

from flask import Blueprint, Response

from bot.core.errors import NotFound
from bot.local.vers.api_vms import commit_of
from bot.local.vers.store import Books, Commit, Organisation, Repository, Tag, now
from bot.local.vers.wire import Body, Refused, answer, body, empty, failure, number, path_uuid
from bot.local.vers.world import caller, world

routes = Blueprint("commits", __name__)

_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")


class CommitChange(Body):
    is_public: bool
    name: str | None = None
    description: str | None = None


class NewTag(Body):
    tag_name: str
    commit_id: str
    description: str | None = None


class TagChange(Body):
    commit_id: str | None = None
    description: str | None = None


class NewRepository(Body):
    name: str
    description: str | None = None


class Visibility(Body):
    is_public: bool


def _shown(commit: Commit) -> dict[str, object]:
    return {
        "commit_id": commit.id,
        "name": commit.name,
        "owner_id": commit.owner,
        "is_public": commit.is_public,
        "created_at": commit.created_at,
        "description": commit.description,
        "parent_vm_id": commit.parent_vm,
        "grandparent_commit_id": commit.grandparent_commit,
    }


def _page(commits: list[Commit]) -> Response:
    limit, offset = number("limit", 50), number("offset", 0)
    newest_first = sorted(commits, key=lambda commit: commit.created_at, reverse=True)
    shown = [_shown(commit) for commit in newest_first[offset : offset + limit]]
    return answer({"commits": shown, "total": len(commits), "limit": limit, "offset": offset})


def _mine(books: Books, commit_id: str) -> Commit:
    commit = books.commits.get(path_uuid("commit_id", commit_id))
    if commit is None or commit.org != caller().organisation.id:
        raise NotFound("commit not found")
    return commit


def _organisation(books: Books) -> Organisation:
    return books.organisations[caller().organisation.id]


@routes.get("/commits")
def list_commits() -> Response:
    commits = world().store.read().commits.values()
    return _page([commit for commit in commits if commit.org == caller().organisation.id])


@routes.get("/commits/public")
def list_public() -> Response:
    return _page([commit for commit in world().store.read().commits.values() if commit.is_public])


@routes.get("/vm/commits/<commit_id>/parents")
def parents(commit_id: str) -> Response:
    books = world().store.read()
    commit: Commit | None = commit_of(path_uuid("commit_id", commit_id))
    chain = []
    while commit is not None:
        entity = _shown(commit)
        chain.append({"id": entity.pop("commit_id"), **entity})  # this one route says `id`
        commit = books.commits.get(commit.grandparent_commit or "")
    return answer(chain)


@routes.patch("/commits/<commit_id>")
def change_commit(commit_id: str) -> Response:
    wanted = body(CommitChange)
    with world().store.change() as books:
        commit = _mine(books, commit_id)
        commit.is_public = wanted.is_public
        commit.name = wanted.name if wanted.name is not None else commit.name
        if "description" in wanted.model_fields_set:
            commit.description = wanted.description
        return answer(_shown(commit))


@routes.delete("/commits/<commit_id>")
def delete_commit(commit_id: str) -> Response:
    world().machines.delete_commit(_mine(world().store.read(), commit_id))
    return empty(204)


# --- tags -----------------------------------------------------------------------------------------------------------


def _tag_shown(tag: Tag) -> dict[str, object]:
    return {
        "tag_id": tag.id,
        "tag_name": tag.name,
        "commit_id": tag.commit,
        "description": tag.description,
        "created_at": tag.created_at,
        "updated_at": tag.updated_at,
    }


def _added(tags: dict[str, Tag], wanted: NewTag) -> Tag:
    if not _NAME.fullmatch(wanted.tag_name):
        raise Refused(failure(400, "tag names are 1 to 64 of A-Z a-z 0-9 . _ -"))
    commit = commit_of(wanted.commit_id.lower())
    if wanted.tag_name in tags:
        raise Refused(failure(409, f"tag '{wanted.tag_name}' already exists"))
    tag = Tag(str(uuid.uuid4()), wanted.tag_name, commit.id, wanted.description, now(), now())
    tags[tag.name] = tag
    return tag


def _found(tags: dict[str, Tag], name: str) -> Tag:
    if name not in tags:
        raise NotFound("tag not found")
    return tags[name]


def _change(tag: Tag, wanted: TagChange) -> None:
    if wanted.commit_id is not None:
        tag.commit = commit_of(wanted.commit_id.lower()).id
    if "description" in wanted.model_fields_set:
        tag.description = wanted.description
    tag.updated_at = now()


@routes.get("/commit_tags")
def list_tags() -> Response:
    return answer({"tags": [_tag_shown(tag) for tag in caller().organisation.tags.values()]})


@routes.post("/commit_tags")
def new_tag() -> Response:
    wanted = body(NewTag)
    with world().store.change() as books:
        tag = _added(_organisation(books).tags, wanted)
    return answer({"tag_id": tag.id, "tag_name": tag.name, "commit_id": tag.commit}, 201)


@routes.get("/commit_tags/<name>")
def get_tag(name: str) -> Response:
    return answer(_tag_shown(_found(caller().organisation.tags, name)))


@routes.patch("/commit_tags/<name>")
def change_tag(name: str) -> Response:
    wanted = body(TagChange)
    with world().store.change() as books:
        _change(_found(_organisation(books).tags, name), wanted)
    return empty(204)


@routes.delete("/commit_tags/<name>")
def delete_tag(name: str) -> Response:
    with world().store.change() as books:
        tags = _organisation(books).tags
        del tags[_found(tags, name).name]
    return empty(204)


# --- repositories ---------------------------------------------------------------------------------------------------


def _repository(organisation: Organisation, name: str) -> Repository:
    if name not in organisation.repositories:
        raise NotFound("repository not found")
    return organisation.repositories[name]


def _repository_shown(repository: Repository) -> dict[str, object]:
    return {
        "repo_id": repository.id,
        "name": repository.name,
        "description": repository.description,
        "is_public": repository.is_public,
        "created_at": repository.created_at,
    }


def repository_tag_shown(repository: Repository, tag: Tag) -> dict[str, object]:
    """A tag of a repository, as RepoTagInfo."""
    return {**_tag_shown(tag), "reference": f"{repository.name}:{tag.name}"}


@routes.get("/repositories")
def list_repositories() -> Response:
    found = caller().organisation.repositories.values()
    return answer({"repositories": [_repository_shown(repository) for repository in found]})


@routes.post("/repositories")
def new_repository() -> Response:
    wanted = body(NewRepository)
    if not _NAME.fullmatch(wanted.name):
        return failure(400, "repository names are 1 to 64 of A-Z a-z 0-9 . _ -")
    with world().store.change() as books:
        repositories = _organisation(books).repositories
        if wanted.name in repositories:
            return failure(409, f"repository '{wanted.name}' already exists")
        made = Repository(str(uuid.uuid4()), wanted.name, wanted.description, now())
        repositories[made.name] = made
    return answer({"repo_id": made.id, "name": made.name}, 201)


@routes.get("/repositories/<name>")
def get_repository(name: str) -> Response:
    return answer(_repository_shown(_repository(caller().organisation, name)))


@routes.delete("/repositories/<name>")
def delete_repository(name: str) -> Response:
    with world().store.change() as books:
        organisation = _organisation(books)
        del organisation.repositories[_repository(organisation, name).name]
    return empty(204)


@routes.patch("/repositories/<name>/visibility")
def set_visibility(name: str) -> Response:
    wanted = body(Visibility)
    with world().store.change() as books:
        _repository(_organisation(books), name).is_public = wanted.is_public
    return empty(204)


@routes.get("/repositories/<name>/tags")
def list_repository_tags(name: str) -> Response:
    repository = _repository(caller().organisation, name)
    tags = [repository_tag_shown(repository, tag) for tag in repository.tags.values()]
    return answer({"repository": repository.name, "tags": tags})


@routes.post("/repositories/<name>/tags")
def new_repository_tag(name: str) -> Response:
    wanted = body(NewTag)
    with world().store.change() as books:
        repository = _repository(_organisation(books), name)
        tag = _added(repository.tags, wanted)
    reference = f"{repository.name}:{tag.name}"
    return answer({"tag_id": tag.id, "commit_id": tag.commit, "reference": reference}, 201)


@routes.get("/repositories/<name>/tags/<tag_name>")
def get_repository_tag(name: str, tag_name: str) -> Response:
    repository = _repository(caller().organisation, name)
    return answer(repository_tag_shown(repository, _found(repository.tags, tag_name)))


@routes.patch("/repositories/<name>/tags/<tag_name>")
def change_repository_tag(name: str, tag_name: str) -> Response:
    wanted = body(TagChange)
    with world().store.change() as books:
        _change(_found(_repository(_organisation(books), name).tags, tag_name), wanted)
    return empty(204)


@routes.delete("/repositories/<name>/tags/<tag_name>")
def delete_repository_tag(name: str, tag_name: str) -> Response:
    with world().store.change() as books:
        tags = _repository(_organisation(books), name).tags
        del tags[_found(tags, tag_name).name]
    return empty(204)
