"""Environment -> frozen `Settings`. The only reader of the environment in the product."""

import json
import os
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict


def default_cache() -> Path:
    """`$XDG_CACHE_HOME/swarm-build`, else `~/.cache/swarm-build`."""
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))  # the standard has a relative one ignored
    return (base if base.is_absolute() else Path("~/.cache").expanduser()) / "swarm-build"


class Settings(BaseSettings):
    """All that an operator can set, each from the environment variable of the same name in capitals.

    `docs/configuration.md` is made from this class. Secrets print as stars.
    """

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_file=None)

    # Where things are kept
    database_url: str = Field(
        "sqlite:///swarm-build.db", description="SQLite file or Postgres, as a SQLAlchemy URL."
    )
    swarm_cache: Path = Field(
        default_factory=default_cache,
        description="Base tree, golden layers and downloads of the local stand-ins, and what `vers probe` found; "
        "below $XDG_CACHE_HOME, if that is set.",
    )
    deployment: str = Field(
        "default",
        pattern=r"^[a-z0-9][a-z0-9-]{0,30}$",
        description="Name of this installation; part of labels and tags on Vers.",
    )
    public_url: str = Field(
        "http://127.0.0.1:8000", description="Address of the web process as GitHub and people reach it."
    )

    # GitHub
    github_url: str = Field(
        "https://api.github.com", description="REST API; on GitHub Enterprise Server https://HOST/api/v3."
    )
    github_app_id: str = Field("", description="Number or client id of the App.")
    github_private_key: SecretStr = Field(
        SecretStr(""), description="The App's private key, PEM; \\n is accepted for line ends."
    )
    github_private_key_file: Path | None = Field(None, description="The same, as a file.")
    github_webhook_secret: SecretStr = Field(
        SecretStr(""), description="Without one, every webhook is refused."
    )
    admin_token: SecretStr = Field(
        SecretStr(""), description="Opens /setup once the App is configured: /setup?token=…"
    )
    settings_key: SecretStr = Field(
        SecretStr(""),
        description="Fernet key that seals what /setup stores; on SQLite a file beside the database without it.",
    )
    store_credentials: bool = Field(
        True,
        description="Whether /setup stores the App's credentials, or shows them as environment variables.",
    )
    trigger_label: str = Field("swarm-build", description="The label that starts a build.")

    # Vers
    vers_url: str = Field("https://api.vers.sh", description="With or without /api/v1.")
    vers_api_key: SecretStr = Field(SecretStr(""), description="Key of the Vers account.")
    vers_vm_domain: str = Field("vm.vers.sh", description="Machines are reached at {vm}.{domain}.")
    vers_front: str = Field(
        "{vm}:443", description="host:port to dial; {vm} stands for the machine's full host name."
    )
    vers_ca_file: Path | None = Field(
        None, description="Certificate authority of a stand-in; the system's without it."
    )
    vers_publish_url: str = Field(
        "", description="Only for the local Vers: where a port of a machine is published on loopback."
    )
    vm_memory_mib: int = Field(4096, ge=512, description="Memory of a machine.")
    vm_disk_mib: int = Field(8192, ge=1024, description="Disk of a machine.")
    vm_vcpus: int = Field(2, ge=1, description="Virtual processors of a machine.")

    # Models
    anthropic_api_key: SecretStr = Field(SecretStr(""), description="Never leaves the worker.")
    anthropic_base_url: str = Field("https://api.anthropic.com", description="Where the Messages API is.")
    agent_model: str = Field("claude-sonnet-5", description="Model of the agents.")
    agent_thinking: str = Field(
        "low",
        pattern="^(off|minimal|low|medium|high)$",
        description="How long agents think: off, minimal, low, medium, high.",
    )
    architect_tools: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="Names of the only tools that the architect gets, separated by commas; all if empty."
    )
    worker_model: str = Field("", description="Model of the workers; AGENT_MODEL if empty.")
    worker_thinking: str = Field(
        "",
        pattern="^(|off|minimal|low|medium|high)$",
        description="How long workers think; AGENT_THINKING if empty.",
    )
    worker_tools: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="Names of the only tools that workers get, separated by commas; all if empty."
    )
    brief_model: str = Field("claude-sonnet-5", description="Model that reads the issue.")
    max_tokens: int = Field(32_000, ge=256, description="Ceiling of max_tokens of one call.")
    run_budget_usd: float = Field(10.0, gt=0, description="Dollars that one build may spend on models.")
    pi_package: str = Field(
        "@earendil-works/pi-coding-agent@0.87.1",
        description="npm package and version of pi in the golden image.",
    )

    # Limits of one build
    max_agents: int = Field(8, ge=1, description="Agent VMs of one build, architect included.")
    warm_workers: int = Field(3, ge=0, description="Worker VMs that are branched ahead.")
    run_minutes: float = Field(45.0, gt=0, description="Wall time of one build.")
    stall_seconds: float = Field(
        300.0, gt=0, description="Silence after which a living agent counts as stalled."
    )
    start_seconds: float = Field(120.0, gt=0, description="Time that an app gets to listen on its port.")
    preview_hours: float = Field(24.0, gt=0, description="Life of a preview after its pull request.")
    spec_approval: bool = Field(
        False,
        description="Whether every specification waits for /swarm approve, unless a repository says no.",
    )
    approval_hours: float = Field(
        4.0, gt=0, description="How long a specification waits before its build ends."
    )
    pictures: bool = Field(
        True,
        description="Whether a browser on a machine of its own takes a picture of each preview, for the pull request.",
    )
    transcript_days: int = Field(
        30,
        ge=0,
        description="So long the status pages keep what agents said and did, without secrets; 0 for not at all.",
    )
    allowed_models: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Models that a command or a repository may choose, separated by commas; all that have a price if empty. "
        "An architect may choose among those named here for its workers.",
    )
    concurrent_builds: int = Field(4, ge=1, description="Builds at once, over all repositories.")
    writer_role: str = Field(
        "write", description="Least permission of a person who may trigger: write, maintain or admin."
    )

    # What machines may reach
    registry_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        ("registry.npmjs.org", "pypi.org", "files.pythonhosted.org", "deb.debian.org", "security.debian.org"),
        description="Hosts that the registry proxy lets through, separated by commas.",
    )
    npm_registry: str = Field(
        "https://registry.npmjs.org/", description="Registry that npm uses inside the machines."
    )
    pypi_index: str = Field("https://pypi.org/simple", description="Index that pip uses inside the machines.")

    log_level: str = Field("INFO", description="DEBUG, INFO, WARNING or ERROR.")

    @model_validator(mode="before")
    @classmethod
    def _split_lists(cls, data: object) -> object:
        for name in ("registry_hosts", "allowed_models", "architect_tools", "worker_tools"):
            if isinstance(data, dict) and isinstance(listed := data.get(name), str):
                data[name] = tuple(item.strip() for item in listed.split(",") if item.strip())
        return data

    @model_validator(mode="after")
    def _key_from_file_or_text(self) -> Self:
        if self.github_private_key_file and self.github_private_key.get_secret_value():
            raise ValueError("set GITHUB_PRIVATE_KEY or GITHUB_PRIVATE_KEY_FILE, not both")
        return self

    def private_key(self) -> str:
        """The App's private key as PEM text; empty when none is configured."""
        if self.github_private_key_file:
            return self.github_private_key_file.read_text()
        return self.github_private_key.get_secret_value().replace("\\n", "\n")

    def environment(self) -> dict[str, str]:
        """These settings as environment variables for a child process: only those that differ from the defaults."""
        changed = self.model_dump(exclude_defaults=True, exclude_unset=False)
        return {name.upper(): _text(value) for name, value in changed.items() if value is not None}


def _text(value: object) -> str:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, tuple):
        return ",".join(value)
    return (
        value
        if isinstance(value, str)
        else json.dumps(value)
        if isinstance(value, int | float)
        else str(value)
    )


def load_settings() -> Settings:
    """Settings from the environment.

    Raises:
        pydantic.ValidationError: a variable has a wrong value; the message names it.
    """
    return Settings()
