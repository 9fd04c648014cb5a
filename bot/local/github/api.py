"""The REST front: finds the operation, knows the caller, keeps the limits, calls the handler, and checks both sides."""

import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from bot.local.github import attachments, graphql
from bot.local.github.clock import Clock
from bot.local.github.description import Operation
from bot.local.github.faults import Faults, When
from bot.local.github.gitstore import GitFailed, GitRepository
from bot.local.github.hooks import Outbox
from bot.local.github.identity import Caller, identify
from bot.local.github.markdown import Markdown
from bot.local.github.permissions import REPOSITORY_NEEDS, check_repository
from bot.local.github.records import Issue, Repository
from bot.local.github.refusals import Refusal, not_found
from bot.local.github.violations import Violations
from bot.local.github.world import World

API_VERSIONS = ("2022-11-28", "2026-03-10")
HOURLY_LIMIT = 5000
ANONYMOUS_LIMIT = 60


@dataclass(frozen=True, slots=True)
class Answer:
    """Status and JSON body; a body of None is an empty answer."""

    status: int
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Call:
    """One request, as the handlers see it."""

    world: World
    outbox: Outbox
    operation: Operation
    params: Mapping[str, str]
    query: Mapping[str, str]
    body: Any
    caller: Caller
    found_repo: Repository | None
    url: str
    """Full address without query, for Link headers."""
    rates: "RateLimits"

    @property
    def repo(self) -> Repository:
        """The repository of the path, checked against the caller's permission."""
        if self.found_repo is None:
            raise not_found()
        return self.found_repo

    @property
    def git(self) -> GitRepository:
        """The objects of the repository of the path."""
        return self.world.git(self.repo)

    @property
    def fields(self) -> dict[str, Any]:
        """The request body as a mapping; empty if there is none."""
        return self.body if isinstance(self.body, dict) else {}

    def number(self, name: str) -> int:
        """A path parameter that is a number."""
        return int(self.params[name])

    def issue(self, name: str = "issue_number") -> Issue:
        """The issue of the path.

        Raises:
            Refusal: 404.
        """
        found = self.world.issue(self.repo, self.number(name))
        if found is None:
            raise not_found()
        return found

    def page(self, items: Sequence[Any], shape: Callable[[Any], Any], *, key: str = "") -> Answer:
        """One page of a list, with GitHub's Link header.

        Args:
            items: all of them.
            shape: turns one into JSON; called for those of the page only.
            key: wraps the list: {"total_count": ..., key: [...]}.
        """
        size = min(max(int(self.query.get("per_page") or 30), 1), 100)
        page = max(int(self.query.get("page") or 1), 1)
        last = max((len(items) + size - 1) // size, 1)
        shaped = [shape(item) for item in items[(page - 1) * size : page * size]]
        links = []
        for name, number, wanted in (
            ("prev", page - 1, page > 1),
            ("next", page + 1, page < last),
            ("last", last, page < last),
            ("first", 1, page > 1),
        ):
            if wanted:
                query = urlencode({**self.query, "page": number})
                links.append(f'<{self.url}?{query}>; rel="{name}"')
        headers = {"Link": ", ".join(links)} if links else {}
        body = {"total_count": len(items), key: shaped} if key else shaped
        return Answer(200, body, headers)


Handler = Callable[[Call], Answer]
HANDLERS: dict[str, Handler] = {}
"""Operation id -> handler; filled by the modules of `operations`."""


def handles(*operation_ids: str) -> Callable[[Handler], Handler]:
    """Register a function as the handler of operations, by their official ids."""

    def register(handler: Handler) -> Handler:
        for operation_id in operation_ids:
            HANDLERS[operation_id] = handler
        return handler

    return register


@dataclass(frozen=True, slots=True)
class Incoming:
    """A request as it arrives: path without prefix, raw query as a mapping, raw body."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    data: bytes
    url: str


class RateLimits:
    """The primary limit: calls per hour and caller."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._windows: dict[str, tuple[int, int]] = {}

    def count(self, name: str, *, limit: int, spend: int = 1) -> dict[str, int]:
        """Spend from a caller's hour; gives limit, used, remaining and reset (seconds since 1970).

        `used` goes past the limit when there is nothing left to spend.
        """
        now = int(self._clock().timestamp())
        with self._lock:
            reset, used = self._windows.get(name, (0, 0))
            if reset <= now:
                reset, used = now + 3600, 0
            used += spend
            self._windows[name] = (reset, used)
        return {"limit": limit, "used": used, "remaining": max(limit - used, 0), "reset": reset}

    def exhaust(self, name: str, *, limit: int) -> None:
        """Use up a caller's hour."""
        self.count(name, limit=limit, spend=limit)


def limit_of(caller: Caller) -> int:
    """Calls per hour of a caller."""
    return HOURLY_LIMIT if caller.name != "nobody" else ANONYMOUS_LIMIT


class Api:
    """Answers REST requests."""

    def __init__(
        self,
        world: World,
        outbox: Outbox,
        faults: Faults,
        violations: Violations,
        handlers: Mapping[str, Handler],
    ) -> None:
        self.world = world
        self.outbox = outbox
        self.faults = faults
        self.violations = violations
        self.handlers = handlers
        self.rates = RateLimits(world.clock)

    def answer(self, incoming: Incoming) -> Answer:
        """The answer to one request."""
        fault = self.faults.take(incoming.method, incoming.path)
        if fault and fault.kind is When.BEFORE:
            time.sleep(fault.delay_s)  # the fault is the waiting
            if fault.status:
                return _failed(fault.status, fault.text(), fault.headers)
        answer = self._answer(incoming)
        if fault and fault.kind is When.AFTER:
            time.sleep(fault.delay_s)
        if fault and fault.status:
            return _failed(fault.status, fault.text(), fault.headers)
        return answer

    def _answer(self, incoming: Incoming) -> Answer:
        if incoming.path == graphql.PATH:
            return self._mutate(incoming)
        found = self.world.description.find(incoming.method, incoming.path)
        if found is None:
            self.violations.add("request", f"{incoming.method} {incoming.path}", ["no such operation"], 404)
            return _refused(not_found())
        operation, params = found
        headers: dict[str, str] = {}
        body: Any = None
        try:
            with self.world.store.lock:
                _check_headers(incoming.headers)
                caller = identify(self.world, incoming.headers.get("Authorization"))
                headers |= self._spend(caller, operation)
                body = _json(incoming.data)
                answer = self._handle(operation, params, incoming, body, caller)
        except Refusal as refusal:
            answer = _refused(refusal)
        except GitFailed as error:
            answer = _refused(Refusal(422, f"git: {error}"))
        unknown = self.world.description.unknown_parts(operation, incoming.query, body)
        self.violations.add("request", operation.id, unknown, answer.status)
        problems = self.world.description.bad_answer(operation, answer.status, answer.body)
        self.violations.add("answer", operation.id, problems, answer.status)
        shown = attachments.in_form(incoming.headers.get("Accept") or "", answer.body, self._html)
        return Answer(answer.status, shown, {**headers, **answer.headers})

    def _html(self, text: str) -> str:
        plain = Markdown(lambda _kind, _value: None, lambda page: attachments.signed(self.world, page))
        return plain.comment(text)

    def _mutate(self, incoming: Incoming) -> Answer:
        try:
            with self.world.store.lock:
                caller = identify(self.world, incoming.headers.get("Authorization"))
                return Answer(200, graphql.execute(self.world, caller, incoming.data))
        except Refusal as refusal:
            return _refused(refusal)

    def _handle(
        self,
        operation: Operation,
        params: Mapping[str, str],
        incoming: Incoming,
        body: Any,
        caller: Caller,
    ) -> Answer:
        repo = self._repository(operation, params, caller, writes=incoming.method != "GET")
        problems = self.world.description.bad_body(operation, body)
        if problems:
            self.violations.add("request", operation.id, problems, 422)
            # Older forms that GitHub still takes are let through; the handlers know them.
            if not isinstance(body, list):
                raise Refusal(422, "Invalid request.\n\n" + "\n".join(problems))
        handler = self.handlers.get(operation.id)
        if handler is None:
            raise Refusal(501, f"The local GitHub does not serve {operation.id}.")
        call = Call(
            self.world,
            self.outbox,
            operation,
            params,
            incoming.query,
            body,
            caller,
            repo,
            incoming.url,
            self.rates,
        )
        return handler(call)

    def _repository(
        self, operation: Operation, params: Mapping[str, str], caller: Caller, *, writes: bool
    ) -> Repository | None:
        if operation.id not in REPOSITORY_NEEDS:
            return None
        repo = self.world.repository(params["owner"], params["repo"])
        number = params.get("issue_number") or self._number_of_comment(params.get("comment_id"))
        issue = self.world.issue(repo, int(number)) if repo and number else None
        on_pull = issue is not None and issue.pull
        return check_repository(self.world, caller, repo, operation.id, writes=writes, on_pull=on_pull)

    def _number_of_comment(self, comment_id: str | None) -> int | None:
        comment = self.world.store.comments.get(int(comment_id)) if comment_id else None
        return comment.number if comment else None

    def _spend(self, caller: Caller, operation: Operation) -> dict[str, str]:
        free = operation.id == "rate-limit/get"
        rate = self.rates.count(caller.name, limit=limit_of(caller), spend=0 if free else 1)
        headers = {f"X-RateLimit-{name.capitalize()}": str(value) for name, value in rate.items()}
        headers["X-RateLimit-Resource"] = "core"
        if rate["used"] > rate["limit"] and not free:
            raise Refusal(403, f"API rate limit exceeded for {caller.name}.", headers=headers)
        return headers


def _check_headers(headers: Mapping[str, str]) -> None:
    if not headers.get("User-Agent"):
        raise Refusal(
            403,
            "Request forbidden by administrative rules. Please make sure your request has a User-Agent header",
        )
    version = headers.get("X-GitHub-Api-Version")
    if version and version not in API_VERSIONS:
        raise Refusal(400, f"Unsupported API version {version}.")


def _json(data: bytes) -> Any:
    if not data.strip():
        return None
    try:
        return json.loads(data)
    except ValueError as error:
        raise Refusal(400, "Problems parsing JSON") from error


def _refused(refusal: Refusal) -> Answer:
    return Answer(refusal.status, refusal.body(), refusal.headers)


def _failed(status: int, message: str, headers: Mapping[str, str]) -> Answer:
    return Answer(status, {"message": message, "documentation_url": "https://docs.github.com/rest"}, headers)
