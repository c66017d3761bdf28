"""The embedded world: scenes of coloured shapes with known truth and a planted language prior.

A scene has up to four kinds of shape, each in a corner (place) of its own, in one colour, one to four times. The
prior is what somebody who never looks would answer: every shape has a usual colour, place and number, and is usually
there or usually not. `follow` is the probability with which each attribute of a drawn scene obeys the prior.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from random import Random

SHAPES = ("circle", "square", "triangle", "cross", "diamond", "ring")
COLORS = ("red", "green", "blue", "yellow", "purple", "gray")
PLACES = ("top left", "top right", "bottom left", "bottom right")
NUMBERS = ("one", "two", "three", "four")


@dataclass(frozen=True)
class Thing:
    """The shapes of one kind in a scene: their common colour, the corner they stand in, and how many there are."""

    color: str
    place: str
    number: str


@dataclass(frozen=True)
class Habit:
    """What the prior says about one shape; `present` is whether it is usually there at all."""

    thing: Thing
    present: bool


PRIOR: Mapping[str, Habit] = {
    "circle": Habit(Thing("red", "top left", "one"), True),
    "square": Habit(Thing("blue", "bottom right", "two"), True),
    "triangle": Habit(Thing("green", "top right", "three"), True),
    "cross": Habit(Thing("gray", "bottom left", "four"), False),
    "diamond": Habit(Thing("purple", "top left", "two"), False),
    "ring": Habit(Thing("yellow", "bottom right", "one"), False),
}


@dataclass(frozen=True)
class Scene:
    """A scene.

    Attributes:
        things: the kinds of shape that are there, by their name.
        seed: seed of everything that has no name: cells, sizes, shades.
    """

    things: Mapping[str, Thing]
    seed: int


def sample_scene(seed: int, follow: float) -> Scene:
    """Draw one scene; the same arguments give the same scene.

    Args:
        seed: any integer.
        follow: probability with which each attribute obeys the prior, 0 (fully unusual) to 1 (fully usual).

    Raises:
        ValueError: `follow` is not a probability.
    """
    if not 0.0 <= follow <= 1.0:
        raise ValueError(f"follow must lie between 0 and 1, not {follow}")
    # crc-like mixing keeps neighbouring seeds apart; Random(str) would hash the same way on every platform too
    random = Random(f"scene {seed} {follow:.6f}")
    while True:
        shapes = _sample_presence(random, follow)
        places = _sample_places(random, follow, shapes)
        if shapes and places is not None:
            break
    things = {
        shape: Thing(
            _obey(random, follow, PRIOR[shape].thing.color, COLORS),
            place,
            _obey(random, follow, PRIOR[shape].thing.number, NUMBERS),
        )
        for shape, place in zip(shapes, places, strict=True)
    }
    return Scene(things, random.getrandbits(32))


def _obey(random: Random, follow: float, usual: str, choices: tuple[str, ...]) -> str:
    """The usual value with probability `follow`, else one of the others."""
    if random.random() < follow:
        return usual
    return random.choice([choice for choice in choices if choice != usual])


def _sample_presence(random: Random, follow: float) -> list[str]:
    """The shapes that are there, in random order; empty if there are more than corners."""
    shapes = [s for s in SHAPES if PRIOR[s].present == (random.random() < follow)]
    random.shuffle(shapes)
    return shapes if len(shapes) <= len(PLACES) else []


def _sample_places(random: Random, follow: float, shapes: list[str]) -> list[str] | None:
    """A corner for each shape; None if this draw puts two shapes into one."""
    places = [_obey(random, follow, PRIOR[shape].thing.place, PLACES) for shape in shapes]
    return places if len(set(places)) == len(places) else None
