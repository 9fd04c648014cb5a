"""Wished-for misfortune: answers that fail before or after the effect, and webhooks that are late, doubled or lost."""

import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from bot.core import codec

SECONDARY_LIMIT = "You have exceeded a secondary rate limit. Please wait a few minutes before you try again."


class When(StrEnum):
    """Whether the operation has been carried out when its answer fails."""

    BEFORE = "before"
    AFTER = "after"


@dataclass(frozen=True, slots=True)
class Fault:
    """The next `times` calls that match fail with `status`; 0 leaves the answer alone and only delays it.

    The delay is before or after the effect, as `kind` says. GitHub gives up on a request after ten seconds, so a client
    that waits longer never meets an effect that comes after it has stopped waiting.

    `path_regex` is searched in the path without the "/api/v3" prefix. `skip` lets that many matches through first.
    """

    method: str = ""
    path_regex: str = ""
    kind: When = When.BEFORE
    status: int = 502
    headers: dict[str, str] = field(default_factory=dict)
    message: str = ""
    times: int = 1
    skip: int = 0
    delay_s: float = 0.0

    def text(self) -> str:
        """The message of the failing answer."""
        limited = self.status in (403, 429)
        return self.message or (SECONDARY_LIMIT if limited else "Server Error")


@dataclass(frozen=True, slots=True)
class HookRule:
    """What happens to the next `times` webhooks whose "event.action" matches `events`."""

    events: str = ""
    delay_s: float = 0.0
    copies: int = 1
    lose: bool = False
    times: int = 1


class Faults:
    """The plan. Each entry is used up as calls and webhooks match it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: list[Fault] = []
        self._rules: list[HookRule] = []

    def plan(self, data: Mapping[str, Any]) -> None:
        """Add a fault from JSON.

        Raises:
            pydantic.ValidationError: it does not have the shape of `Fault`.
        """
        with self._lock:
            self._faults.append(codec.load(Fault, data))

    def plan_hooks(self, data: Mapping[str, Any]) -> None:
        """Add a webhook rule from JSON.

        Raises:
            pydantic.ValidationError: it does not have the shape of `HookRule`.
        """
        with self._lock:
            self._rules.append(codec.load(HookRule, data))

    def left(self) -> list[Fault]:
        """What has not happened yet."""
        with self._lock:
            return list(self._faults)

    def clear(self) -> None:
        """Forget all that is planned."""
        with self._lock:
            self._faults.clear()
            self._rules.clear()

    def take(self, method: str, path: str) -> Fault | None:
        """The fault for this call, if one is planned."""
        with self._lock:
            for position, fault in enumerate(self._faults):
                if fault.method.upper() not in ("", method) or not re.search(fault.path_regex, path):
                    continue
                if fault.skip:
                    self._faults[position] = replace(fault, skip=fault.skip - 1)
                    continue
                if fault.times <= 1:
                    del self._faults[position]
                else:
                    self._faults[position] = replace(fault, times=fault.times - 1)
                return fault
        return None

    def take_rule(self, event: str) -> HookRule:
        """What to do with this webhook ("issues.labeled"); plainly sending it if nothing is planned."""
        with self._lock:
            for position, rule in enumerate(self._rules):
                if re.search(rule.events, event):
                    if rule.times <= 1:
                        del self._rules[position]
                    else:
                        self._rules[position] = replace(rule, times=rule.times - 1)
                    return rule
        return HookRule()
