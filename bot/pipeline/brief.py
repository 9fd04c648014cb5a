"""The issue becomes a `Brief`, read by the model without tools."""

import base64
import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Annotated, Any, Self

import anthropic
import stamina
from anthropic.types import ImageBlockParam, Message, MessageParam, TextBlockParam, ToolUseBlock
from pydantic import BaseModel, Field, StringConstraints, ValidationError, model_validator

from bot.core.errors import Permanent, Transient, TranslationTable, translate
from bot.core.models import AgentLabel, AppKind, Brief, BriefResult, BuildRequest, Component, RunId, Tokens
from bot.core.pictures import AttachedImage
from bot.core.prompts import BriefPrompt, IssuePrompt, Remark
from bot.core.texts import Texts
from bot.core.usage import charge, price, worst_price
from bot.core.visible import visible_line, visible_text
from bot.gateway.accounts import Accounts

TOOL = "brief"
"""The tool whose input is the answer. It does nothing; being made to call it gives the answer its shape."""
READER = AgentLabel("brief")
"""Under this name the call is metered, beside the run's agents."""

_ASKS = 2
_MAX_TOKENS = 4096
_TIMEOUT_S = 120.0
_LONGEST_WAIT_S = 30.0
_LONGEST_ISSUE_CHARACTERS = 60_000
_DOING = "reading the issue with the model"

# By who must act: the operator has to look at a key, a credit, a model's name; the rest passes by itself.
_ERRORS: TranslationTable = {
    anthropic.ContractSpendLimitReachedError: Permanent,
    anthropic.EnforcedSpendLimitReachedError: Permanent,
    anthropic.RateLimitError: Transient,
    anthropic.RequestTimeoutError: Transient,
    anthropic.ClientClosedRequestError: Transient,
    anthropic.ConflictError: Transient,
    anthropic.HTTPNotImplementedError: Permanent,
    anthropic.InternalServerError: Transient,
    anthropic.APIStatusError: Permanent,
    anthropic.APIConnectionError: Transient,
    anthropic.APIResponseValidationError: Transient,
    anthropic.RetryableError: Transient,
    anthropic.AnthropicError: Permanent,
}


_Line = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


class _Component(BaseModel):
    label: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,31}$")]
    produces: _Line


class _Answer(BaseModel):
    """What the model has to give: `core.models.Brief` with the rules that a type cannot say."""

    title: Annotated[_Line, StringConstraints(max_length=120)]
    goal: _Line
    requirements: Annotated[list[_Line], Field(min_length=1, max_length=40)]
    stack: _Line
    components: Annotated[list[_Component], Field(min_length=1, max_length=6)]
    kind: AppKind
    fits: bool
    reason: str = ""
    check: str = ""
    questions: Annotated[list[_Line], Field(max_length=3)] = Field(default_factory=list)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        labels = [component.label for component in self.components]
        if len(set(labels)) < len(labels) or {"architect", READER} & set(labels):
            raise ValueError('labels of components are unique, and neither "architect" nor "brief"')
        if self.kind is AppKind.NONE and self.fits and not self.check.strip():
            raise ValueError('kind "none" needs a check command')
        if not self.fits and not self.reason.strip():
            raise ValueError("an issue that does not fit needs a reason")
        return self

    def brief(self) -> Brief:
        return Brief(
            title=visible_line(self.title),
            goal=self.goal,
            requirements=tuple(self.requirements),
            stack=self.stack,
            components=tuple(Component(AgentLabel(c.label), c.produces) for c in self.components),
            kind=self.kind,
            fits=self.fits,
            reason="" if self.fits else self.reason.strip(),
            check=self.check.strip() if self.kind is AppKind.NONE else "",
            questions=tuple(visible_line(question)[:500] for question in self.questions),
        )


class BriefReader:
    """Reads issues.

    Args:
        base_url: Anthropic's API or a stand-in, without /v1.
        api_key: its key.
        model: the model's name; it has to be in the price list.
        accounts: who pays.
        texts: renders the prompts.
        attempts: how often a call that failed for a passing reason is sent in all.
        first_wait_s: before the second attempt; doubles from there.
    """

    def __init__(
        self,
        *,
        base_url: str,
        api_key: str,
        model: str,
        accounts: Accounts,
        texts: Texts,
        attempts: int = 4,
        first_wait_s: float = 1.0,
    ) -> None:
        self._api_key = api_key
        # The package's own retries would spend twice on one reservation, so ours are outside of it.
        self._client = anthropic.Anthropic(
            api_key=api_key, base_url=base_url, max_retries=0, timeout=_TIMEOUT_S
        )
        self._model = model
        self._accounts = accounts
        self._texts = texts
        self._attempts = attempts
        self._first_wait_s = first_wait_s

    def read(
        self,
        run: RunId,
        request: BuildRequest,
        remarks: Sequence[Remark] = (),
        images: Sequence[AttachedImage] = (),
    ) -> BriefResult:
        """Read an issue. An answer of the wrong shape is asked for again once, with what was wrong about it.

        Args:
            run: who pays.
            request: the issue as it was ordered.
            remarks: what maintainers said before.
            images: those without a problem are shown to the model. If it refuses the request with them, it is asked
                without: an image that it cannot decode must not keep an issue from being built.

        Raises:
            Transient: the model cannot be reached now, or is overloaded, or limits our rate.
            Permanent: the key, the credit or the model's name is refused, or the run's budget does not cover the call.
        """
        seen = replace(
            request,
            title=visible_line(request.title),
            body=visible_text(request.body)[:_LONGEST_ISSUE_CHARACTERS],
            feedback=visible_text(request.feedback),
        )
        may_ask = not (seen.insist or seen.feedback)
        shown = [each for each in images if not each.problem]
        view = IssuePrompt(
            seen.title, seen.body, seen.feedback, seen.insist, tuple(remarks), may_ask, len(shown)
        )
        text = self._texts.render("prompts/issue.md.j2", view)
        content: list[TextBlockParam | ImageBlockParam] = [
            {"type": "text", "text": text},
            *map(_image_block, shown),
        ]
        messages: list[MessageParam] = [{"role": "user", "content": content}]
        tokens = Tokens()
        for _ in range(_ASKS):
            try:
                answer, used = self._ask(run, messages)
            except Permanent as error:
                if not (shown and isinstance(error.__cause__, anthropic.BadRequestError)):
                    raise
                return replace(self.read(run, request, remarks), images_refused=str(error))
            tokens += used
            call = next((block for block in answer.content if isinstance(block, ToolUseBlock)), None)
            try:
                brief = _Answer.model_validate(call.input if call else {}).brief()
            except ValidationError as error:
                messages += _objection(call, error)
            else:
                return BriefResult(brief, "model", tokens)
        return BriefResult(fallback(seen), "fallback", tokens)

    def _ask(self, run: RunId, messages: list[MessageParam]) -> tuple[Message, Tokens]:
        for attempt in stamina.retry_context(
            on=_wait_before_next,
            attempts=self._attempts,
            timeout=_TIMEOUT_S,
            wait_initial=self._first_wait_s,
            wait_max=_LONGEST_WAIT_S,
            wait_jitter=self._first_wait_s,
        ):
            with attempt:
                return self._send(run, messages)
        raise AssertionError("unreachable: stamina raises the last error")

    def _send(self, run: RunId, messages: list[MessageParam]) -> tuple[Message, Tokens]:
        listed = price(self._model)
        if listed is None:
            raise Permanent(f"{_DOING}: the model {self._model} is not in the price list, see BRIEF_MODEL")
        if not self._api_key:
            raise Permanent(f"{_DOING}: ANTHROPIC_API_KEY is not set")
        system = self._texts.render("prompts/brief.md.j2", BriefPrompt(TOOL))
        size_bytes, images = _weight(system, messages)
        worst = worst_price(self._model, size_bytes, _MAX_TOKENS, images=images)
        with self._paid(run, worst) as call, _translated():
            message = self._client.messages.create(
                model=self._model,
                max_tokens=_MAX_TOKENS,
                system=system,
                messages=messages,
                tools=[{"name": TOOL, "description": "Hand in the brief.", "input_schema": _SCHEMA}],
                tool_choice={"type": "tool", "name": TOOL},
                extra_headers={"x-swarm-run": run, "x-swarm-agent": READER},
            )
            tokens = charge(listed, message.usage.model_dump())
            self._accounts.settle(call, tokens)
            return message, tokens

    @contextmanager
    def _paid(self, run: RunId, microusd: int) -> Iterator[str]:
        """Set the worst price aside; if the call fails, give it back unless the model may have worked."""
        call = self._accounts.reserve(run, READER, self._model, microusd)
        if call is None:
            raise Permanent(f"{_DOING}: the build's model budget does not cover it, see RUN_BUDGET_USD")
        try:
            yield call
        except (Transient, Permanent) as error:
            refused = isinstance(error.__cause__, anthropic.APIStatusError)
            (self._accounts.settle if refused else self._accounts.settle_broken)(call, Tokens())
            raise


_SCHEMA: dict[str, Any] = _Answer.model_json_schema()


def _image_block(image: AttachedImage) -> ImageBlockParam:
    data = base64.b64encode(image.content).decode()
    source: Any = {"type": "base64", "media_type": image.media_type, "data": data}
    return {"type": "image", "source": source}


def _weight(system: str, messages: list[MessageParam]) -> tuple[int, int]:
    """Of what a request costs: bytes of JSON without images, and the images."""
    blocks: list[Any] = [each for message in messages for each in message["content"]]
    data = [each["source"]["data"] for each in blocks if isinstance(each, dict) and each["type"] == "image"]
    return len(json.dumps([system, _SCHEMA, messages]).encode()) - sum(map(len, data)), len(data)


@contextmanager
def _translated() -> Iterator[None]:
    try:
        with translate(_ERRORS, _DOING):
            yield
    except Transient as error:
        if isinstance(error.__cause__, anthropic.APIStatusError):
            named = error.__cause__.response.headers.get("retry-after", "")
            error.retry_after_s = float(named) if re.fullmatch(r"\d+(\.\d+)?", named) else None
        raise


def _wait_before_next(error: Exception) -> bool | float:
    """Whether to try again, and after how long if the other side said so. A long wait is the engine's to take."""
    if not isinstance(error, Transient):
        return False
    if error.retry_after_s is None:
        return True
    return error.retry_after_s if error.retry_after_s <= _LONGEST_WAIT_S else False


def _objection(call: ToolUseBlock | None, error: ValidationError) -> list[MessageParam]:
    """The conversation goes on: what the model said, and what is wrong with it."""
    wrong = "; ".join(f"{'.'.join(map(str, e['loc'])) or TOOL}: {e['msg']}" for e in error.errors())
    text = f"This answer has the wrong shape: {wrong}. Call `{TOOL}` again with all fields."
    if call is None:
        return [{"role": "assistant", "content": "(no brief)"}, {"role": "user", "content": text}]
    said: Any = {"type": "tool_use", "id": call.id, "name": call.name, "input": call.input}
    result: Any = {"type": "tool_result", "tool_use_id": call.id, "is_error": True, "content": text}
    return [{"role": "assistant", "content": [said]}, {"role": "user", "content": [result]}]


def fallback(request: BuildRequest) -> Brief:
    """A brief from the issue's own text: its list items as requirements, and the three parts that most apps have."""
    items = re.findall(r"^\s*(?:[-*+]|\d+[.)])\s+(.+)$", request.body, re.MULTILINE)
    return Brief(
        title=request.title or f"Issue {request.issue}",
        goal=request.body or request.title,
        requirements=tuple(items[:40]) or ("It does what is described above",),
        stack="the simplest that does it; few dependencies, no build step",
        components=(
            Component(AgentLabel("server"), "the program that serves: its code, package.json and Procfile"),
            Component(AgentLabel("client"), "what runs in the browser: the scripts below public/"),
            Component(AgentLabel("landing"), "the page below public/: HTML and styles, and README.md"),
        ),
        kind=AppKind.WEB,
        fits=True,
        reason="",
    )
