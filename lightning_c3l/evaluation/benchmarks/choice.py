"""Multiple choice: how a question is put, and which option an LVLM chose."""

import math
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence

from lightning_c3l.evaluation.benchmarks.base import Question

LETTERS_ASKED = "Answer with the option's letter from the given choices directly."

# Only these bound words, so that letters beside Chinese text are found too.
_ALNUM = "A-Za-z0-9"
# A letter of its own: not within a word, a contraction (I'm), a compound (T-shirt) or an abbreviation (U.S.A.).
_ALONE = rf"(?<![{_ALNUM}])(?<![{_ALNUM}]['\u2019.\-])%s(?![{_ALNUM}]|['\u2019\-][{_ALNUM}]|\.[A-Z]\.)"
_CAPITAL = re.compile(_ALONE % "([A-Z])")
# A small letter counts only where it can be no word: as the whole answer, in brackets, or as "b)" at the start.
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
# a second letter beside the stated one: "B or C"
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
# How many characters before and after a letter say what it is: looking at all of a long answer for each takes hours.
_BEFORE, _AFTER = 40, 300
_MARKS = " ,;:!?\"'*`\u201c\u201d\u2018\u2019"


def choice_prompt(question: Question) -> str:
    """Hint, question, the options with their letters, and the request for a letter."""
    options = [f"{letter}. {text}" for letter, text in question.options.items()]
    return "\n".join([*([question.hint] if question.hint else []), question.text, *options, LETTERS_ASKED])


def whole_letter(text: str, options: Mapping[str, str]) -> str | None:
    """The letter that is all of an answer, white space around it aside; else None."""
    letter = text.strip()
    return letter if letter in options else None


def least_loss(losses: Sequence[float] | None, options: Mapping[str, str]) -> str | None:
    """Letter of the option with the least loss, the first of several; None without a finite loss for each option."""
    if losses is None or len(losses) != len(options) or not all(map(math.isfinite, losses)):
        return None
    return list(options)[losses.index(min(losses))] if losses else None


def option_letter(text: str, options: Mapping[str, str]) -> str | None:
    """Letter of the option that an answer chooses.

    In this order: a first line that is a letter alone; what "answer is X" says; the one letter that stands as a word
    of its own; the one option whose text the answer is, or contains. "A" before another word is an article and "I" a
    pronoun, unless option A's own text follows. A letter within an option's text ("Vitamin C") is that text. A letter
    after "not", "neither" or "nor" is none.

    Args:
        text: what an LVLM wrote.
        options: text of each option by its letter; empty where it is not known.

    Returns:
        The letter, None where none or several are chosen: never a random one.
    """
    text, options = _tidy(text), {letter: _tidy(own) for letter, own in options.items()}
    masked = _without_texts(text, options)
    if first := _first_line(masked, options):
        return first
    stated = set(_stated(masked, options))
    if stated:
        return stated.pop() if len(stated) == 1 else None
    alone = _alone(masked, options)
    return alone.pop() if len(alone) == 1 else _by_text(text, options)


def _tidy(text: str) -> str:
    """A text with plain letters for full-width ones, one space between words and no empty line."""
    lines = (" ".join(line.split()) for line in unicodedata.normalize("NFKC", text).splitlines())
    return "\n".join(line for line in lines if line)


def _first_line(text: str, options: Mapping[str, str]) -> str | None:
    """The letter that is all of the first line, where no other line is another letter."""
    found = [_SMALL[0].fullmatch(line) for line in text.split("\n")]
    letters = {one[1].upper() for one in found if one}
    return letters.pop() if found[0] and len(letters) == 1 and letters <= options.keys() else None


def _stated(text: str, options: Mapping[str, str]) -> Iterator[str]:
    for found in _STATED.finditer(text):
        rest = text[found.end() : found.end() + _AFTER]
        if found[1].upper() in options and not _is_word(found[1], rest, options):
            yield found[1].upper()
            if also := _ALSO.match(rest):
                yield also[1]


def _alone(text: str, options: Mapping[str, str]) -> set[str]:
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
    """Whether "A" or "I" is a word of English here, and no option's letter."""
    name = letter.upper()
    if name not in _LETTER_MEANT or not _WORD_FOLLOWS.match(rest):
        return False
    own = options[name]
    if own and _normal(rest[: len(own) + _BEFORE]).startswith(_normal(own)):
        return False
    return letter.islower() or not _LETTER_MEANT[name].match(rest)


def _without_texts(text: str, options: Mapping[str, str]) -> str:
    """The answer without those options' texts in which a letter stands alone, in any case, the longest first."""
    lettered = [own for own in options.values() if len(own) > 1 and _CAPITAL.search(own.upper())]
    for own in sorted(lettered, key=len, reverse=True):
        text = re.sub(_bounded(own), "\u2026", text, flags=re.IGNORECASE)
    return text


def _by_text(text: str, options: Mapping[str, str]) -> str | None:
    """The one option whose text is the answer, or else is contained in it, as words of their own and in any case."""
    answer = _normal(text)
    known = {letter: _normal(own) for letter, own in options.items() if own}
    equal = [letter for letter, own in known.items() if own == answer]
    held = equal or [letter for letter, own in known.items() if re.search(_bounded(own), answer)]
    return held[0] if len(held) == 1 else None


def _bounded(own: str) -> str:
    """Pattern of a text that neither begins nor ends within a word or a number."""
    before = rf"(?<![{_ALNUM}])(?<!\d[.,])" if own[:1].isalnum() else ""
    after = rf"(?![{_ALNUM}]|[.,]\d)" if own[-1:].isalnum() else ""
    # no part of -1, .5, 10:2 or 1/2 either
    before += r"(?<![.\-\u2212])(?<!\d[:/])" if own[:1].isdigit() else ""
    after += r"(?![:/\-]\d)" if own[-1:].isdigit() else ""
    return before + re.escape(own) + after


def _normal(text: str) -> str:
    """A text without case, white space and marks around it; marks alone stay, and the point of ".5" too."""
    words = " ".join(text.split()).casefold()
    return words.rstrip(_MARKS + ".").lstrip(_MARKS) or words
