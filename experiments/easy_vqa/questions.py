"""The questions of easy-VQA: what they ask, what an answer says, and whether it is right about a figure."""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from lightning_c3l.records import Verdict

SHAPES = ("circle", "rectangle", "triangle")
PALETTE = {
    "black": (0, 0, 0),
    "blue": (0, 0, 255),
    "brown": (165, 42, 42),
    "gray": (128, 128, 128),
    "green": (0, 255, 0),
    "red": (255, 0, 0),
    "teal": (0, 128, 128),
    "yellow": (255, 255, 0),
}

Kind = Literal["color", "shape", "yes_no"]
KINDS: tuple[Kind, ...] = ("color", "shape", "yes_no")


@dataclass(frozen=True)
class ColoredShape:
    """What an image shows."""

    shape: str
    color: str


@dataclass(frozen=True)
class ShapeQuery:
    """A question that was understood.

    Attributes:
        kind: what it asks for.
        shape: the shape it names (and, unless it is a yes/no question, takes for granted), "" for none.
        color: the colour, likewise.
        negated: whether "yes" means that it is not so.
    """

    kind: Kind
    shape: str = ""
    color: str = ""
    negated: bool = False

    def fits(self, figure: ColoredShape) -> bool:
        """Whether the image shows what the question names."""
        return self.shape in ("", figure.shape) and self.color in ("", figure.color)


_COLOR = "|".join(PALETTE)
_THING = rf"(?:(?P<color>{_COLOR}) )?(?P<shape>shape|{'|'.join(SHAPES)})"
_SHAPE = rf"(?:(?P<color>{_COLOR}) )?(?P<shape>shape)"
_IMAGE = r"(?:the|this) (?:image|picture)"
_HERE = rf"(?: present| there| shown| in {_IMAGE})*"
_SOME = rf"(?P<no>no|a|an|any|one)? ?{_THING}"
_FORMS: tuple[tuple[Kind, str], ...] = (
    ("color", rf"(?:what|which) color (?:is|does) the {_THING}{_HERE}(?: have)?"),
    ("color", rf"(?:what|which) is the color of the {_THING}{_HERE}"),
    ("shape", rf"(?:what|which) {_SHAPE} (?:is|does){_HERE}(?: {_IMAGE} (?:contain|show))?"),
    ("shape", rf"(?:what|which) (?:is|shape is) the {_SHAPE}{_HERE}"),
    ("yes_no", rf"is (?:there )?(?P<not>not )?{_SOME}(?P<late> not)?{_HERE}"),
    ("yes_no", rf"does {_IMAGE} (?P<not>not )?(?:contain|show|have) {_SOME}"),
    ("yes_no", rf"is the shape (?P<not>not )?(?:a |an )?(?:{_THING}|(?P<bare>{_COLOR}))"),
)
_FILLER = frozenset(["a", "an", "the", "it", "is", "shape", "color", "of", "there", "image", "in"])


@lru_cache(maxsize=4096)
def parse_question(question: str) -> ShapeQuery | None:
    """What a question asks, None where it cannot be understood; case and the final mark do not matter."""
    text = _plain(question)
    for kind, form in _FORMS:
        match = re.fullmatch(form, text)
        if match:
            return _query(kind, match)
    return None


def _query(kind: Kind, match: re.Match[str]) -> ShapeQuery:
    parts = match.groupdict()
    shape = parts.get("shape") or ""
    color = parts.get("color") or parts.get("bare") or ""
    negations = bool(parts.get("not")) + bool(parts.get("late")) + (parts.get("no") == "no")
    return ShapeQuery(kind, "" if shape == "shape" else shape, color, negations % 2 == 1)


def _plain(text: str) -> str:
    text = re.sub(r"\bgrey\b", "gray", text.lower()).replace("colour", "color")
    return " ".join(re.sub(r"[?.!\s]+$", "", text).split())


def answer_words(answer: str) -> list[str] | None:
    """The words of an answer that say something, None where one of them is not of this world."""
    words = [word for word in _plain(answer).replace(",", " ").split() if word not in _FILLER]
    known = all(word in PALETTE or word in SHAPES or word in ("yes", "no") for word in words)
    return words if words and known else None


def answer_to(query: ShapeQuery, figure: ColoredShape) -> str | None:
    """The answer that the figure gives, None where the question takes for granted what is not there."""
    if query.kind == "yes_no":
        return "yes" if query.fits(figure) != query.negated else "no"
    if not query.fits(figure):
        return None
    return figure.color if query.kind == "color" else figure.shape


def judge_answer(query: ShapeQuery, words: list[str], figure: ColoredShape) -> Verdict:
    """Whether an answer's words are right about the figure."""
    truth = answer_to(query, figure)
    if truth is None:
        return "unanswerable"
    if query.kind == "yes_no":
        return "right" if words == [truth] else "wrong"
    return "right" if truth in words and set(words) <= {figure.color, figure.shape} else "wrong"
