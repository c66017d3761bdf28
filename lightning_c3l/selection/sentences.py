"""Sentences of a text, in any script, and the sentence of each of its tokens."""

import re
from bisect import bisect_right
from collections.abc import Collection, Sequence

# full stops and the like after which no blank need stand: of Chinese, Japanese, Hindi, Arabic, Urdu, Armenian, Amharic,
# Burmese and Khmer
_STOPS = "\u3002\uff01\uff1f\uff61\u0964\u0965\u061f\u06d4\u0589\u1362\u104b\u17d4"
_CLOSING = "\"')\\]}\u00bb\u201d\u2019\u300d\u300f\uff09"
_END = re.compile(rf"[{_STOPS}]+[{_CLOSING}]*|[.!?\u2026]+[{_CLOSING}]*(?=\s|$)|\n")
# before a name, and never at an end
_TITLES = frozenset(["mr", "mrs", "ms", "dr", "prof", "st", "mt", "jr", "sr", "vs", "ca", "approx", "e.g", "i.e", "cf"])
# before a number; elsewhere they are words
_NUMBERED = frozenset(["no", "nos", "fig", "figs", "vol", "p", "pp"])
# at an end only if the next word is capitalised
_MAYBE = frozenset(["etc", "inc", "ltd", "co"])
_DOTTED = re.compile(r"(?:[^\W\d_]\.)+[^\W\d_]")
_LAST_WORD = re.compile(r"\S+\Z")
_OPENING = "\"'([{\u00ab\u201c\u2018"


def sentence_spans(text: str) -> list[tuple[int, int]]:
    """The sentences of a text: first character of each, and the one behind its last.

    A sentence ends with a full stop, a question or exclamation mark, an ellipsis or a line break, and the quotation
    marks and brackets that close there. The stop of an abbreviation, of an initial and of the number of a list entry
    ends none. The last sentence need not have a stop.

    Args:
        text: any text.

    Returns:
        Spans in order, without the blanks around them; all characters between two of them are blanks.

    Examples:
        >>> text = "Dr. Lee has 2.5 apples. They are red"
        >>> [text[start:end] for start, end in sentence_spans(text)]
        ['Dr. Lee has 2.5 apples.', 'They are red']
    """
    ends = [found.end() for found in _END.finditer(text) if _is_end(text, found)]
    out, start = list[tuple[int, int]](), 0
    for end in (*ends, len(text)):
        part = text[start:end]
        if part.strip():
            first = start + len(part) - len(part.lstrip())
            out.append((first, start + len(part.rstrip())))
        start = end
    return out


def sentence_numbers(tokens: Sequence[str]) -> list[int]:
    """Number of the sentence of each token, from 0.

    Args:
        tokens: text of each token, '' for one that continues a character of the token before; joined they are the
            text.
    """
    ends = [end for _, end in sentence_spans("".join(tokens))]
    out, position = list[int](), 0
    for token in tokens:
        blanks = len(token) - len(token.lstrip())
        # a blank token is of the sentence that follows it
        number = bisect_right(ends, position + (blanks if blanks < len(token) else 0))
        out.append(min(number, max(len(ends) - 1, 0)) if token or not out else out[-1])
        position += len(token)
    return out


def without_spans(text: str, dropped: Collection[tuple[int, int]]) -> str:
    """A text without some of its sentences; what stood before each of the others stays, but for the first.

    Args:
        text: any text.
        dropped: spans of `sentence_spans`.

    Examples:
        >>> without_spans("One. Two. Three.", [(0, 4)])
        'Two. Three.'
    """
    out, before = "", 0
    for start, end in sentence_spans(text):
        if (start, end) not in dropped:
            out += (text[before:start] if out else "") + text[start:end]
        before = end
    return out


def _is_end(text: str, found: "re.Match[str]") -> bool:
    """Whether a sentence ends at a stop."""
    stop = found[0]
    if stop[0] not in ".\u2026":
        return True
    before, after = _LAST_WORD.search(text, 0, found.start()), text[found.end() :].lstrip(" \t" + _OPENING)
    next_is_lower = after[:1].islower()
    if stop.startswith(("..", "\u2026")):
        return not next_is_lower
    word = before[0].lstrip(_OPENING) if before else ""
    if word.casefold() in _TITLES or (len(word) == 1 and word.isalpha() and word.isupper() and word != "I"):
        return not after
    if word.casefold() in _NUMBERED:
        return not after[:1].isdecimal()
    if word.isdecimal() and not text[: found.start() - len(word)].rpartition("\n")[2].strip():
        return not after
    if word.casefold() in _MAYBE or _DOTTED.fullmatch(word):
        return not next_is_lower
    return True
