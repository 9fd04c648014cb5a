"""What a person sees of a GitHub issue: the text without the places in which instructions for a model can hide."""

import re
import unicodedata
from html.parser import HTMLParser

import nh3
from markdown_it import MarkdownIt
from markdown_it.token import Token
from mdit_py_plugins.footnote import footnote_plugin

_MARKDOWN = MarkdownIt("commonmark").enable(["table", "strikethrough"]).use(footnote_plugin)
_DRAWN = frozenset({"mermaid", "geojson", "topojson", "stl"})
"""GitHub draws the contents of these fences ("Creating diagrams" in its documentation): who reads sees no letter of them."""

_INVISIBLE_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Cn"})
"""Control, format (zero-width, bidi, tags), surrogates, private use, unassigned."""

_INVISIBLE_LETTERS = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\uffa0\ufe00-\ufe0f\U000e0100-\U000e01ef]"
)
"""Default-ignorable characters of other categories: fillers, joiners, variation selectors, the blank Braille cell."""

_HEADINGS = {f"h{level}": "#" * level + " " for level in range(1, 7)}
_SIGNS = {"em": "*", "strong": "**", "del": "~~", "s": "~~"}
_BLOCKS = frozenset(
    {"p", "div", "summary", "details", "table", "tr", "ul", "ol", "li", "blockquote", "pre", *_HEADINGS}
)
_SPACED = frozenset({"p", "ul", "ol", "table", "blockquote", "pre", *_HEADINGS})
"""An empty line follows these, unless they stand in a list."""
_SMALLEST_SIDE_PX = 16
"""Whoever makes an image smaller than this hides it from people."""
_KEPT = _BLOCKS | _SIGNS.keys() | {"code", "td", "th", "br", "hr"}
_DROPPED_WHOLE = {
    "script",
    "style",
    "template",
    "title",
    "noscript",
    "textarea",
    "iframe",
    "svg",
    "math",
    "select",
}


def visible_text(markdown: str) -> str:
    """The text that GitHub shows for Markdown, as plain Markdown.

    Gone are HTML comments and tags with their attributes, images with their alternative texts, titles and targets of
    links, link definitions, and invisible characters. Headings, lists, quotes, tables and code keep their form; text
    in collapsed sections stays, since a click shows it.

    The document is rendered and read as a browser reads it, not matched by patterns: "<!--" in code is code, and a
    comment that starts in one block and ends in another hides here what it hides there.
    """
    page = nh3.clean(
        _rendered(markdown),
        tags=set(_KEPT),
        attributes={},
        clean_content_tags=_DROPPED_WHOLE,
    )
    reader = _Reader()
    reader.feed(page)
    reader.close()
    # Once more: entities such as &#8203; have become characters by now.
    return re.sub(r"\n{3,}", "\n\n", _without_invisible(reader.text())).strip()


def shown_images(markdown: str) -> tuple[str, ...]:
    """The addresses of the images that GitHub shows to everybody with a Markdown text, see `image_sources`."""
    return image_sources(_rendered(markdown))


def image_sources(page: str) -> tuple[str, ...]:
    """The addresses of the images in HTML, each once.

    Not those made too small to see, and not those in <picture>, of which one person sees this and another that.
    """
    finder = _Images()
    finder.feed(nh3.clean(page, tags={"img", "picture"}, attributes={"img": {"src", "width", "height"}}))
    finder.close()
    return tuple(dict.fromkeys(finder.sources))


def visible_line(text: str) -> str:
    """A title: no Markdown, one line, nothing invisible."""
    return " ".join(_without_invisible(text).split())


def _rendered(markdown: str) -> str:
    """HTML. Footnotes that nothing refers to are not in it, nor is what a diagram is made of."""
    tokens = [
        each
        for each in _MARKDOWN.parse(_without_invisible(markdown))
        if not (each.type == "fence" and _language(each) in _DRAWN)
    ]
    return str(_MARKDOWN.renderer.render(tokens, _MARKDOWN.options, {}))


def _language(fence: Token) -> str:
    return next(iter(fence.info.split()), "").lower()


def _without_invisible(text: str) -> str:
    lines = re.sub("\r\n?|[\u2028\u2029\x85]", "\n", text)
    shown = (c for c in lines if c in "\n\t" or unicodedata.category(c) not in _INVISIBLE_CATEGORIES)
    return _INVISIBLE_LETTERS.sub("", "".join(shown))


class _Images(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.sources: list[str] = []
        self._choices = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._choices += tag == "picture"
        given = dict(attrs)
        sides = (re.match(r"\d+", given.get(name) or "") for name in ("width", "height"))
        if (
            tag == "img"
            and not self._choices
            and given.get("src")
            and all(int(s[0]) >= _SMALLEST_SIDE_PX for s in sides if s)
        ):
            self.sources.append(str(given["src"]))

    def handle_endtag(self, tag: str) -> None:
        self._choices -= tag == "picture"


class _Reader(HTMLParser):
    """Writes clean HTML as Markdown. Knows only the tags that were kept, which are balanced by then."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._lines: list[str] = []
        self._line = ""
        self._first = ""  # stands before the next line only: a bullet, the signs of a heading
        self._lists: list[int] = []  # of each open list the next number, 0 for bullets
        self._quotes = 0
        self._verbatim = False
        self._row = False

    def text(self) -> str:
        self._break()
        return "\n".join(self._lines)

    def handle_starttag(self, tag: str, attrs: object) -> None:  # noqa: ARG002 - the base class's signature
        if tag in _BLOCKS:
            self._break()
            self._row = tag == "tr"
        if tag in ("ul", "ol"):
            self._lists.append(1 if tag == "ol" else 0)
        elif tag == "li" and self._lists:
            self._first = f"{self._lists[-1]}. " if self._lists[-1] else "- "
            self._lists[-1] += bool(self._lists[-1])
        elif tag == "blockquote":
            self._quotes += 1
        elif tag == "pre":
            self._verbatim = True
            self._add("```")
        elif tag in ("br", "hr"):
            self._break()
        elif tag in ("td", "th"):
            self._line += "| "
        else:
            self._first += _HEADINGS.get(tag, "")
            self._sign(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag == "pre":
            self._verbatim = False
            self._add("```")
        elif tag in ("td", "th"):
            self._line += " "
        elif tag == "tr":
            self._line += "|"
        else:
            self._sign(tag)
        if tag in _BLOCKS:
            self._break()
            self._row = False
        if tag in ("ul", "ol"):
            self._lists.pop()
        elif tag == "blockquote":
            self._quotes -= 1
        if tag in _SPACED and not self._lists:
            self._lines.append("")

    def handle_data(self, data: str) -> None:
        if self._verbatim:
            for line in data.removesuffix("\n").split("\n"):
                self._add(line)
            return
        head, *rest = (data.replace("\n", "") if self._row else data).split("\n")
        self._line += head
        for line in rest:
            self._break()
            self._line = line

    def _sign(self, tag: str) -> None:
        if tag == "code" and not self._verbatim:
            self._line += "`"
        self._line += _SIGNS.get(tag, "")

    def _break(self) -> None:
        if self._line.strip():
            self._add(self._line.strip())
        self._line = ""

    def _add(self, line: str) -> None:
        outer = "  " * (len(self._lists) - 1)
        inner = self._first or ("  " if self._lists else "")
        self._lines.append("> " * self._quotes + outer + inner + line)
        self._first = ""
