"""Safe Markdown from untrusted text; everything in a data card passes through here."""

import re
from collections.abc import Sequence

from lightning_c3l.report.text import printable

# What may not stay as it is within a line. The underscore is emphasis, `www.` becomes a link on some sites, and so does
# a colon before a slash; parentheses are a link only behind brackets, and a hyphen an item only before white space.
_SPECIAL = re.compile(r"[^\w\s,.;:/()-]|_|(?<=[wW])\.|^\.|^-(?!-?\w)|^:|:(?!\s)")
# begins an ordered list
_NUMBERED = re.compile(r"^(\d+)([.)])(?=\s|$)")


def escape(text: object, limit: int = 200) -> str:
    """Escape a text to one line without markup: all but a few signs become character references.

    Args:
        text: any text.
        limit: longest text in characters; the rest is cut.
    """
    line = " ".join(printable(text, limit).split())
    line = _SPECIAL.sub(lambda found: f"&#{ord(found[0])};", line)
    return _NUMBERED.sub(lambda found: f"{found[1]}&#{ord(found[2])};", line)


def fenced(text: str) -> str:
    """A block of code, fenced by more backticks than the text has in a row."""
    inside = printable(text)
    longest = max((len(run) for run in re.findall("`+", inside)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{inside}\n{fence}"


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]], align: str) -> str:
    """A table.

    Args:
        head: names of the columns.
        rows: the cells; what comes from outside must have gone through `escape`.
        align: `l` or `r` for each column.
    """
    ruler = ["---:" if side == "r" else "---" for side in align]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, ruler, *rows))
