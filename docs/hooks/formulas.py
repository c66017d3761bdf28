"""Formulas of the pages as MathML, which browsers draw by themselves: no script and no font has to be loaded."""

import html
import re
from typing import Any

from latex2mathml.converter import convert

# what pymdownx.arithmatex leaves with `generic: true`
_FORMULA = re.compile(r'<(span|div) class="arithmatex">\\(?:\(|\[)(.*?)\\(?:\)|\])</\1>', re.DOTALL)


def on_page_content(content: str, **_: Any) -> str:
    """Replace each formula of a rendered page."""
    return _FORMULA.sub(_mathml, content)


def _mathml(found: re.Match[str]) -> str:
    display = "inline" if found[1] == "span" else "block"
    return f'<{found[1]} class="formula">{convert(html.unescape(found[2]), display=display)}</{found[1]}>'
