"""`.github/swarm.yml`: how a repository wants its builds. Bytes become a frozen `RepoConfig`, or every problem in plain words."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt, StringConstraints, ValidationError
from pydantic import field_validator as check

from bot.core.commands import duration_s
from bot.core.errors import UserError
from bot.core.paths import judge
from bot.core.policy import LABEL_WORD, plausible_label

PATH = ".github/swarm.yml"
_LARGEST_BYTES = 64 * 1024
_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
_OURS = frozenset({"PORT", "HOME", "PATH", "CI", "NODE_ENV"})
_SECRET_NAME = re.compile(r"SECRET|TOKEN|PASSWORD|PASSWD|PRIVATE_KEY|API_?KEY|CREDENTIAL", re.IGNORECASE)
_LONGEST_PATH, _MOST_PATHS = 200, 100
_TAKEN_PORTS = frozenset({22, 8898, 8899})

_Model = Annotated[str, StringConstraints(min_length=1, max_length=64)]
_Thinking = Literal["off", "minimal", "low", "medium", "high"]
_Command = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=1000)]


class RepoConfig(BaseModel):
    """What a repository configures; what it leaves out is the operator's affair. Every key has an effect."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    label: Annotated[str, StringConstraints(min_length=1, max_length=50)] | None = Field(
        None, description="Starts a build, beside the operator's label."
    )
    workers: Annotated[StrictInt, Field(ge=1, le=30)] | None = Field(None, description="Workers at most.")
    model: _Model | None = Field(None, description="Model of architect and workers.")
    worker_model: _Model | None = Field(None, description="Model of the workers, if it is another.")
    thinking: _Thinking | None = Field(None, description="How long architect and workers think.")
    worker_thinking: _Thinking | None = Field(None, description="How long workers think, if otherwise.")
    budget: Annotated[float, Field(gt=0, le=10_000, strict=True, allow_inf_nan=False)] | None = Field(
        None, description="Dollars that one build may spend on models."
    )
    approval: StrictBool | None = Field(
        None,
        description="Whether the specification is shown before workers start, and waits for /swarm approve.",
    )
    install: _Command | None = Field(None, description="Installs the dependencies on the clean machine.")
    start: _Command | None = Field(None, description="Starts the app on the clean machine.")
    test: _Command | None = Field(
        None, description="Tests the result on the clean machine; proves one that has no page."
    )
    env: Mapping[str, str] = Field(
        default_factory=dict, description="Environment of the app; nothing secret."
    )
    port: Annotated[StrictInt, Field(ge=1024, le=65535)] | None = Field(
        None, description="The port that the app listens on, if it is not the one in $PORT."
    )
    preview_ttl: str | None = Field(None, description="How long a preview lives: 24h, 3d, 90m.")
    target: str | None = Field(None, description="The folder that builds are kept in.")
    protected: tuple[str, ...] = Field(
        (), description="Files, folders (with a slash at the end) and patterns that builds leave as they are."
    )
    ci: StrictBool | None = Field(
        None, description="Whether the repository's workflows run on a build before a person has looked."
    )

    @check("label")
    @classmethod
    def _label(cls, value: str | None) -> str | None:
        if value is not None and not plausible_label(value):
            raise ValueError(f'a label that starts builds has the word "{LABEL_WORD}" in its name')
        return value

    @check("thinking", "worker_thinking", mode="before")
    @classmethod
    def _off(cls, value: Any) -> Any:
        return "off" if value is False else value  # what YAML makes of a bare `off`

    @check("env", mode="before")
    @classmethod
    def _env(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            raise ValueError("this is a list of NAME: value, one a line")  # noqa: TRY004 - pydantic's protocol
        for name, content in value.items():
            if not isinstance(name, str) or not _ENV_NAME.fullmatch(name):
                raise ValueError(f"{name!r} cannot be the name of a variable")
            if name in _OURS:
                raise ValueError(f"{name} is set by the machine itself")
            if _SECRET_NAME.search(name):
                raise ValueError(
                    f"{name} looks like a secret; this file and the preview are public, so none belongs here"
                )
            if isinstance(content, bool) or not isinstance(content, str | int | float):
                raise ValueError(f"the value of {name} has to be a text, in quotes")  # noqa: TRY004 - pydantic's protocol
        return {name: str(content) for name, content in value.items()}

    @check("port")
    @classmethod
    def _port(cls, value: int | None) -> int | None:
        if value in _TAKEN_PORTS:
            raise ValueError(f"{value} is taken on every machine")
        return value

    @check("preview_ttl")
    @classmethod
    def _ttl(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                duration_s(value)
            except ValueError:
                raise ValueError("this is a time up to 30 days, such as 24h, 3d or 90m") from None
        return value

    @check("target")
    @classmethod
    def _target(cls, value: str | None) -> str | None:
        if value is None:
            return None
        folder = value.strip().removeprefix("./").rstrip("/")
        if verdict := judge(f"{folder}/x"):
            raise ValueError(f"this cannot be the folder of a build: {verdict.reason}")
        return folder

    @check("protected", mode="before")
    @classmethod
    def _protected(cls, value: Any) -> Any:
        if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
            raise ValueError("this is a list of paths, each in a line that begins with a dash")
        paths = tuple(each.strip().removeprefix("./") for each in value)
        for path in paths:
            if not path or path.startswith("/") or ".." in path.split("/") or len(path) > _LONGEST_PATH:
                raise ValueError(f"{_short(path)!r} is no path inside the repository")
        if len(paths) > _MOST_PATHS:
            raise ValueError(
                f"these are more than {_MOST_PATHS} paths; name folders, with a slash at the end"
            )
        return paths

    @property
    def preview_s(self) -> float | None:
        """Seconds that a preview lives."""
        return duration_s(self.preview_ttl) if self.preview_ttl else None


@dataclass(frozen=True, slots=True)
class Problems:
    """Why a file is no configuration; each a sentence with its line where there is one."""

    sentences: tuple[str, ...]


_NOT_HERE = {
    "services": "databases and other services do not run beside the app, so it has to bring what it needs (a file, SQLite)",
    "secrets": "the preview has no secrets, so the app has to work without",
}
"""Keys that people expect, and why there are none."""


def parse_config(data: bytes) -> RepoConfig | Problems:
    """Read the file. Nothing in it is passed over: a key that is not known is a problem, with the nearest that is."""
    try:
        content, lines, twice = _read(data)
        found = RepoConfig.model_validate(content)
    except ValidationError as error:
        return Problems((*twice, *_sentences(error, lines)))
    except UnicodeDecodeError:
        return Problems(("it is not UTF-8 text",))
    except UserError as error:
        return Problems((str(error),))
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        return Problems((_yaml_problem(error),))
    return Problems(twice) if twice else found


def _read(data: bytes) -> tuple[Mapping[str, Any], Mapping[str, int], tuple[str, ...]]:
    """What the file says, the line of each key, and a problem for each key that stands there twice.

    Raises:
        UserError, yaml.YAMLError, ValueError, RecursionError: it is no list of keys and values.
    """
    if len(data) > _LARGEST_BYTES:
        raise UserError(f"it is larger than {_LARGEST_BYTES // 1024} KiB")
    text = data.decode("utf-8")
    node = yaml.compose(text, Loader=yaml.SafeLoader)
    content = yaml.safe_load(text)
    if content is None:
        return {}, {}, ()
    if not isinstance(content, dict) or not isinstance(node, yaml.MappingNode):
        raise UserError("it has to be a list of `key: value`, one a line")
    lines: dict[str, int] = {}
    twice = []
    for key, _ in node.value:
        name, line = str(key.value), key.start_mark.line + 1
        if name in lines:
            twice.append(f"line {line}: `{_short(name)}` stands here a second time")
        lines.setdefault(name, line)
    return {str(name): value for name, value in content.items()}, lines, tuple(twice)


def _yaml_problem(error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    where = f"line {mark.line + 1}: " if mark else ""
    return f"{where}it is not YAML ({getattr(error, 'problem', None) or 'it is nested too deeply'})"


def _sentences(error: ValidationError, lines: Mapping[str, int]) -> tuple[str, ...]:
    found = {}
    for each in error.errors(include_url=False, include_input=False):
        name = str(each["loc"][0])
        what = _unknown(name) if each["type"] == "extra_forbidden" else f"`{name}`: {_plain(each)}"
        found[name] = f"line {lines.get(name, 1)}: {what}"
    return tuple(sorted(found.values(), key=lambda text: int(text.split(":")[0].removeprefix("line "))))


def _unknown(name: str) -> str:
    if why := _NOT_HERE.get(name):
        return f"`{name}` is not supported: {why}"
    near = get_close_matches(name.lower(), RepoConfig.model_fields, n=1, cutoff=0.5)
    hint = f"did you mean `{near[0]}`?" if near else f"there are {', '.join(RepoConfig.model_fields)}"
    return f"`{_short(name)}` is not a key; {hint}"


def _plain(error: Any) -> str:
    """Pydantic's message, as somebody reads it who knows no Python."""
    return str(error["msg"]).removeprefix("Value error, ").replace("Input should be", "it has to be")


def _short(name: str) -> str:
    return name[:40].replace("`", "'")
