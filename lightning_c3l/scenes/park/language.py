"""The language of the park: questions of eight kinds, and what is answered about given things."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import permutations
from random import Random

from lightning_c3l.scenes.park.world import NUMBERS, PLACES, THINGS, VALUES, Thing

Things = Mapping[str, Thing]

SHORT_KINDS = ("number", "size", "color", "place", "presence")
LONG_KINDS = ("detail", "reasoning", "relation")
KINDS = (*SHORT_KINDS, *LONG_KINDS)
COUNTS = (*NUMBERS, "five", "six", "seven", "eight")
CAPTION_REQUEST = "List everything."


@dataclass(frozen=True)
class Query:
    """A parsed question: its form and the things that it asks about, in its order."""

    form: str
    things: tuple[str, ...] = ()

    @property
    def kind(self) -> str:
        """The kind of instruction that asks for such questions."""
        return FORMS[self.form].kind


@dataclass(frozen=True)
class Form:
    """A form of question: its kind, its wordings, and how many things it names."""

    kind: str
    wordings: tuple[str, ...]
    things: int


FORMS: Mapping[str, Form] = {
    "number": Form("number", ("How many {0}s are there?", "How many {0}s do you see?"), 1),
    "size": Form("size", ("What size are the {0}s?", "How big are the {0}s?"), 1),
    "color": Form("color", ("What color are the {0}s?", "Which color do the {0}s have?"), 1),
    "place": Form("place", ("Where are the {0}s?", "In which part of the picture are the {0}s?"), 1),
    "presence": Form("presence", ("Are there any {0}s?", "Does the picture show {0}s?"), 1),
    "detail": Form("detail", ("What does the picture show?", "Describe the picture in detail."), 0),
    "more": Form("reasoning", ("Are there more {0}s than {1}s?", "Do the {0}s outnumber the {1}s?"), 2),
    "total": Form("reasoning", ("How many {0}s and {1}s are there together?",), 2),
    "side": Form("relation", ("Where are the {0}s, seen from the {1}s?",), 2),
    "same": Form("relation", ("Do the {0}s and the {1}s have the same color?",), 2),
}


def _questions() -> Iterator[tuple[str, Query]]:
    for name, form in FORMS.items():
        for things in permutations(THINGS, form.things):
            for wording in form.wordings:
                yield wording.format(*things), Query(name, things)


_QUERIES = {text.lower().rstrip("?."): query for text, query in _questions()}


def understand(question: str) -> Query | None:
    """Parse a question; None if it is none of this world."""
    return _QUERIES.get(" ".join(question.lower().split()).rstrip("?. "))


def wordings(query: Query) -> list[str]:
    """All wordings of a question."""
    return [wording.format(*query.things) for wording in FORMS[query.form].wordings]


def ask(query: Query, random: Random) -> str:
    """One wording of a question, chosen at random."""
    return random.choice(wordings(query))


def queries(things: Things, kind: str) -> list[Query]:
    """Every question of a kind that can be answered about these things."""
    return [
        Query(name, asked)
        for name, form in FORMS.items()
        if form.kind == kind
        for asked in permutations(THINGS if kind == "presence" else things, form.things)
    ]


def value_of(things: Things, attribute: str, about: tuple[str, ...]) -> str | None:
    """What is true of things.

    Args:
        things: what is there.
        attribute: an attribute of `Thing`, or `presence`, `more`, `total`, `side` or `same`.
        about: names of one thing, or of two for the last four.

    Returns:
        The value; None if something that it is about is not there.
    """
    if attribute == "presence":
        return "yes" if about[0] in things else "no"
    found = [things[name] for name in about if name in things]
    if len(found) < len(about):
        return None
    if attribute in VALUES:
        return str(getattr(found[0], attribute))
    one, other = found
    if attribute == "side":
        return side(one.place, other.place)
    if attribute == "same":
        return "yes" if one.color == other.color else "no"
    first, second = NUMBERS.index(one.number) + 1, NUMBERS.index(other.number) + 1
    if attribute == "total":
        return COUNTS[first + second - 1]
    return "yes" if first > second else "no"


def side(place: str, other: str) -> str:
    """On which side of another place a place is, such as `above and left of`; `among` for the same place."""
    (row, column), (other_row, other_column) = (divmod(PLACES.index(one), 3) for one in (place, other))
    parts = list[str]()
    if row != other_row:
        parts.append("above" if row < other_row else "below")
    if column != other_column:
        parts.append("left of" if column < other_column else "right of")
    return " and ".join(parts) or "among"


def answer(things: Things, query: Query) -> str | None:
    """The answer to a question about these things; None if one that it names is not there."""
    if query.form == "detail":
        return describe(things)
    value = value_of(things, query.form, query.things)
    if value is None or FORMS[query.form].things < 2:
        return value
    one, other = query.things
    if query.form == "side":
        return f"The {one}s are {value} the {other}s."
    if query.form == "same":
        if value == "yes":
            return f"Yes, both are {things[one].color}."
        return f"No, the {one}s are {things[one].color} and the {other}s are {things[other].color}."
    return f"{value.capitalize()}, because there are {counted(one, things[one])} and {counted(other, things[other])}."


def counted(name: str, thing: Thing) -> str:
    """A number with its noun: `one tree`, `two trees`."""
    return f"{thing.number} {name}" if thing.number == "one" else f"{thing.number} {name}s"


def in_reading_order(things: Things) -> list[tuple[str, Thing]]:
    """Things by their places, row by row."""
    return sorted(things.items(), key=lambda item: PLACES.index(item[1].place))


def describe(things: Things) -> str:
    """A sentence about each thing, in reading order."""
    return " ".join(
        f"{thing.number.capitalize()} {thing.size} {thing.color} {name if thing.number == 'one' else f'{name}s'} "
        f"{'is' if thing.number == 'one' else 'are'} {thing.place}."
        for name, thing in in_reading_order(things)
    )


def caption(things: Things, random: Random) -> str:
    """All things in short: in reading order, or each by its name first, in any order.

    Where the name comes first it decides which attributes follow, so that captions teach to look for the thing that a
    question names, in the same word; a list in reading order teaches to see and to describe.
    """
    if random.random() < 0.5:
        parts = (f"{one.number} {one.size} {one.color} {name} {one.place}" for name, one in in_reading_order(things))
    else:
        named = random.sample(list(things.items()), len(things))
        parts = (f"{name}s {one.number} {one.size} {one.color} {one.place}" for name, one in named)
    return ", ".join(parts) + "."
