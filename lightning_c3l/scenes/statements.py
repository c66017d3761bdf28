"""The statements of an answer about a scene, and how many of them are true."""

import re
from collections.abc import Iterator

from lightning_c3l.rounds.templates import parse
from lightning_c3l.scenes.curriculum import INSTRUCTIONS
from lightning_c3l.scenes.language import CAPTION_REQUEST, Query, normalise, true_answer, understand
from lightning_c3l.scenes.world import COLORS, NUMBERS, PLACES, SHAPES, Scene, Thing

# shape, attribute and value; the shape is empty if the text cannot be parsed
Statement = tuple[str, str, str]

_NAMES = {form: shape for shape in SHAPES for form in (shape, f"{shape}s", f"{shape}es")}
_PART = re.compile(rf"({'|'.join(NUMBERS)}) ({'|'.join(COLORS)}) ({'|'.join(_NAMES)}) ({'|'.join(PLACES)})")
_KIND_ASKED = {text: kind for kind, text in INSTRUCTIONS.items()}


def truthfulness(scene: Scene, question: str, answer: str) -> float:
    """Share of true statements: those that are stated and true, of all that are stated or should be.

    What should be stated is, for a question of this world, its answer; for the request for a description, color, place
    and number of each shape that is there; for the request to write a pair, the true answer of the written question, if
    it is of the kind asked for and the image can answer it. Text that cannot be parsed counts as one false statement.

    Args:
        scene: the truth.
        question: any text.
        answer: any text.

    Returns:
        A number from 0 to 1: |stated and true| / |stated or true|.
    """
    if question == CAPTION_REQUEST:
        stated = set(_described(answer))
        true = {statement for shape, thing in scene.things.items() for statement in _of_thing(shape, thing)}
    elif question in _KIND_ASKED:
        pair = parse(answer)
        query = understand(pair.question)
        asked_for = query is not None and query.kind == _KIND_ASKED[question]
        stated, true = _answered(scene, query if asked_for else None, pair.answer)
    else:
        stated, true = _answered(scene, understand(question), answer)
    return len(stated & true) / max(1, len(stated | true))


def scene_described(caption: str) -> Scene | None:
    """The scene of a true description, without sizes and shades, which have no name; None if the text is none."""
    statements = list(_described(caption))
    things = dict[str, dict[str, str]]()
    for shape, attribute, value in statements:
        things.setdefault(shape, {})[attribute] = value
    if "" in things or len(statements) != 3 * len(things):
        return None
    return Scene({shape: Thing(**values) for shape, values in things.items()}, seed=0)


def _answered(scene: Scene, query: Query | None, answer: str) -> tuple[set[Statement], set[Statement]]:
    """What the answer to a question states, and what is true."""
    if query is None:
        return {("", "", answer)}, set()
    truth = true_answer(scene, query)
    stated = {(query.shape, query.kind, normalise(answer))}
    return stated, set() if truth is None else {(query.shape, query.kind, truth)}


def _described(text: str) -> Iterator[Statement]:
    """Statements of a description: three for each part that can be parsed."""
    for part in " ".join(text.lower().split()).rstrip(".").split(", "):
        found = _PART.fullmatch(part)
        if found is None:
            yield ("", "", part)
        else:
            number, color, shape, place = found.groups()
            yield from _of_thing(_NAMES[shape], Thing(color, place, number))


def _of_thing(shape: str, thing: Thing) -> Iterator[Statement]:
    yield (shape, "color", thing.color)
    yield (shape, "place", thing.place)
    yield (shape, "number", thing.number)
