"""What the routes of the REST API share: one running server's parts, handed to them through the Flask app."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from flask import current_app, g

from bot.local.vers.conditions import Conditions
from bot.local.vers.faults import FaultTable
from bot.local.vers.habits import Habits
from bot.local.vers.inside import Inside
from bot.local.vers.machines import Machines, Owner
from bot.local.vers.publish import Publications
from bot.local.vers.store import ApiKey, Books, Organisation, Store


@dataclass(frozen=True, slots=True)
class World:
    """The parts of one server."""

    run: str
    """Name of this server's folder."""
    store: Store
    machines: Machines
    inside: Inside
    publications: Publications
    faults: FaultTable
    conditions: Conditions
    habits: Habits
    open_connections: Callable[[], dict[str, int]]
    """Of the front, by kind."""
    new_port: Callable[[], int]
    """Draws the `ssh_port` of an answer, which on Vers is host-side information and nothing to dial."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Whose key came with the request."""

    organisation: Organisation
    key: ApiKey

    @property
    def owner(self) -> Owner:
        return Owner(self.organisation.id, self.key.id)


def world() -> World:
    """The server that this request came to."""
    return cast("World", current_app.extensions["vers"])


def caller() -> Caller:
    """Who sent this request; set before any route under /api/v1 runs."""
    return cast("Caller", g.caller)


def find_caller(books: Books, authorization: str) -> Caller | None:
    """The owner of a bearer, if there is one."""
    scheme, _, text = authorization.partition(" ")
    for organisation in books.organisations.values():
        for key in organisation.keys:
            if scheme.lower() == "bearer" and key.text == text.strip():
                return Caller(organisation, key)
    return None
