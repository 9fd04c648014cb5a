"""GitHub's refusals as exceptions, with the body that GitHub sends."""

from collections.abc import Mapping, Sequence
from typing import Any

DOCUMENTATION = "https://docs.github.com/rest"


class Refusal(Exception):
    """An error answer: status, message, and for 422 often a list of `errors`."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        errors: Sequence[Mapping[str, Any]] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.errors = tuple(errors)
        self.headers = dict(headers or {})

    def body(self) -> dict[str, Any]:
        """The JSON body of the answer."""
        out: dict[str, Any] = {"message": self.message}
        if self.errors:
            out["errors"] = [dict(error) for error in self.errors]
        return out | {"documentation_url": DOCUMENTATION, "status": str(self.status)}


def not_found() -> Refusal:
    """404: does not exist, or not for this caller; GitHub does not say which."""
    return Refusal(404, "Not Found")


def forbidden_to_app() -> Refusal:
    """403: the App's installation lacks a permission."""
    return Refusal(403, "Resource not accessible by integration")


def invalid(resource: str, field: str, code: str = "invalid", message: str = "") -> Refusal:
    """422 "Validation Failed" with one entry in `errors`."""
    error = {"resource": resource, "field": field, "code": code}
    return Refusal(422, "Validation Failed", errors=[error | ({"message": message} if message else {})])


def unprocessable(message: str) -> Refusal:
    """422 with a plain message, as the git endpoints answer."""
    return Refusal(422, message)


def empty_repository() -> Refusal:
    """409: the git endpoints of a repository without a commit."""
    return Refusal(409, "Git Repository is empty.")
