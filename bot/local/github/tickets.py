"""Addresses that open for whoever has them, for five minutes: archives, and images of private repositories."""

import hashlib
import hmac

from bot.local.github.world import World

LIVES_S = 300


def ticket(world: World, what: str) -> str:
    """What proves that this server gave somebody the address of `what`."""
    return _sign(world, what, int(world.clock().timestamp()) + LIVES_S)


def good(world: World, what: str, given: str) -> bool:
    """Whether a ticket is for this, and not too old."""
    until = given.partition(".")[0]
    if not until.isdigit() or int(until) < world.clock().timestamp():
        return False
    return hmac.compare_digest(given.encode(), _sign(world, what, int(until)).encode())


def _sign(world: World, what: str, until: int) -> str:
    key = str(world.store.folder).encode()  # nobody but this server has to be kept out of a stand-in
    return f"{until}.{hmac.new(key, f'{what} {until}'.encode(), hashlib.sha256).hexdigest()[:32]}"
