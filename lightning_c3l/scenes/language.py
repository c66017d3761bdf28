"""The language of scenes: questions of four kinds and captions, their true answers and those of the prior."""

import re
from dataclasses import dataclass
from random import Random

from lightning_c3l.records import Verdict
from lightning_c3l.scenes.world import COLORS, NUMBERS, PLACES, PRIOR, SHAPES, Scene

KINDS = ("color", "place", "presence", "number")
QUESTIONS = {
    "color": ("What color are the {shape}?", "Which color do the {shape} have?"),
    "place": ("Where are the {shape}?", "In which corner are the {shape}?"),
    "presence": ("Are there any {shape}?", "Does the picture show {shape}?"),
    "number": ("How many {shape} are there?", "How many {shape} do you see?"),
}
ANSWERS = {"color": COLORS, "place": PLACES, "presence": ("yes", "no"), "number": NUMBERS}
CAPTION_REQUEST = "Describe the picture."
_PLURALS = {shape: "crosses" if shape == "cross" else f"{shape}s" for shape in SHAPES}
_SINGULARS = {plural: shape for shape, plural in _PLURALS.items()} | {shape: shape for shape in SHAPES}
_OPENINGS = (
    ("color", re.compile(r"^(what|which) colou?r\b")),
    ("place", re.compile(r"^(where\b|in which (corner|place|part)\b)")),
    ("presence", re.compile(r"^(are there|is there|does the picture (show|have)|do you see)\b")),
    ("number", re.compile(r"^(how many|what number)\b")),
)
_DIGITS = {str(number): word for number, word in enumerate(NUMBERS, start=1)}


@dataclass(frozen=True)
class Query:
    """A parsed question: its kind and the shape that it asks about."""

    kind: str
    shape: str


def wordings(query: Query) -> list[str]:
    """All wordings of a question."""
    return [wording.format(shape=_PLURALS[query.shape]) for wording in QUESTIONS[query.kind]]


def ask(query: Query, random: Random) -> str:
    """One wording of a question, chosen at random."""
    return random.choice(wordings(query))


def understand(question: str) -> Query | None:
    """Parse a question; None unless it has exactly one kind and one shape."""
    words = re.findall(r"[a-z]+", question.lower())
    opening = " ".join(words)
    kinds = [kind for kind, pattern in _OPENINGS if pattern.search(opening)]
    shapes = {_SINGULARS[word] for word in words if word in _SINGULARS}
    if len(kinds) != 1 or len(shapes) != 1:
        return None
    return Query(kinds[0], shapes.pop())


def true_answer(scene: Scene, query: Query) -> str | None:
    """The answer that is true of the scene; None if the question is about a shape that is not there."""
    thing = scene.things.get(query.shape)
    if query.kind == "presence":
        return "no" if thing is None else "yes"
    return None if thing is None else str(getattr(thing, query.kind))


def usual_answer(query: Query) -> str:
    """The answer of the prior, which does not depend on the image."""
    habit = PRIOR[query.shape]
    if query.kind == "presence":
        return "yes" if habit.present else "no"
    return str(getattr(habit.thing, query.kind))


def normalise(answer: str) -> str:
    """An answer in lower case, without extra white space and final punctuation, with digits spelled out."""
    text = " ".join(answer.lower().split()).rstrip(".!")
    return _DIGITS.get(text, text)


def truth(scene: Scene, question: str, answer: str) -> Verdict:
    """Judge a generated pair.

    Args:
        scene: the truth.
        question: any text.
        answer: any text.

    Returns:
        right, wrong, unanswerable (the question is about a shape that is not there), or unparsable (the question or the
        answer is not one of this world).
    """
    query = understand(question)
    if query is None or normalise(answer) not in ANSWERS[query.kind]:
        return "unparsable"
    expected = true_answer(scene, query)
    if expected is None:
        return "unanswerable"
    return "right" if normalise(answer) == expected else "wrong"


def queries(scene: Scene, kind: str | None = None) -> list[Query]:
    """Every question that the scene can answer, of one kind or of all."""
    kinds = KINDS if kind is None else (kind,)
    return [Query(k, s) for k in kinds for s in SHAPES if true_answer(scene, Query(k, s)) is not None]


def caption(scene: Scene) -> str:
    """A true description, corner by corner."""
    by_place = sorted(scene.things.items(), key=lambda item: PLACES.index(item[1].place))
    parts = (
        f"{thing.number} {thing.color} {shape if thing.number == 'one' else _PLURALS[shape]} {thing.place}"
        for shape, thing in by_place
    )
    return ", ".join(parts) + "."
