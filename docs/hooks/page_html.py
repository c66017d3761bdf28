"""What is changed in a page: formulas become MathML, names in code stay in one piece, wide tables have the room."""

import html
import re
from typing import Any

from latex2mathml.converter import convert
from mkdocs.structure.pages import Page
from repository_pages import FOLDER, MEASURED

# what pymdownx.arithmatex leaves with `generic: true`
_FORMULA = re.compile(r'<(span|div) class="arithmatex">\\(?:\(|\[)(.*?)\\(?:\)|\])</\1>', re.DOTALL)
# `--model.loss.beta` would be broken behind its dashes, and the shape `[B, T]` at its blank
_NAME = re.compile(r"<code>([^\s<]{1,44}|--[^<]{1,34}|\[[^<\]]{1,20}\])</code>")
# characters of a name that a column of a telephone may hold
_LONG = 24
# an option in a longer piece of code
_COMMAND = re.compile(r"<code>([^<]*\s--[^<]*)</code>(?!</pre>)")
_OPTION = re.compile(r"(?<=\s)--[\w.-]+")
# pages whose table or code takes the place of the table of contents
_WIDE = re.compile(rf"families\.md|{FOLDER}/({'|'.join(MEASURED)}|experiments(-.+)?)\.md")


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Give a wide page the room of its table of contents."""
    if _WIDE.fullmatch(page.file.src_uri):
        page.meta["hide"] = ["toc"]
    return markdown


def on_page_content(content: str, **_: Any) -> str:
    """Change a rendered page; browsers draw MathML by themselves, without a script or a font from elsewhere."""
    content = _NAME.sub(_in_one_piece, _FORMULA.sub(_mathml, content))
    return _COMMAND.sub(lambda code: _OPTION.sub(r'<span class="name">\g<0></span>', code[0]), content)


def _in_one_piece(found: re.Match[str]) -> str:
    """A name; where a narrow screen has to break it all the same, it is behind a dot or an underscore."""
    is_long = len(html.unescape(found[1])) > _LONG and not found[1].startswith("--")
    parts = re.sub(r"(?<=[^._][._])(?=[A-Za-z])", "<wbr>", found[1])
    return f'<code class="name{" long" * is_long}">{parts}</code>'


def _mathml(found: re.Match[str]) -> str:
    display = "inline" if found[1] == "span" else "block"
    return f'<{found[1]} class="formula">{convert(html.unescape(found[2]), display=display)}</{found[1]}>'
