"""The API's manners: how requests are read and how each kind of error looks on the wire.

The shapes are those observed on the real service: plain text from its framework and gateway, JSON from its own code.
"""

import json
import uuid
from typing import TypeVar

from flask import Response, jsonify, request
from pydantic import BaseModel, ConfigDict, ValidationError

M = TypeVar("M", bound="Body")


class Body(BaseModel):
    """A request body. Unknown fields are ignored, types are not bent."""

    model_config = ConfigDict(strict=True, extra="ignore")


class Refused(Exception):
    """A request ends here with this response."""

    def __init__(self, response: Response) -> None:
        super().__init__(response.status)
        self.response = response


def plain(status: int, text: str, *, typed: bool = True) -> Response:
    """A text answer, with or without a content type."""
    response = Response(text, status, content_type="text/plain; charset=utf-8")
    if not typed:
        del response.headers["Content-Type"]
    return response


def failure(status: int, message: str) -> Response:
    """The API's ErrorResponse."""
    response = jsonify(error=message, success=False)
    response.status_code = status
    return response


def answer(value: object, status: int = 200) -> Response:
    """A JSON answer."""
    response = jsonify(value)
    response.status_code = status
    return response


def empty(status: int = 200) -> Response:
    """An answer without body and content type."""
    return plain(status, "", typed=False)


def path_uuid(name: str, text: str) -> str:
    """A UUID from the path, lower case.

    Raises:
        Refused: 400 in plain text without content type.
    """
    try:
        return str(uuid.UUID(text))
    except ValueError as error:
        message = f"Invalid URL: Cannot parse `{name}` with value `{text}`: UUID parsing failed: {error}"
        raise Refused(plain(400, message, typed=False)) from error


def body(model: type[M], *, optional: bool = False) -> M:
    """The request's JSON as a model.

    Raises:
        Refused: 400 when it is not JSON, 422 when it does not have the model's shape, both in plain text.
    """
    raw = request.get_data()
    if optional and not raw.strip():
        raw = b"{}"
    try:
        data = json.loads(raw)
    except ValueError as error:
        raise Refused(unparsed(str(error))) from error
    try:
        return model.model_validate_json(json.dumps(data))  # JSON mode: UUIDs come as strings
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise Refused(misfit(f"{where}: {first['msg']} at line 1")) from error


def unparsed(detail: str) -> Response:
    """The framework's 400 for a body that is no JSON, or none of the variants it wants."""
    return plain(400, f"Failed to parse the request body as JSON: {detail}")


def misfit(detail: str) -> Response:
    """The framework's 422 for JSON that does not have the shape or the value it wants."""
    return plain(422, f"Failed to deserialize the JSON body into the target type: {detail}")


def flag(name: str) -> bool:
    """A boolean of the query, false when absent."""
    text = request.args.get(name, "false")
    if text not in {"true", "false"}:
        raise Refused(
            plain(
                400, f"Failed to deserialize query string: {name}: provided string was not `true` or `false`"
            )
        )
    return text == "true"


def number(name: str, default: int) -> int:
    """A non-negative integer of the query."""
    text = request.args.get(name, str(default))
    if not (text.isascii() and text.isdigit()):
        message = f"Failed to deserialize query string: {name}: invalid digit found in string"
        raise Refused(plain(400, message))
    return int(text)
