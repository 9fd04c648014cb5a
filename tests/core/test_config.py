"""`.github/swarm.yml`: what it may say, and how its mistakes are put."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.core.config import Problems, RepoConfig, parse_config
from bot.core.errors import UserError
from bot.core.models import Options
from bot.core.plan import Allowed, plan_of
from bot.core.tree import Bounds

WHOLE = """\
label: "swarm: build"
workers: 4
model: claude-opus-4-5
worker_model: claude-haiku-4-5
thinking: medium
worker_thinking: low
budget: 2.5
approval: true
install: npm ci
start: node server.js
test: npm test
env:
  GREETING: hello
  SIZE: 3
port: 8080
preview_ttl: 3d
target: ./web/
protected:
  - docs/
  - "*.lock"
ci: true
"""


def read(text: str) -> RepoConfig:
    found = parse_config(text.encode())
    assert isinstance(found, RepoConfig), found
    return found


def problems(data: str | bytes) -> str:
    found = parse_config(data if isinstance(data, bytes) else data.encode())
    assert isinstance(found, Problems), found
    return "\n".join(found.sentences)


def test_every_key() -> None:
    """All that can be said, as values."""
    found = read(WHOLE)
    assert set(found.model_fields_set) == set(RepoConfig.model_fields)
    assert found.env == {"GREETING": "hello", "SIZE": "3"}
    assert found.preview_s == 3 * 86_400
    assert (found.target, found.protected, found.ci) == ("web", ("docs/", "*.lock"), True)


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n", "{}"])
def test_nothing_said(text: str) -> None:
    """An empty file leaves everything to the operator."""
    assert read(text) == RepoConfig()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("workres: 3", "line 1: `workres` is not a key; did you mean `workers`?"),
        ("model: x\nWorkers: 3", "line 2: `Workers` is not a key; did you mean `workers`?"),
        ("zzz: 1", "there are label, workers, model"),
        ("services: [redis]", "`services` is not supported: databases"),
        ("workers: 0", "line 1: `workers`: it has to be greater than or equal to 1"),
        ("workers: yes", "`workers`: it has to be a valid integer"),
        ("workers: '3'", "`workers`: it has to be a valid integer"),
        ("budget: -1", "`budget`: it has to be greater than 0"),
        ("budget: .inf", "`budget`"),
        ("approval: maybe", "`approval`: it has to be a valid boolean"),
        ("label: build", 'has the word "swarm"'),
        ("env: [A, B]", "a list of NAME: value"),
        ("env:\n  PORT: 80", "PORT is set by the machine itself"),
        ("env:\n  STRIPE_API_KEY: x", "STRIPE_API_KEY looks like a secret"),
        ("env:\n  a-b: x", "cannot be the name of a variable"),
        ("env:\n  A: [1]", "the value of A has to be a text"),
        ("env:\n  A: yes", "the value of A has to be a text"),
        ("port: 80", "`port`: it has to be greater than or equal to 1024"),
        ("port: 8898", "8898 is taken"),
        ("preview_ttl: forever", "such as 24h, 3d or 90m"),
        ("start: ''", "`start`"),
        ("target: ../x", "`target`: this cannot be the folder of a build: leads out"),
        ("target: .github/workflows", "this cannot be the folder of a build"),
        ("target: ''", "this cannot be the folder of a build"),
        ("protected: docs/", "`protected`: this is a list of paths"),
        ("protected: [/etc]", "'/etc' is no path inside the repository"),
        ("protected: [1]", "this is a list of paths"),
        ("ci: always", "`ci`: it has to be a valid boolean"),
        ("port: 3000\nport: 3001", "line 2: `port` stands here a second time"),
        ("- a\n- b", "a list of `key: value`"),
        ("[]", "a list of `key: value`"),
        ("just words", "a list of `key: value`"),
        ("a: [", "it is not YAML"),
        ("a: 1\n\tb: 2", "line 2: it is not YAML"),
        ("a: !!python/object:os.system x", "it is not YAML"),
        ("a: " + "[" * 3_000, "nested too deeply"),
        ("a: " + "x" * 70_000, "larger than 64 KiB"),
        (b"a: \xff", "not UTF-8"),
    ],
)
def test_mistakes(text: str | bytes, said: str) -> None:
    """Each has a sentence, with the line where there is one."""
    assert said in problems(text)


def test_all_mistakes_at_once_in_the_order_of_the_file() -> None:
    """Whoever mends the file does so once."""
    lines = problems("prot: 1\nworkers: 99\nbudget: x").splitlines()
    assert [line.split(":")[0] for line in lines] == ["line 1", "line 2", "line 3"]


@given(st.binary(max_size=200) | st.text(alphabet="ab: \n-[]{}&*!'|>#1", max_size=80).map(str.encode))
def test_any_bytes(data: bytes) -> None:
    """Any file is a configuration or a list of problems."""
    assert isinstance(parse_config(data), RepoConfig | Problems)


# The plan ---------------------------------------------------------------------------------------------

ALLOWED = Allowed("claude-sonnet-4-5", (), 7, 3, 10_000_000, approval=False, preview_s=86_400)


def test_a_plan_without_wishes_is_the_operators() -> None:
    """Nothing asked, nothing changed."""
    plan = plan_of(ALLOWED, RepoConfig(), Options())
    assert (plan.model, plan.max_workers, plan.warm_workers) == ("claude-sonnet-4-5", 7, 3)
    assert (plan.budget_microusd, plan.approval, plan.preview_s) == (10_000_000, False, 86_400)


def test_the_command_goes_before_the_repository() -> None:
    """And the repository before the operator's defaults."""
    config = read(WHOLE)
    plan = plan_of(ALLOWED, config, Options(workers=2, model="claude-haiku-4-5"))
    assert (plan.model, plan.max_workers, plan.warm_workers) == ("claude-haiku-4-5", 2, 2)
    assert (plan.budget_microusd, plan.approval, plan.preview_s) == (2_500_000, True, 259_200)
    assert (plan.bounds, plan.ci) == (Bounds("web", ("docs/", "*.lock")), True)
    assert plan.app.env == {"GREETING": "hello", "SIZE": "3"}
    assert plan_of(ALLOWED, config, Options()).model == "claude-opus-4-5"


def test_each_role_has_its_model_and_its_thinking() -> None:
    """The repository's for a role, then for all, then the operator's for the role; a command's model is everybody's."""
    allowed = replace(ALLOWED, worker_model="claude-haiku-4-5", thinking="low", worker_thinking="off")

    def of(text: str, options: Options | None = None) -> tuple[str, str, str, str]:
        plan = plan_of(allowed, read(text), options or Options())
        return plan.model, plan.worker_model, plan.thinking, plan.worker_thinking

    assert of("") == ("claude-sonnet-4-5", "claude-haiku-4-5", "low", "off")
    assert of("model: claude-opus-4-5\nthinking: high") == (
        "claude-opus-4-5",
        "claude-opus-4-5",
        "high",
        "high",
    )
    assert of("thinking: off")[2:] == ("off", "off")
    assert of("worker_model: claude-opus-4-5\nworker_thinking: minimal") == (
        "claude-sonnet-4-5", "claude-opus-4-5", "low", "minimal",
    )  # fmt: skip
    wish = Options(model="claude-opus-4-5")
    assert of("worker_model: claude-haiku-4-5", wish)[:2] == ("claude-opus-4-5", "claude-opus-4-5")
    with pytest.raises(UserError, match="no known price"):
        of("worker_model: gpt-x")


@pytest.mark.parametrize(
    ("config", "options", "said"),
    [
        ("", Options(workers=8), "more than the 7"),
        ("workers: 8", Options(), "more than the 7"),
        ("budget: 11", Options(), "$10.00 here at most"),
        ("", Options(model="gpt-x"), "no known price"),
        ("model: gpt-x", Options(), "no known price"),
    ],
)
def test_no_more_than_is_allowed(config: str, options: Options, said: str) -> None:
    """A wish beyond the limits ends the build with a sentence, before anything is spent."""
    with pytest.raises(UserError, match=said.replace("$", r"\$")):
        plan_of(ALLOWED, read(config), options)


def test_allowed_models() -> None:
    """The operator may name the models that can be chosen; the own one always can."""
    allowed = Allowed(
        "claude-sonnet-4-5", ("claude-haiku-4-5",), 7, 3, 10_000_000, approval=False, preview_s=1
    )
    assert plan_of(allowed, RepoConfig(), Options(model="claude-haiku-4-5")).model == "claude-haiku-4-5"
    assert plan_of(allowed, RepoConfig(), Options(model="claude-sonnet-4-5")).model == "claude-sonnet-4-5"
    with pytest.raises(UserError, match="there are claude-haiku-4-5, claude-sonnet-4-5"):
        plan_of(allowed, RepoConfig(), Options(model="claude-opus-4-5"))
