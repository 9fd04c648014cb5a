"""Everything longer than a sentence that a person, a model or a shell reads: templates, and the filters that keep them safe."""

import re
import shlex
from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path
from typing import Any

from jinja2 import BaseLoader, Environment, FileSystemLoader, StrictUndefined, Template, select_autoescape

_UNSEEN = "\u200b"
"""Zero-width space: looks like nothing, and ends a mention, a reference or a tag where GitHub would see one."""

_GITHUB_TRIGGERS = re.compile(
    r"@(?=[A-Za-z0-9])"  # mentions of people and teams
    r"|#(?=\d)|\b[Gg][Hh]-(?=\d)"  # #123, owner/repo#123, GH-123
    r"|/(?:issues|pull|discussions|commit)/(?=[0-9a-f])"  # the same as an address
    r"|!(?=\[)"  # images: what is left is a link, which loads nothing by itself
    r"|<(?=[A-Za-z/!?])"  # tags and comments
    r"|&(?=[#A-Za-z])"  # entities, any of the signs above among them
)


class _Quoted(str):
    """Text that went through the `shell` filter."""

    __slots__ = ()


class Texts:
    """Renders the templates of one tree, each from one view.

    Names are paths below that tree: "prompts/architect.md.j2". `*.html.j2` is escaped for HTML. In `*.sh.j2` every
    value has to pass the `shell` filter: one that does not is an error, not a quoting bug waiting for its input.

    Filters beside Jinja's own:
        shell: one shell word; a list becomes several.
        fence: a Markdown code block whose fence is longer than any inside; `text | fence("json")`.
        plain: text of foreign origin (issue, model) for GitHub Markdown, with nothing in it that acts.
        cell: `plain`, on one line and without pipes, for a table cell or a list item.
    """

    def __init__(self, loader: BaseLoader) -> None:
        self._prose = _environment(loader)
        self._scripts = _environment(loader)
        self._scripts.finalize = _only_quoted

    def render(self, name: str, view: Any) -> str:
        """The text of a template.

        Args:
            name: path of the template below the tree.
            view: a dataclass; the template sees its fields by their names, and nothing else.

        Raises:
            jinja2.UndefinedError: the template names something that the view does not have.
            jinja2.TemplateNotFound: no such template.
            TypeError: a value in a script that is not quoted.
        """
        return self._template(name).render({each.name: getattr(view, each.name) for each in fields(view)})

    def _template(self, name: str) -> Template:
        return (self._scripts if name.endswith(".sh.j2") else self._prose).get_template(name)


def default_loader(root: Path) -> BaseLoader:
    """Templates from a folder on disk."""
    return FileSystemLoader(root)


def _environment(loader: BaseLoader) -> Environment:
    made = Environment(
        loader=loader,
        undefined=StrictUndefined,
        autoescape=select_autoescape(("html.j2",), default=False),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.filters |= {"shell": shell, "fence": fence, "plain": plain, "cell": cell, "code": code}
    return made


def _only_quoted(value: object) -> str:
    if not isinstance(value, _Quoted):
        raise TypeError(f"a value in a script did not pass the shell filter: {value!r}")
    return value


def shell(value: object) -> str:
    """A value as one shell word, or a list of values as several."""
    if isinstance(value, Iterable) and not isinstance(value, str | bytes):
        return _Quoted(shlex.join(str(each) for each in value))
    return _Quoted(shlex.quote(str(value)))


def fence(text: str, language: str = "") -> str:
    """A Markdown code block that its content cannot leave. Ends without a line break."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    marks = "`" * max(3, longest + 1)
    body = text if not text or text.endswith("\n") else text + "\n"
    return f"{marks}{language}\n{body}{marks}"


def code(text: str) -> str:
    """A Markdown code span on one line that its content cannot leave."""
    line = " ".join(text.split())
    marks = "`" * (max((len(run) for run in re.findall("`+", line)), default=0) + 1)
    return f"{marks} {line} {marks}" if "`" in line else f"{marks}{line}{marks}"


def plain(text: str) -> str:
    """Foreign text that notifies nobody, refers to nothing, loads no image and hides nothing on GitHub.

    Formatting such as lists, links and code stays as it is. GitHub resolves mentions and references after rendering
    Markdown, so that neither a backslash nor an entity stops them; an invisible character after the sign does. For the
    same reason an entity of the text's own is shown as it was written, instead of as the sign that it stands for.
    """
    return _GITHUB_TRIGGERS.sub(
        lambda found: "&amp;" if found.group() == "&" else found.group() + _UNSEEN, text
    )


def cell(text: str) -> str:
    """`plain` on one line, with pipes escaped: for a table cell or a list item."""
    return plain(" ".join(text.split())).replace("|", "\\|")
