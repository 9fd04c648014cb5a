"""Markdown as GitHub shows it: tables, task lists, <details>, mentions and references; sanitised."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import nh3
from markdown_it import MarkdownIt
from markdown_it.rules_core import StateCore
from markdown_it.token import Token
from mdit_py_plugins.tasklists import tasklists_plugin
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_by_name
from pygments.util import ClassNotFound

STYLE = "friendly"
_LIVE = re.compile(
    r"(?P<url>https?://[^\s<>\"'`)\]]+[^\s<>\"'`)\].,;:!?])|(?<![\w&/])#(?P<number>\d+)\b|(?<![\w/])@(?P<login>[A-Za-z0-9][A-Za-z0-9-]*)"
)
_ALERT = re.compile(r"\[!(NOTE|TIP|IMPORTANT|WARNING|CAUTION)\]\n")
_TAGS = nh3.ALLOWED_TAGS | {"input", "details", "summary"}
_ATTRIBUTES: dict[str, set[str]] = {
    **{tag: set(names) for tag, names in nh3.ALLOWED_ATTRIBUTES.items()},
    "input": {"type", "checked", "disabled", "class"},
    "details": {"open"},
    "span": {"class"},
    "code": {"class"},
    "blockquote": {"class"},
    "ul": {"class"},
    "li": {"class"},
    "a": {"href", "class", "title"},
    "th": {"style", "align"},
    "td": {"style", "align"},
}

Href = Callable[[str, str], str | None]
"""Gives the address behind ("number", "12") or ("login", "alice"), or None if there is no such thing."""


class Markdown:
    """Renders comments and files of one repository.

    Args:
        href: makes links of numbers and names.
        finish: has the last word on the HTML.
    """

    def __init__(self, href: Href, finish: Callable[[str], str] = str) -> None:
        self._href = href
        self._finish = finish

    def comment(self, text: str) -> str:
        """Safe HTML of a comment or a description; there a line break is a line break."""
        return self._render(text, breaks=True)

    def document(self, text: str) -> str:
        """Safe HTML of a file such as README.md."""
        return self._render(text, breaks=False)

    def _render(self, text: str, *, breaks: bool) -> str:
        options: dict[str, Any] = {"html": True, "breaks": breaks, "highlight": _highlight}
        parser = MarkdownIt("commonmark", options).enable(["table", "strikethrough"]).use(tasklists_plugin)
        parser.core.ruler.push("alerts", _alerts)
        parser.core.ruler.push("live", self._live)
        page = nh3.clean(
            parser.render(text),
            tags=_TAGS,
            attributes=_ATTRIBUTES,
            url_schemes={"http", "https", "mailto"},
            filter_style_properties={"text-align"},
        )
        return self._finish(page)

    def _live(self, state: StateCore) -> None:
        """Turn bare addresses, #numbers and @logins in plain text into links."""
        for block in state.tokens:
            if block.type == "inline" and block.children:
                block.children = list(self._linked(block.children))

    def _linked(self, tokens: list[Token]) -> Iterator[Token]:
        inside = 0
        for token in tokens:
            inside += (token.type == "link_open") - (token.type == "link_close")
            if token.type != "text" or inside:
                yield token
                continue
            done = 0
            for match in _LIVE.finditer(token.content):
                address = self._address(match)
                if address is None:
                    continue
                yield _text(token.content[done : match.start()])
                yield Token("link_open", "a", 1, attrs={"href": address, "class": str(match.lastgroup)})
                yield _text(match.group())
                yield Token("link_close", "a", -1)
                done = match.end()
            yield _text(token.content[done:])

    def _address(self, match: re.Match[str]) -> str | None:
        if match["url"]:
            return match["url"]
        kind = str(match.lastgroup)
        return self._href(kind, match[kind])


def _alerts(state: StateCore) -> None:
    """A quotation that begins with [!NOTE] and its like is shown as a coloured box with that heading."""
    for quote, _, inline in zip(state.tokens, state.tokens[1:], state.tokens[2:], strict=False):
        found = _ALERT.match(inline.content) if quote.type == "blockquote_open" else None
        if found and inline.children:
            quote.attrSet("class", f"alert {found[1].lower()}")
            heading = [
                Token("strong_open", "strong", 1),
                _text(found[1].capitalize()),
                Token("strong_close", "strong", -1),
            ]
            inline.children = [*heading, *inline.children[1:]]


def _text(content: str) -> Token:
    return Token("text", "", 0, content=content)


def _highlight(text: str, language: str, _: str) -> str:
    """Highlighted code, or "" to leave it as it is."""
    try:
        lexer = get_lexer_by_name(language) if language else None
    except ClassNotFound:
        return ""
    return highlight(text, lexer, HtmlFormatter(nowrap=True)) if lexer else ""


def stylesheet() -> str:
    """CSS of highlighted code."""
    formatter: Any = HtmlFormatter(style=STYLE)  # untyped in its stubs
    return str(formatter.get_style_defs([".markdown code", ".blob", ".diff"]))
