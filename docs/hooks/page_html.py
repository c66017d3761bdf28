"""What is changed in a page: formulas become MathML, names in code stay in one piece, wide tables have the room."""

import html
import re
from typing import Any

from latex2mathml.converter import convert
from mkdocs.structure.pages import Page
from repository_pages import FOLDER, MEASURED

# what pymdownx.arithmatex leaves with `generic: true`
_FORMULA = re.compile(r'<(span|div) class="arithmatex">\\(?:\(|\[)(.*?)\\(?:\)|\])</\1>', re.DOTALL)
# `--model.loss.beta` would be broken behind its dashes
_NAME = re.compile(r"<code>([^\s<]{1,44}|--[^<]{1,34})</code>")
# pages that are one table, which takes the place of the table of contents
_WIDE = ("families.md", *(f"{FOLDER}/{name}.md" for name in MEASURED))


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Give a wide page the room of its table of contents."""
    if page.file.src_uri in _WIDE:
        page.meta["hide"] = ["toc"]
    return markdown


def on_page_content(content: str, **_: Any) -> str:
    """Change a rendered page; browsers draw MathML by themselves, without a script or a font from elsewhere."""
    return _NAME.sub(r'<code class="name">\1</code>', _FORMULA.sub(_mathml, content))


def _mathml(found: re.Match[str]) -> str:
    display = "inline" if found[1] == "span" else "block"
    return f'<{found[1]} class="formula">{convert(html.unescape(found[2]), display=display)}</{found[1]}>'
