"""The whole product on one machine: the stand-ins, the web process and the worker, each a process of its own."""

import os
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from bot.cli.processes import Child, Children, swarm_bot
from bot.core.errors import UserError
from bot.settings import Settings

GOLDEN_LIMIT_S = 1800.0
"""Base tree and golden image, built the first time: a slow mirror may take its time."""


@dataclass(frozen=True, slots=True)
class World:
    """What runs, and how to reach it."""

    settings: Settings
    github: Mapping[str, Any]
    """base_url, web_url, app_id, private_key_file, webhook_secret, users {login: token}."""
    vers: Mapping[str, Any]
    """base_url, api_key, vm_domain, front, ca_file, publish_url."""
    model: Mapping[str, Any] | None
    """base_url, api_key; None with a real model."""
    web_url: str
    processes: Children

    def child(self, name: str) -> Child:
        """One of the running programs."""
        return next(each for each in self.processes.all if each.name == name)

    def environment(self) -> dict[str, str]:
        """The environment of a command that works on this world."""
        return child_environment(self.settings)

    def start_worker(self) -> Child:
        """Start the worker; also again after it was killed."""
        return self.processes.start("worker", swarm_bot("worker"), self.environment())


def child_environment(settings: Settings) -> dict[str, str]:
    """Our own environment, with these settings in place of whatever it says of them."""
    ours = {name.upper() for name in Settings.model_fields}
    kept = {name: value for name, value in os.environ.items() if name.upper() not in ours}
    return {**kept, **settings.environment(), "PYTHONUNBUFFERED": "1"}


def start_world(
    settings: Settings,
    state: Path,
    processes: Children,
    *,
    rate: float,
    tell: Callable[[str], None],
    vers_options: Sequence[str] = (),
) -> World:
    """Start everything, in the order in which one needs the other.

    Args:
        settings: the operator's; only what the stand-ins replace is changed.
        state: a folder for this world's database, repositories and logs; the caller deletes it.
        processes: where the programs belong; the caller ends them.
        rate: tokens per second of the scripted model.
        tell: gets a sentence per step.
        vers_options: for `swarm-bot local vers`, as `--delay branch=10.2`.

    Raises:
        Permanent: a program did not get ready.
    """
    environment = child_environment(settings)
    web_port = free_port()
    web_url = f"http://127.0.0.1:{web_port}"
    tell("starting the local Vers (the first time, its base tree is built: about a minute)")
    vers = processes.start(
        "vers", swarm_bot("local", "vers", *vers_options), environment, limit_s=GOLDEN_LIMIT_S
    ).ready
    tell("starting the local GitHub")
    github = processes.start(
        "github",
        swarm_bot("local", "github", "--state", str(state / "github"), "--webhook-url", f"{web_url}/webhook"),
        environment,
    ).ready
    model = None
    if not settings.anthropic_api_key.get_secret_value():
        tell("starting the scripted model")
        model = processes.start("model", swarm_bot("local", "model", "--rate", str(rate)), environment).ready
    settings = settings_for(settings, state, web_url=web_url, vers=vers, github=github, model=model)
    environment = child_environment(settings)
    processes.run("migrate", swarm_bot("migrate"), environment)
    tell("looking for the golden image (the first time, it is built: one to three minutes)")
    processes.run("golden", swarm_bot("golden", "build"), environment, limit_s=GOLDEN_LIMIT_S, tell=tell)
    tell("starting web and worker")
    processes.start("web", swarm_bot("web", "--port", str(web_port)), environment)
    world = World(settings, github, vers, model, web_url, processes)
    world.start_worker()
    return world


def settings_for(
    settings: Settings,
    state: Path,
    *,
    web_url: str,
    vers: Mapping[str, Any],
    github: Mapping[str, Any],
    model: Mapping[str, Any] | None,
) -> Settings:
    """The settings that point the product at the stand-ins."""
    changes: dict[str, Any] = {
        "database_url": f"sqlite:///{state}/swarm-build.db",
        "public_url": web_url,
        "deployment": "local",
        "github_url": github["base_url"],
        "github_app_id": str(github["app_id"]),
        "github_private_key_file": github["private_key_file"],
        "github_webhook_secret": github["webhook_secret"],
        "vers_url": vers["base_url"],
        "vers_api_key": vers["api_key"],
        "vers_vm_domain": vers["vm_domain"],
        "vers_front": vers["front"],
        "vers_ca_file": vers["ca_file"],
        "vers_publish_url": vers["publish_url"],
    }
    if model is not None:
        changes |= {"anthropic_base_url": model["base_url"], "anthropic_api_key": model["api_key"]}
    return Settings.model_validate({**settings.model_dump(), "github_private_key": "", **changes})


def free_port() -> int:
    """A loopback port that nobody listens on at this moment."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


class Person:
    """Somebody who uses GitHub's REST API with a token of their own."""

    def __init__(self, github: Mapping[str, Any], login: str) -> None:
        self.login = login
        self._http = httpx.Client(
            base_url=github["base_url"],
            headers={
                "Authorization": f"Bearer {github['users'][login]}",
                "Accept": "application/vnd.github+json",
            },
            timeout=30.0,
        )

    def call(self, method: str, path: str, /, **body: Any) -> Any:
        """A request; its JSON answer.

        Raises:
            UserError: GitHub refused; the message has its words.
        """
        answer = self._http.request(method, path, json=body or None)
        if answer.is_error:
            raise UserError(f"{method} {path}: {answer.status_code} {answer.text[:300]}")
        return answer.json() if answer.content else None

    def open_issue(self, repository: str, title: str, text: str) -> tuple[int, str]:
        """(number, address for people)."""
        issue = self.call("POST", f"/repos/{repository}/issues", title=title, body=text)
        return issue["number"], issue["html_url"]

    def label(self, repository: str, number: int, label: str) -> None:
        """Put a label on an issue."""
        self.call("POST", f"/repos/{repository}/issues/{number}/labels", labels=[label])

    def comment(self, repository: str, number: int, text: str) -> None:
        """Write a comment."""
        self.call("POST", f"/repos/{repository}/issues/{number}/comments", body=text)

    def close_pull_request(self, repository: str, number: int) -> None:
        """Close a pull request without merging it."""
        self.call("PATCH", f"/repos/{repository}/pulls/{number}", state="closed")


def machines_left(vers: Mapping[str, Any]) -> int:
    """How many machines the local Vers has at this moment."""
    answer = httpx.get(
        f"{vers['base_url']}/api/v1/vm", headers={"Authorization": f"Bearer {vers['api_key']}"}
    )
    return len(answer.raise_for_status().json())
