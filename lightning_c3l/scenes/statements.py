"""What an answer states about a scene, and how much of it is so."""

import re
from collections.abc import Iterator

from lightning_c3l.rounds.templates import parse
from lightning_c3l.scenes.curriculum import INSTRUCTIONS
from lightning_c3l.scenes.language import CAPTION_REQUEST, Query, normalise, true_answer, understand
from lightning_c3l.scenes.world import COLORS, NUMBERS, PLACES, SHAPES, Scene, Thing

# shape, what is said of it, and the value; the shape is empty where nobody knows what was meant
Statement = tuple[str, str, str]

_NAMES = {form: shape for shape in SHAPES for form in (shape, f"{shape}s", f"{shape}es")}
_PART = re.compile(rf"({'|'.join(NUMBERS)}) ({'|'.join(COLORS)}) ({'|'.join(_NAMES)}) ({'|'.join(PLACES)})")
_KIND_ASKED = {text: kind for kind, text in INSTRUCTIONS.items()}


def truthfulness(scene: Scene, question: str, answer: str) -> float:
    """Share of right statements: those that are stated and so, of all that are stated or should be.

    What should be stated: to a question of this world, its answer; to the request for a description, color, place and
    number of each shape that is there; to the request to write a pair, the true answer of the question that was
    written, if it is one of the kind asked for that the image can answer. What this world cannot understand counts as
    a statement that is not so.

    Args:
        scene: what is there.
        question: what was asked; any text.
        answer: what was said; any text.

    Returns:
        A number from 0 to 1: |stated and so| / |stated or so|.
    """
    if question == CAPTION_REQUEST:
        stated, so = set(_described(answer)), set(_facts(scene))
    elif question in _KIND_ASKED:
        pair = parse(answer)
        query = understand(pair.question)
        asked_for = query is not None and query.kind == _KIND_ASKED[question]
        stated, so = _answered(scene, query if asked_for else None, pair.answer)
    else:
        stated, so = _answered(scene, understand(question), answer)
    return len(stated & so) / max(1, len(stated | so))


def scene_described(caption: str) -> Scene | None:
    """The scene behind a true description, without what has no name; None where it is none."""
    parts = list(_described(caption))
    things = dict[str, dict[str, str]]()
    for shape, attribute, value in parts:
        things.setdefault(shape, {})[attribute] = value
    if "" in things or len(parts) != 3 * len(things):
        return None
    return Scene({shape: Thing(**values) for shape, values in things.items()}, seed=0)


def _answered(scene: Scene, query: Query | None, answer: str) -> tuple[set[Statement], set[Statement]]:
    """What the answer of a question states, and what is so."""
    if query is None:
        return {("", "", answer)}, set()
    truth = true_answer(scene, query)
    stated = {(query.shape, query.kind, normalise(answer))}
    return stated, set() if truth is None else {(query.shape, query.kind, truth)}


def _facts(scene: Scene) -> Iterator[Statement]:
    for shape, thing in scene.things.items():
        yield from _of_thing(shape, thing)


def _described(text: str) -> Iterator[Statement]:
    """Statements of a description, part by part; three of each part that can be understood."""
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
