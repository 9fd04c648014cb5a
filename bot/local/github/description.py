"""GitHub's official OpenAPI description as router and validator: which operation is this, and does it keep to the schema?

The vendored file is made by `tools/trim_spec.py` and names its source, version, checksums and licence in `x-source`.
"""

import copy
import gzip
import json
import re
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema_rs

FILE = Path(__file__).parent / "official.json.gz"
METHODS = ("get", "post", "put", "patch", "delete")
_NOT_SCHEMA = ("example", "examples", "nullable", "discriminator", "xml", "externalDocs", "deprecated")
# The description lists these for some operations only, but every call can meet them: authentication, the
# permission check, the rate limits, and GitHub's own failures come before the operation.
ALWAYS_POSSIBLE = frozenset({400, 401, 403, 404, 422, 429, 500, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation: its official id ("issues/create"), method, path template and description."""

    id: str
    method: str
    template: str
    spec: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Route:
    """A path template with the operations under it, by lower-case method."""

    template: str
    pattern: re.Pattern[str]
    operations: Mapping[str, Operation]


class Description:
    """The loaded description. Schemas are compiled when first needed (about 2 ms each)."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self.source: Mapping[str, str] = document["x-source"]
        self._document = document
        self._validators: dict[Any, jsonschema_rs.Draft202012Validator] = {}
        shared: dict[str, Any] = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
        shared["components"] = {"schemas": to_json_schema(document["components"]["schemas"], names=True)}
        # In a registry the components are compiled once; embedded they would be compiled once per operation.
        self._registry = jsonschema_rs.Registry([("urn:gh", shared)])
        self._operations: dict[str, Operation] = {}
        routes = [self._route(path, item) for path, item in document["paths"].items()]
        # Fixed paths before patterns, long templates before short ones: GitHub's own precedence.
        self._routes = sorted(routes, key=lambda route: (route.template.count("{"), -len(route.template)))

    def find(self, method: str, path: str) -> tuple[Operation, dict[str, str]] | None:
        """The operation of a method and a path (without prefix and query), and its unquoted path parameters."""
        for route in self._routes:
            if (match := route.pattern.match(path)) and (found := route.operations.get(method.lower())):
                return found, {name: urllib.parse.unquote(value) for name, value in match.groupdict().items()}
        return None

    def roots(self) -> list[str]:
        """The first segments of all paths: "repos", "app", ..."""
        return sorted({path.split("/")[1] for path in self._document["paths"]})

    def operation_ids(self) -> frozenset[str]:
        """Ids of all operations in the description."""
        return frozenset(self._operations)

    def template_of(self, operation_id: str) -> str:
        """The path template of an operation: "/repos/{owner}/{repo}/issues"."""
        return self._operations[operation_id].template

    def example(self, operation_id: str, status: int = 200) -> Any:
        """A copy of the official example of an answer.

        Raises:
            LookupError: the description has none.
        """
        response = self._deref(self._operations[operation_id].spec["responses"][str(status)])
        examples = response["content"]["application/json"]["examples"]
        first = self._deref(next(iter(examples.values())))
        return copy.deepcopy(first["value"])

    def bad_body(self, operation: Operation, body: Any) -> list[str]:
        """What GitHub would refuse in a request body with 422: wrong types, missing or unknown values."""
        found = operation.spec.get("requestBody")
        if found is None:
            return []
        described = self._deref(found)
        schema = described["content"].get("application/json", {}).get("schema")
        if body is None:
            return ["body required"] if described.get("required") else []
        return self._errors((operation.id, "request"), schema, body) if schema else []

    def unknown_parts(self, operation: Operation, query: Mapping[str, str], body: Any) -> list[str]:
        """What GitHub would silently ignore in a request: a sign that the caller expects something else."""
        known = {
            described["name"]
            for parameter in operation.spec.get("parameters", ())
            if (described := self._deref(parameter))["in"] == "query"
        }
        problems = [f"unknown query parameter {name!r}" for name in query if name not in known]
        found = operation.spec.get("requestBody")
        if found is None:
            return [*problems, "operation takes no body"] if body not in (None, {}) else problems
        schema = self._deref(found)["content"].get("application/json", {}).get("schema", {})
        properties = self._deref(schema).get("properties")
        if isinstance(body, dict) and properties is not None:
            problems += [f"unknown body key {name!r}" for name in body if name not in properties]
        return problems

    def bad_answer(self, operation: Operation, status: int, body: Any) -> list[str]:
        """Where an answer differs from the description; `body` is None for an empty one."""
        response = operation.spec["responses"].get(str(status))
        if response is None and status not in ALWAYS_POSSIBLE:
            return [f"status {status} is not documented"]
        content = self._deref(response or {}).get("content", {}).get("application/json")
        if content is not None:
            return self._errors((operation.id, status), content["schema"], body)
        if status >= 400:
            return self._errors(("basic-error",), {"$ref": "#/components/schemas/basic-error"}, body)
        return [] if body is None else ["documented without a body"]

    def bad_webhook(self, event: str, payload: Mapping[str, Any]) -> list[str]:
        """Where a webhook payload differs from its official schema."""
        action = payload.get("action")
        name = "-".join(part.replace("_", "-") for part in (event, action) if part)
        schema = self._document["webhooks"].get(name)
        return [f"no schema {name!r}"] if schema is None else self._errors(("webhook", name), schema, payload)

    def _route(self, path: str, item: Mapping[str, Any]) -> Route:
        operations = {
            method: Operation(item[method]["operationId"], method.upper(), path, item[method])
            for method in METHODS
            if method in item
        }
        self._operations.update({operation.id: operation for operation in operations.values()})
        parameters = [self._deref(p) for op in operations.values() for p in op.spec.get("parameters", ())]
        slashed = {p["name"] for p in parameters if p.get("x-multi-segment")}
        whole = {p["name"] for p in parameters if p["in"] == "path" and p["schema"].get("type") == "integer"}
        pattern = re.sub(
            r"\\\{(\w+)\\\}",
            lambda m: f"(?P<{m[1]}>{_pattern(m[1], slashed=slashed, whole=whole)})",
            re.escape(path),
        )
        return Route(path, re.compile(f"^{pattern}$"), operations)

    def _deref(self, node: Any) -> Any:
        while "$ref" in node:
            found: Any = self._document
            for part in node["$ref"][2:].split("/"):
                found = found[part]
            node = found
        return node

    def _errors(self, key: tuple[Any, ...], schema: Any, value: Any) -> list[str]:
        validator = self._validators.get(key)
        if validator is None:
            validator = jsonschema_rs.Draft202012Validator(
                to_json_schema(schema), validate_formats=True, registry=self._registry
            )
            self._validators[key] = validator
        return [
            f"{'/'.join(map(str, error.instance_path)) or '(body)'}: {error.message[:300]}"
            for error in validator.iter_errors(value)
        ]


def _pattern(name: str, *, slashed: set[str], whole: set[str]) -> str:
    if name == "path":
        return ".*"  # the contents of the top folder have an empty path
    return ".+" if name in slashed else "[0-9]+" if name in whole else "[^/]+"


def to_json_schema(schema: Any, *, names: bool = False) -> Any:
    """OpenAPI 3.0's dialect to JSON Schema 2020-12: `nullable` becomes a type, references point into the registry.

    Args:
        schema: a schema, or with `names` a mapping of names to schemas (there "example" is a name, not prose).
        names: see above.
    """
    if isinstance(schema, list):
        return [to_json_schema(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if names:
        return {name: to_json_schema(value) for name, value in schema.items()}
    out: dict[str, Any] = {}
    for key, value in schema.items():
        if key == "$ref" and isinstance(value, str):
            out[key] = "urn:gh" + value
        elif key not in _NOT_SCHEMA:
            out[key] = to_json_schema(value, names=key == "properties")
    if schema.get("nullable"):
        out = _or_null(out)
    return out


def _or_null(schema: dict[str, Any]) -> dict[str, Any]:
    if any(key in schema for key in ("$ref", "oneOf", "anyOf", "allOf")):
        return {"anyOf": [schema, {"type": "null"}]}
    if isinstance(schema.get("type"), str):
        schema["type"] = [schema["type"], "null"]
    if "enum" in schema and None not in schema["enum"]:
        schema["enum"] = [*schema["enum"], None]
    return schema


@cache  # half a second and read-only afterwards
def load_description() -> Description:
    """The vendored description."""
    return Description(json.loads(gzip.decompress(FILE.read_bytes())))
