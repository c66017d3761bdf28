"""The statements of an answer about the park, where they stand in its text, and which of them are true."""

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from lightning_c3l.records import Verdict
from lightning_c3l.scenes.park.language import COUNTS, Query, answer, understand, value_of
from lightning_c3l.scenes.park.world import (
    COLORS,
    NUMBERS,
    PLACES,
    SIZES,
    THINGS,
    USUAL,
    VALUES,
    Scene,
    Thing,
    expected_presence,
)


@dataclass(frozen=True)
class Claim:
    """A value that an answer gives.

    Attributes:
        attribute: what the value is of; see `value_of`.
        about: names of the things that it is about.
        value: as stated.
        start: of its first character in the answer.
        end: behind its last character.
    """

    attribute: str
    about: tuple[str, ...]
    value: str
    start: int
    end: int


def _any(values: tuple[str, ...]) -> str:
    # the longest first: "at the top left" before "at the top"
    return "|".join(sorted(values, key=len, reverse=True))


_NOUN = rf"(?P<{{}}>{_any(THINGS)})s?"
_SIDE = "(?:above|below)(?: and (?:left|right) of)?|(?:left|right) of|among"
_SENTENCE = re.compile(
    rf"(?P<number>{_any(NUMBERS)}) (?P<size>{_any(SIZES)}) (?P<color>{_any(COLORS)}) {_NOUN.format('presence')} "
    rf"(?:is|are) (?P<place>{_any(PLACES)})(?:\.\s*|\s*$)"
)
_REASON = (
    rf", because there are (?P<first>{_any(NUMBERS)}) {_NOUN.format('one')} "
    rf"and (?P<second>{_any(NUMBERS)}) {_NOUN.format('other')}\.?"
)
_FORMS = {
    "more": re.compile(rf"(?P<value>yes|no){_REASON}"),
    "total": re.compile(rf"(?P<value>{_any(COUNTS)}){_REASON}"),
    "side": re.compile(rf"the {_NOUN.format('one')} are (?P<value>{_SIDE}) the {_NOUN.format('other')}\.?"),
    "same": re.compile(
        rf"(?P<value>yes), both are (?P<both>{_any(COLORS)})\.?|(?P<no>no), the {_NOUN.format('one')} are "
        rf"(?P<first>{_any(COLORS)}) and the {_NOUN.format('other')} are (?P<second>{_any(COLORS)})\.?"
    ),
    "presence": re.compile(r"(?P<value>yes|no)\.?"),
    **{name: re.compile(rf"(?P<value>{_any(values)})\.?") for name, values in VALUES.items()},
}


def claims(query: Query, text: str) -> list[Claim]:
    """What an answer states, in its order; empty if it is no answer to the question."""
    # characters keep their positions
    text = text.lower()
    if query.form == "detail":
        return list(_described(text))
    found = _FORMS[query.form].fullmatch(text, len(text) - len(text.lstrip()), len(text.rstrip()))
    if found is None:
        return []

    def claim(group: str, attribute: str, about: tuple[str, ...]) -> Claim:
        return Claim(attribute, about, found[group], *found.span(group))

    if query.form == "same" and found["no"] is None:
        color = [claim("both", "color", (name,)) for name in query.things]
        return [claim("value", "same", query.things), *color]
    named = found.groupdict()
    if "one" in named and (named["one"], named["other"]) != query.things:
        return []
    stated = [claim("no" if named.get("no") else "value", query.form, query.things)]
    if "first" in named:
        attribute = "color" if query.form == "same" else "number"
        pairs = zip(("first", "second"), query.things, strict=True)
        stated += [claim(group, attribute, (name,)) for group, name in pairs]
    return stated


def _described(text: str) -> Iterator[Claim]:
    """The claims of a description, each where it is first made; none if a part of it is no sentence of this world."""
    stated, end = dict[tuple[str, str, str], Claim](), 0
    while end < len(text.rstrip()):
        found = _SENTENCE.match(text, end)
        if found is None:
            return
        name = found["presence"]
        for attribute in ("number", "size", "color", "presence", "place"):
            value = "yes" if attribute == "presence" else found[attribute]
            claim = Claim(attribute, (name,), value, *found.span(attribute))
            stated.setdefault((attribute, name, value), claim)
        end = found.end()
    yield from stated.values()


def is_true(scene: Scene, claim: Claim) -> bool:
    """Whether a claim is true of a scene."""
    return value_of(scene.things, claim.attribute, claim.about) == claim.value


def is_invented(scene: Scene, claim: Claim) -> bool:
    """Whether a false claim is what the prior says, about a thing or a companion."""
    if is_true(scene, claim):
        return False
    if claim.attribute != "presence":
        return value_of(USUAL, claim.attribute, claim.about) == claim.value
    return expected_presence(scene, claim.about[0]) == claim.value


def truth(scene: Scene, question: str, text: str) -> Verdict:
    """Judge a generated pair.

    Args:
        scene: the truth.
        question: any text.
        text: any text, as the answer.

    Returns:
        right (all statements are), wrong, unanswerable (the question is about something that is not there), or
        unparsable (the question or the answer is not one of this world).
    """
    query = understand(question)
    stated = claims(query, text) if query is not None else []
    if query is None or not stated:
        return "unparsable"
    if answer(scene.things, query) is None:
        return "unanswerable"
    return "right" if all(is_true(scene, claim) for claim in stated) else "wrong"


def truthfulness(scene: Scene, question: str, text: str) -> float:
    """Share of true statements: those that are stated and true, of all that are stated or should be.

    What should be stated is what the true answer states: in a description presence, number, size, color and place of
    each thing that is there. Text that cannot be understood states nothing that is true.

    Args:
        scene: the truth.
        question: any text.
        text: any text, as the answer.

    Returns:
        A number from 0 to 1: |stated and true| / |stated or true|.
    """
    query = understand(question)
    true_text = answer(scene.things, query) if query is not None else None
    if query is None or true_text is None:
        return 0.0
    # whatever is stated twice, or in another order, counts once
    stated, true = ({(one.attribute, one.about, one.value) for one in claims(query, own)} for own in (text, true_text))
    return len(stated & true) / len(stated | true)


def scene_described(text: str) -> Scene | None:
    """The scene of a description of a sentence about each thing, but for what has no name; None if it is none."""
    stated, things = claims(Query("detail"), text), defaultdict[str, dict[str, str]](dict)
    for one in stated:
        if one.attribute != "presence":
            things[one.about[0]][one.attribute] = one.value
    if not stated or len(stated) != (1 + len(VALUES)) * len(things):
        return None
    return Scene({name: Thing(**values) for name, values in things.items()}, seed=0)
