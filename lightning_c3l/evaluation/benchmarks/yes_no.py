"""Yes or no from what an LVLM wrote."""

import re
from typing import Literal

Said = Literal["yes", "no"]

_DENIALS = frozenset({"No", "no", "not"})
# Letters and digits bound a word; an underscore does not, since Markdown writes _yes_.
_WORD = re.compile(r"(?<![^\W_])(?:(yes)|(no|not|cannot|[a-z]+n['\u2019]t))(?![^\W_])", re.IGNORECASE)


def reference_yes_no(text: str) -> Said:
    """As the benchmark's own evaluation reads an answer: no where it says so, else yes, also where it says nothing.

    Only what stands before the first full stop counts; commas are taken out, spaces separate words, and a word must be
    exactly `No`, `no` or `not`.
    """
    sentence = text.split(".", 1)[0].replace(",", "")
    return "yes" if _DENIALS.isdisjoint(sentence.split(" ")) else "no"


def strict_yes_no(text: str) -> Said | None:
    """Yes or no where an answer says exactly one of them, in any case; None where it says both or neither.

    `not`, `cannot` and the contractions (`isn't`) say no.
    """
    found = {"yes" if word[1] else "no" for word in _WORD.finditer(text)}
    if found == {"yes"}:
        return "yes"
    return "no" if found == {"no"} else None
