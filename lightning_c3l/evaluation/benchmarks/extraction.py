"""Answers as yes or no, or as the letter of an option; and the prompt that asks for a letter."""

import math
import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lightning_c3l.evaluation.benchmarks.base import Pair, Question
from lightning_c3l.evaluation.benchmarks.rows import cell_letter, collapse_spaces

YesNo = Literal["yes", "no"]
LETTER_REQUEST = "Answer with the option's letter from the given choices directly."

_DENIALS = frozenset({"No", "no", "not"})
# Letters and digits bound a word; an underscore does not, since Markdown writes _yes_.
_YES_NO = re.compile(r"(?<![^\W_])(?:(yes)|(no|not|cannot|[a-z]+n['\u2019]t))(?![^\W_])", re.IGNORECASE)

# Only these bound words, so that letters next to Chinese text are found too.
_ALNUM = "A-Za-z0-9"
# A letter that is a word: not within a word, a contraction (I'm), a compound (T-shirt) or an abbreviation (U.S.A.).
_ALONE = rf"(?<![{_ALNUM}])(?<![{_ALNUM}]['\u2019.\-])%s(?![{_ALNUM}]|['\u2019\-][{_ALNUM}]|\.[A-Z]\.)"
_CAPITAL = re.compile(_ALONE % "([A-Z])")
# A small letter counts only where it cannot be a word: as the whole answer, in brackets, or as "b)" at the start.
_SMALL = (
    re.compile(r"[\W_]*([A-Za-z])[\W_]*"),
    re.compile(r"[\W_]*\(([a-z])\).*", re.DOTALL),
    re.compile(r"[\W_]*([a-z])[*_]*\).*", re.DOTALL),
    re.compile(r"[\W_]*(?:option|choice|letter)[\W_]+([a-z])[\W_]*", re.IGNORECASE),
)
_STATED = re.compile(
    r"\b(?:answer|(?:correct|right|best)\s+(?:option|choice|letter))"
    r"(?:\s+(?:is|would\s+be|should\s+be|must\s+be))?\s*[:=]?\s*(?:(?:option|choice|letter)\s*:?\s*)?"
    rf"[*_\"'\u201c\u2018(\[]*{_ALONE % '([A-Za-z])'}",
    re.IGNORECASE,
)
# a second letter after the stated one: "B or C"
_ALSO = re.compile(r"[\W_]*(?:\b(?:or|and)\b|[/&])[\W_]*" + _ALONE % "([A-Z])")
_DENIED = re.compile(
    r"(?:\b(?:not|neither|nor)|n['\u2019]t)\s+(?:be\s+)?(?:(?:option|choice)\s+)?[\W_]*$", re.IGNORECASE
)
# What follows "A" or "I" where these are words of English: another word, after a space on the same line.
_WORD_FOLLOWS = re.compile(r"[ \t]+[\"'\u201c\u2018]?\w")
# ... but these words do not follow an article, so the letter is meant
_LETTER_MEANT = {
    "A": re.compile(r"\s+(?:is|was|would|seems|appears|because|since|as|and|or|nor|but)\b"),
    "I": re.compile(r"\s+(?:is|because|since|or)\b"),
}
# Characters before and after a letter that decide what it is: a search through all of a long answer takes hours.
_BEFORE, _AFTER = 40, 300
_MARKS = " ,;:!?\"'*`\u201c\u201d\u2018\u2019"


def reference_yes_no(text: str) -> YesNo:
    """Read an answer as the benchmark's own evaluation does: no if it says so, else yes, also if it is empty.

    Only the text before the first full stop counts; commas are removed, spaces separate words, and a word must be
    exactly `No`, `no` or `not`.
    """
    sentence = text.split(".", 1)[0].replace(",", "")
    return "yes" if _DENIALS.isdisjoint(sentence.split(" ")) else "no"


def strict_yes_no(text: str) -> YesNo | None:
    """Yes or no if an answer says exactly one of them, in any case; None if it says both or neither.

    `not`, `cannot` and the contractions (`isn't`) mean no.
    """
    found = {"yes" if word[1] else "no" for word in _YES_NO.finditer(text)}
    if found == {"yes"}:
        return "yes"
    return "no" if found == {"no"} else None


def choice_prompt(question: Question) -> str:
    """Hint, question, the options with their letters, and the request for a letter."""
    options = [f"{letter}. {text}" for letter, text in question.options.items()]
    return "\n".join([*([question.hint] if question.hint else []), question.text, *options, LETTER_REQUEST])


def truth_letter(truth: str, options: Mapping[str, str]) -> str:
    """The letter of an option in a cell; empty if it is none of the options."""
    letter = cell_letter(truth)
    return letter if letter in options else ""


def only_letter(text: str, options: Mapping[str, str]) -> str | None:
    """The letter that is the whole answer, apart from white space; else None."""
    letter = text.strip()
    return letter if letter in options else None


def least_loss(losses: Sequence[float] | None, options: Mapping[str, str]) -> str | None:
    """Letter of the first option with the least loss; None unless every option has a finite loss."""
    if losses is None or len(losses) != len(options) or not all(map(math.isfinite, losses)):
        return None
    return list(options)[losses.index(min(losses))] if losses else None


def grade_letters(pairs: Sequence[Pair], letters: Sequence[str | None]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Whether each chosen letter is right, and whether the answer chose one at all, `[N]` bool."""
    right = [letter == question.truth for letter, (question, _) in zip(letters, pairs, strict=True)]
    return np.array(right, dtype=bool), np.array([letter is not None for letter in letters], dtype=bool)


def option_letter(text: str, options: Mapping[str, str]) -> str | None:
    """Extract the letter of the option that an answer chooses.

    Tried in this order: a first line that is only a letter; "answer is X"; the one letter that is a word of its own;
    the one option whose text the answer is, or contains. "A" before another word is an article and "I" a pronoun,
    unless option A's own text follows. A letter within an option's text ("Vitamin C") is part of that text. A letter
    after "not", "neither" or "nor" does not count.

    Args:
        text: a generated text.
        options: text of each option by its letter; an empty text if it is not known.

    Returns:
        The letter, None if no or several options are chosen: never a random one.
    """
    text, options = _normalize(text), {letter: _normalize(own) for letter, own in options.items()}
    # without the options' texts that contain a single letter, in any case, the longest first
    masked, lettered = text, [own for own in options.values() if len(own) > 1 and _CAPITAL.search(own.upper())]
    for own in sorted(lettered, key=len, reverse=True):
        masked = re.sub(_bounded(own), "\u2026", masked, flags=re.IGNORECASE)
    # a first line that is only a letter, unless another line is another letter
    lines = [_SMALL[0].fullmatch(line) for line in masked.split("\n")]
    alone = {one[1].upper() for one in lines if one}
    if lines[0] and len(alone) == 1 and alone <= options.keys():
        return alone.pop()
    stated = set[str]()
    for found in _STATED.finditer(masked):
        rest = masked[found.end() : found.end() + _AFTER]
        if found[1].upper() in options and not _is_word(found[1], rest, options):
            stated.add(found[1].upper())
            if also := _ALSO.match(rest):
                stated.add(also[1])
    if stated:
        return stated.pop() if len(stated) == 1 else None
    single = _single_letters(masked, options)
    if len(single) == 1:
        return single.pop()
    # the one option whose text is the answer, or else is contained in it as whole words, in any case
    answer = _casefolded(text)
    known = {letter: _casefolded(own) for letter, own in options.items() if own}
    held = [letter for letter, own in known.items() if own == answer]
    held = held or [letter for letter, own in known.items() if re.search(_bounded(own), answer)]
    return held[0] if len(held) == 1 else None


def _normalize(text: str) -> str:
    """A text with plain letters instead of full-width ones, single spaces and no empty lines."""
    lines = (" ".join(line.split()) for line in unicodedata.normalize("NFKC", text).splitlines())
    return "\n".join(line for line in lines if line)


def _single_letters(text: str, options: Mapping[str, str]) -> set[str]:
    for pattern in _SMALL:
        if (small := pattern.fullmatch(text)) and small[1].upper() in options:
            return {small[1].upper()}
    letters = set[str]()
    for found in _CAPITAL.finditer(text):
        if found[1] not in options or found[1] in letters:
            continue
        if _is_word(found[1], text[found.end() : found.end() + _AFTER], options):
            continue
        if not _DENIED.search(text, max(0, found.start() - _BEFORE), found.start()):
            letters.add(found[1])
    return letters


def _is_word(letter: str, rest: str, options: Mapping[str, str]) -> bool:
    """Whether "A" or "I" is an English word here, and not an option's letter."""
    name = letter.upper()
    if name not in _LETTER_MEANT or not _WORD_FOLLOWS.match(rest):
        return False
    own = options[name]
    if own and _casefolded(rest[: len(own) + _BEFORE]).startswith(_casefolded(own)):
        return False
    return letter.islower() or not _LETTER_MEANT[name].match(rest)


def _bounded(own: str) -> str:
    """Pattern for a text that neither begins nor ends inside a word or a number."""
    before = rf"(?<![{_ALNUM}])(?<!\d[.,])" if own[:1].isalnum() else ""
    after = rf"(?![{_ALNUM}]|[.,]\d)" if own[-1:].isalnum() else ""
    # nor inside -1, .5, 10:2 or 1/2
    before += r"(?<![.\-\u2212])(?<!\d[:/])" if own[:1].isdigit() else ""
    after += r"(?![:/\-]\d)" if own[-1:].isdigit() else ""
    return before + re.escape(own) + after


def _casefolded(text: str) -> str:
    """A text without case, extra spaces and marks around it; a text of only marks stays, as does the point of ".5"."""
    words = collapse_spaces(text).casefold()
    return words.rstrip(_MARKS + ".").lstrip(_MARKS) or words
