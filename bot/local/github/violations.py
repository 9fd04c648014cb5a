"""Where requests, answers and webhooks left the official description, except for what is known and has a reason."""

import re
import threading
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Violation:
    """One departure. `where` is "request", "answer" or "webhook"; `subject` an operation id or an event."""

    where: str
    subject: str
    problem: str
    status: int = 0


@dataclass(frozen=True, slots=True)
class Allowed:
    """A departure that is right, and why."""

    where: str
    subject: str
    problem: str
    reason: str

    def covers(self, violation: Violation) -> bool:
        """Whether this entry is about the violation; `subject` and `problem` are regular expressions."""
        return (
            self.where == violation.where
            and re.fullmatch(self.subject, violation.subject) is not None
            and re.search(self.problem, violation.problem) is not None
        )


ALLOWED = (
    Allowed(
        "request",
        "issues/(add|set)-labels",
        r"^\(body\): \[.*\] is not valid under any|not of type \"object\"",
        "a bare list of names is GitHub's older form; it is still accepted, and PyGithub sends it",
    ),
    Allowed(
        "answer",
        "apps/(list-installations|get-installation|get-repo-installation)",
        r"account",
        "the account is oneOf user or enterprise, and GitHub's own example matches both or none",
    ),
    Allowed(
        "answer",
        "repos/create-or-update-file-contents",
        r"^\(body\): .* is valid under more than one of the schemas",
        "a plain error fits both schemas that its 409 is said to be oneOf",
    ),
    Allowed(
        "answer",
        "repos/.*deployment-status.*",
        r'^(\d+/)?(target|log|environment)_url: "" is not a "uri"',
        'GitHub gives "" for an address that was not set',
    ),
    Allowed(
        "webhook",
        "deployment_status.created",
        r'^deployment_status/(target|log|environment)_url: "" is not a "uri"',
        'GitHub gives "" for an address that was not set',
    ),
    Allowed(
        "webhook",
        ".*",
        r"email: .*\[bot\]@.* is not a \"email\"",
        "bots have brackets in their addresses, which the format refuses",
    ),
)


class Violations:
    """The list that tests assert to be empty."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._found: list[Violation] = []

    def add(self, where: str, subject: str, problems: Iterable[str], status: int = 0) -> None:
        """Remember the problems that no allowance covers."""
        new = [Violation(where, subject, problem, status) for problem in problems]
        with self._lock:
            self._found += [v for v in new if not any(allowed.covers(v) for allowed in ALLOWED)]

    def clear(self) -> None:
        """Forget them all."""
        with self._lock:
            self._found.clear()

    def all(self) -> list[dict[str, Any]]:
        """All of them, as JSON."""
        with self._lock:
            return [asdict(violation) for violation in self._found]
