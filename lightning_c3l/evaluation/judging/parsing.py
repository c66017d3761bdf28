"""A judge's marks, as the first line of its reply gives them."""

import re

from lightning_c3l.evaluation.benchmarks.final_answer import final_answer
from lightning_c3l.evaluation.judging.base import UNPARSED

_MARK = r"(\d{1,2}(?:\.\d+)?)(?: ?/ ?10)?"
# bold or code marks around the line do not matter; they say nothing
_LINE = re.compile(rf"[*_`]*{_MARK}(?: *, *| +){_MARK}[*_`]*", re.ASCII)


def marks(reply: str) -> tuple[float, float]:
    """Marks of Assistant 1 and 2; (-1, -1) where the first line holds anything but two numbers from 1 to 10.

    `8 9`, `8,9`, `8, 9`, `8.5 9`, `8/10 9/10` and `**8 9**` are read, with white space around. Every pair of marks
    that LLaVA-Bench's own rule reads (two numbers with a blank or a comma between them) is among these, as long as
    both lie on the scale. Sentences with numbers in them are not guessed at. A judge's reasoning (`<think>`) is left
    out first.
    """
    first = (final_answer(reply) or "").strip().partition("\n")[0]
    found = _LINE.fullmatch(" ".join(first.split()))
    if found is None:
        return UNPARSED
    one, two = float(found[1]), float(found[2])
    return (one, two) if all(1 <= mark <= 10 for mark in (one, two)) else UNPARSED
