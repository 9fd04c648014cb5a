import html
from dataclasses import dataclass
from pathlib import Path

import pytest
from jinja2 import DictLoader, UndefinedError
from markdown_it import MarkdownIt

from bot.core.texts import Texts, cell, code, default_loader, fence, plain


@dataclass(frozen=True, slots=True)
class View:
    name: str
    items: tuple[str, ...] = ()


def render(name: str, source: str, view: View) -> str:
    return Texts(DictLoader({name: source})).render(name, view)


def test_fields_of_the_view_are_the_names_in_the_template() -> None:
    """A view's fields are what the template can use."""
    source = "Hello {{ name }}\n{% for item in items %}\n  - {{ item }}\n{% endfor %}\nend\n"
    assert render("a.md.j2", source, View("you", ("x", "y"))) == "Hello you\n  - x\n  - y\nend\n"


def test_an_unknown_name_is_an_error() -> None:
    """A typo in a template fails instead of rendering as nothing."""
    with pytest.raises(UndefinedError, match="nmae"):
        render("a.md.j2", "{{ nmae }}", View("you"))


def test_only_pages_are_escaped_for_html() -> None:
    """HTML templates escape, prompts do not."""
    assert render("a.html.j2", "{{ name }}", View("<b>")) == "&lt;b&gt;"
    assert render("a.md.j2", "{{ name }}", View("<b>")) == "<b>"


def test_scripts_quote_every_value() -> None:
    """A value with a quote in it stays one word, a list becomes words."""
    hostile = "x'; rm -rf /"
    source = "say {{ name | shell }} {{ items | shell }}\n"
    assert render("a.sh.j2", source, View(hostile, ("a b", "c"))) == ("say 'x'\"'\"'; rm -rf /' 'a b' c\n")


@pytest.mark.parametrize("expression", ["{{ name }}", "{{ name | shell | upper }}", "{{ 'constant' }}"])
def test_a_script_with_an_unquoted_value_does_not_render(expression: str) -> None:
    """Forgetting the filter, or changing the word after it, is an error."""
    with pytest.raises(TypeError, match="shell filter"):
        render("a.sh.j2", "echo " + expression, View("fine"))


@pytest.mark.parametrize("inside", ["plain", "a ``` b", "````\nx\n````\n", ""])
def test_content_cannot_leave_its_fence(inside: str) -> None:
    """The fence is longer than every run of backticks in the content."""
    block = fence(inside, "js").split("\n")
    assert block[0].removesuffix("js") == block[-1]
    assert all(not line.startswith(block[-1]) for line in block[1:-1])


@pytest.mark.parametrize(
    ("hostile", "trigger"),
    [
        ("cc @octocat and @org/team", "@o"),
        ("Fixes #12, owner/repo#12", "#1"),
        ("gh-12", "gh-1"),
        ("https://github.com/o/r/issues/12", "/issues/1"),
        ("![x](https://evil.example/pixel.png)", "!["),
        ("<!-- swarm:run=1 -->", "<!--"),
        ("<img src=x>", "<img"),
    ],
)
def test_foreign_text_acts_on_nothing(hostile: str, trigger: str) -> None:
    """No mention, reference, image, tag or hidden marker survives, while the visible text does."""
    assert trigger in hostile
    assert trigger not in plain(hostile)
    assert plain(hostile).replace("\u200b", "") == hostile


@pytest.mark.parametrize("entity", ["&commat;", "&#x40;", "&#64;", "&num;", "&lt;", "&excl;", "&AMP;"])
def test_an_entity_is_shown_as_written(entity: str) -> None:
    """GitHub would read it as the sign that it stands for, after all else was looked at."""
    assert plain(f"{entity}octocat").replace("\u200b", "") == f"&amp;{entity[1:]}octocat"
    assert html.unescape(plain(entity)).replace("\u200b", "") == entity


def test_ordinary_text_is_left_alone() -> None:
    """What triggers nothing is not touched."""
    text = "Use `a < b` and C# & D, see [docs](https://example.com/), 5 @ 3."
    assert plain(text) == text


def test_a_cell_stays_in_its_cell() -> None:
    """Line breaks and pipes cannot end a table row."""
    assert cell("a | b\n@c") == "a \\| b @\u200bc"


def test_templates_come_from_a_folder(tmp_path: Path) -> None:
    """The default loader reads names as paths below its folder."""
    (tmp_path / "prompts").mkdir()
    (tmp_path / "prompts" / "a.md.j2").write_text("{{ name }}")
    assert Texts(default_loader(tmp_path)).render("prompts/a.md.j2", View("you")) == "you"


@pytest.mark.parametrize(
    "command",
    ["npm test", "echo `date`", "``", "` @octo/team #1 <!-- x", "a\n\n# b", "ends with `", "| cell |"],
)
def test_a_code_span_holds_what_is_in_it(command: str) -> None:
    """Whatever it is, it is one piece of code and nothing else."""
    (_, inline, _) = MarkdownIt("commonmark").parse(code(command))
    (span,) = inline.children or ()
    assert (span.type, span.content) == ("code_inline", " ".join(command.split()))
