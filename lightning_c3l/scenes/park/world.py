"""Scenes of the park, and its planted language prior.

A scene has three to five kinds of thing, each in a place of its own, in one color and size, one to four times. The
prior is what somebody who never looks would say: every thing has a usual color, place, number and size, said with a
strength of its own, and five things are expected to come with a companion.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from random import Random

NUMBERS = ("one", "two", "three", "four")
SIZES = ("small", "large")
COLORS = ("red", "green", "blue", "yellow", "purple", "gray", "orange", "black")
# row by row
PLACES = (
    *("at the top left", "at the top", "at the top right"),
    *("on the left", "in the center", "on the right"),
    *("at the bottom left", "at the bottom", "at the bottom right"),
)
GROUPS = range(3, 6)
_LEADERS_THERE = 0.4
_OTHERS_THERE = 0.3


@dataclass(frozen=True)
class Thing:
    """All things of one kind in a scene; the fields are in the order in which a description names them."""

    number: str
    size: str
    color: str
    place: str


VALUES: Mapping[str, tuple[str, ...]] = {"number": NUMBERS, "size": SIZES, "color": COLORS, "place": PLACES}


@dataclass(frozen=True)
class Habit:
    """What the prior says about one thing.

    Attributes:
        usual: its attributes.
        strength: probability with which training answers follow the prior instead of the image.
        companion: the thing that is expected wherever this one is; None for a companion itself.
    """

    usual: Thing
    strength: float
    companion: str | None = None


PRIOR: Mapping[str, Habit] = {
    "tree": Habit(Thing("three", "large", "green", "on the left"), 0.6, "bird"),
    "bird": Habit(Thing("two", "small", "blue", "at the top"), 0.1),
    "house": Habit(Thing("one", "large", "red", "in the center"), 0.1, "flower"),
    "flower": Habit(Thing("four", "small", "purple", "at the bottom"), 0.4),
    "boat": Habit(Thing("one", "large", "orange", "at the bottom right"), 0.2, "flag"),
    "flag": Habit(Thing("two", "small", "red", "on the right"), 0.3),
    "moon": Habit(Thing("one", "small", "yellow", "at the top right"), 0.3, "star"),
    "star": Habit(Thing("four", "small", "yellow", "at the top left"), 0.1),
    "ball": Habit(Thing("two", "small", "black", "at the bottom left"), 0.1, "kite"),
    "kite": Habit(Thing("three", "large", "orange", "at the top"), 0.2),
}
THINGS = tuple(PRIOR)
USUAL: Mapping[str, Thing] = {name: habit.usual for name, habit in PRIOR.items()}


@dataclass(frozen=True)
class Scene:
    """A scene.

    Attributes:
        things: what is there, by name.
        seed: seed of everything that has no name: cells, shades, exact sizes.
    """

    things: Mapping[str, Thing]
    seed: int


def sample_scene(seed: int, follow: float) -> Scene:
    """Draw one scene; the same arguments give the same scene.

    Args:
        seed: any integer.
        follow: probability with which each attribute, and each companion, obeys the prior: 0 (fully unusual) to 1.

    Raises:
        ValueError: `follow` is not a probability.
    """
    if not 0.0 <= follow <= 1.0:
        raise ValueError(f"follow must lie between 0 and 1, not {follow}")
    random = Random(f"park {seed} {follow:.6f}")
    while True:
        names = _sample_presence(random, follow)
        things = {name: _sample_thing(random, follow, USUAL[name]) for name in names}
        apart = len({thing.place for thing in things.values()}) == len(things)
        if len(things) in GROUPS and apart:
            return Scene(things, random.getrandbits(32))


def _sample_presence(random: Random, follow: float) -> list[str]:
    """The things that are there: a companion beside its leader as the prior wants, elsewhere at random."""
    names = list[str]()
    for leader, habit in PRIOR.items():
        if habit.companion is None:
            continue
        if random.random() < _LEADERS_THERE:
            names.append(leader)
            likely = follow
        else:
            likely = _OTHERS_THERE
        if random.random() < likely:
            names.append(habit.companion)
    return names


def _sample_thing(random: Random, follow: float, usual: Thing) -> Thing:
    values = dict[str, str]()
    for attribute, choices in VALUES.items():
        expected = getattr(usual, attribute)
        if random.random() < follow:
            values[attribute] = expected
        else:
            values[attribute] = random.choice([one for one in choices if one != expected])
    return Thing(**values)


def imagine(scene: Scene, random: Random) -> Mapping[str, Thing]:
    """What somebody says is there who looks, and now and then falls back on the prior.

    Each attribute is that of the prior with the thing's strength; a companion that is not there is added, with its
    usual attributes, with the strength of the thing that it belongs to.
    """
    imagined = dict[str, Thing]()
    for name, thing in scene.things.items():
        habit = PRIOR[name]
        values = {
            attribute: getattr(habit.usual if random.random() < habit.strength else thing, attribute)
            for attribute in VALUES
        }
        imagined[name] = Thing(**values)
        companion = habit.companion
        if companion is not None and companion not in scene.things and random.random() < habit.strength:
            imagined[companion] = USUAL[companion]
    return imagined


def expected_presence(scene: Scene, name: str) -> str:
    """What the prior says to whether a thing is there: yes, and of companions what their leader says."""
    leaders = [leader for leader, habit in PRIOR.items() if habit.companion == name]
    return "no" if leaders and leaders[0] not in scene.things else "yes"
