"""Frozen dataclasses to JSON-safe values and back: what the journal stores and the engine passes between steps."""

from functools import cache
from typing import Any, TypeVar

from pydantic import TypeAdapter

T = TypeVar("T")


@cache  # building one costs milliseconds
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def dump(value: Any) -> Any:
    """A JSON-safe copy of a dataclass (or a container of them): dicts, lists, strings, numbers, None."""
    kind: Any = type(value)  # classes are hashable, which their type does not say
    return _adapter(kind).dump_python(value, mode="json")


def load(kind: type[T], data: Any) -> T:
    """The inverse of `dump` for a class or generic alias.

    Raises:
        pydantic.ValidationError: the data does not have the shape of `kind`.
    """
    key: Any = kind
    return _adapter(key).validate_python(data)  # type: ignore[no-any-return]  # pydantic returns Any
