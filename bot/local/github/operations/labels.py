"""Labels of a repository and of an issue."""

from dataclasses import replace
from typing import Any

from bot.local.github import conversation
from bot.local.github.api import Answer, Call, handles
from bot.local.github.operations.issues import names_of
from bot.local.github.records import Issue, Label
from bot.local.github.refusals import Refusal, not_found
from bot.local.github.shapes import issues as shapes


def the_label(call: Call) -> Label:
    """The label of the path."""
    found = call.world.label(call.repo, call.params["name"])
    if found is None:
        raise not_found()
    return found


def shape(call: Call, label: Label) -> dict[str, Any]:
    """A label as JSON."""
    return shapes.label(call.world, call.repo, label)


@handles("issues/create-label")
def create_label(call: Call) -> Answer:
    fields = call.fields
    color = str(fields.get("color") or "ededed")
    made = conversation.make_label(
        call.world, call.repo, fields["name"], color, fields.get("description"), call.caller.login
    )
    return Answer(201, shape(call, made))


@handles("issues/get-label")
def get_label(call: Call) -> Answer:
    return Answer(200, shape(call, the_label(call)))


@handles("issues/list-labels-for-repo")
def list_labels(call: Call) -> Answer:
    found = call.world.store.labels.where(repo=call.repo.id)
    return call.page(found, lambda label: shape(call, label))


@handles("issues/update-label")
def update_label(call: Call) -> Answer:
    old, fields = the_label(call), call.fields
    new = replace(
        old,
        name=fields.get("new_name", old.name),
        color=fields.get("color", old.color),
        description=fields.get("description", old.description),
    )
    call.world.store.labels.put(new)
    was = {"name": old.name, "color": old.color, "description": old.description or ""}
    changes = {key: {"from": was[key]} for key in was if getattr(old, key) != getattr(new, key)}
    payload = {"label": shape(call, new), "changes": changes}
    call.world.emit("label", "edited", call.repo, payload, call.caller.login)
    return Answer(200, shape(call, new))


@handles("issues/delete-label")
def delete_label(call: Call) -> Answer:
    found = the_label(call)
    call.world.store.labels.drop(found.id)
    call.world.emit("label", "deleted", call.repo, {"label": shape(call, found)}, call.caller.login)
    return Answer(204)


@handles("issues/list-labels-on-issue")
def list_on_issue(call: Call) -> Answer:
    return call.page(shapes.labels(call.world, call.repo, call.issue()), lambda label: label)


def changed(call: Call, names: list[str]) -> Answer:
    """Make these the labels of the issue."""
    issue: Issue = conversation.set_labels(call.world, call.repo, call.issue(), names, call.caller.login)
    return Answer(200, shapes.labels(call.world, call.repo, issue))


def wanted(call: Call) -> list[str]:
    """Names from {"labels": [...]}, or from GitHub's older form, the bare list."""
    return names_of(call.body if isinstance(call.body, list) else call.fields.get("labels"))


@handles("issues/add-labels")
def add_labels(call: Call) -> Answer:
    return changed(call, [*conversation.label_names(call.world, call.issue()), *wanted(call)])


@handles("issues/set-labels")
def set_labels(call: Call) -> Answer:
    return changed(call, wanted(call))


@handles("issues/remove-label")
def remove_label(call: Call) -> Answer:
    gone = call.params["name"].casefold()
    names = conversation.label_names(call.world, call.issue())
    kept = [name for name in names if name.casefold() != gone]
    if len(kept) == len(names):
        raise Refusal(404, "Label does not exist")
    return changed(call, kept)


@handles("issues/remove-all-labels")
def remove_all_labels(call: Call) -> Answer:
    changed(call, [])
    return Answer(204)
