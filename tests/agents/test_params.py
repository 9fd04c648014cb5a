"""The parameters of the swarm tools: what is refused before anything happens."""

from typing import Any

import pytest

from bot.agents import params
from bot.core.errors import UserError


@pytest.mark.parametrize(
    ("kind", "given", "named"),
    [
        (params.Spawn, {"count": 0}, "count"),
        (params.Spawn, {"count": 65}, "count"),
        (params.Spawn, {"count": 1, "labels": ["a"] * 65}, "labels"),
        (params.Wait, {"timeoutSeconds": float("nan")}, "timeoutSeconds"),
        (params.Wait, {"timeoutSeconds": float("inf")}, "timeoutSeconds"),
        (params.Wait, {"timeoutSeconds": "-Infinity"}, "timeoutSeconds"),
    ],
)
def test_what_has_no_end_is_refused(kind: type[params.Params], given: dict[str, Any], named: str) -> None:
    """The sentence names the parameter."""
    with pytest.raises(UserError, match=named):
        params.read(kind, given)


def test_what_is_taken() -> None:
    """The greatest number, one label as a word, and none."""
    assert params.read(params.Spawn, {"count": 64, "labels": ["a"] * 64}).count == 64
    assert params.read(params.Spawn, {"count": 1, "labels": "a"}).labels == ["a"]
    assert params.read(params.Spawn, {"count": 1, "labels": None}).labels is None
    assert params.read(params.Wait, {}).timeoutSeconds == params.LONGEST_WAIT_S
