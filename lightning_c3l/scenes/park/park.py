"""The park as one of the worlds of drawn scenes."""

from collections.abc import Mapping
from dataclasses import replace
from itertools import product
from random import Random

from PIL.Image import Image

from lightning_c3l.functional.random_streams import stream
from lightning_c3l.records import Verdict
from lightning_c3l.rounds.truth import Asked, Statement
from lightning_c3l.scenes.benchmark_items import Choice, OpenQuestion
from lightning_c3l.scenes.park.drawing import draw
from lightning_c3l.scenes.park.language import (
    KINDS,
    SHORT_KINDS,
    Query,
    answer,
    ask,
    describe,
    queries,
    understand,
    wordings,
)
from lightning_c3l.scenes.park.statements import claims, is_invented, is_true, scene_described, truth, truthfulness
from lightning_c3l.scenes.park.world import PRIOR, THINGS, USUAL, VALUES, Scene, Thing, sample_scene

_HIDEABLE = ("number", "color", "place")


def _next(attribute: str, usual: Thing) -> str:
    choices = VALUES[attribute]
    return choices[(choices.index(getattr(usual, attribute)) + 1) % len(choices)]


# one number, color and place of each thing that no training image shows if a source hides them; none is usual
HIDDEN = {name: {attribute: _next(attribute, usual) for attribute in _HIDEABLE} for name, usual in USUAL.items()}
# for each kind with at least four answers: its wider kind, the form of its questions, and the attribute they turn on
_CHOICES = {
    "number": ("quantity", "number", "number"),
    "color": ("attribute", "color", "color"),
    "place": ("attribute", "place", "place"),
    "relation": ("relation", "side", "place"),
    "reasoning": ("reasoning", "total", "number"),
}
_CHOICE_KINDS: Mapping[str, str] = {kind: wider for kind, (wider, _, _) in _CHOICES.items()}
# kinds of open questions; those of one take turns
_OPEN_KINDS = {"conv": SHORT_KINDS, "detail": ("detail",), "complex": ("reasoning", "relation")}


class Park:
    """See `lightning_c3l.scenes.worlds.World`."""

    prefix = "park"
    base = "shipped:park"
    kinds = KINDS
    templates = "park"
    longest = 96
    names = THINGS
    choice_kinds = _CHOICE_KINDS

    def sample(self, seed: int, follow: float) -> Scene:
        """Draw a scene."""
        return sample_scene(seed, follow)

    def draw(self, scene: Scene) -> Image:
        """The image of a scene."""
        return draw(scene)

    def shows_hidden(self, scene: Scene) -> bool:
        """Whether a scene has one of the `HIDDEN` attributes."""
        return any(
            getattr(thing, attribute) == value
            for name, thing in scene.things.items()
            for attribute, value in HIDDEN[name].items()
        )

    def judge(self, scene: Scene, question: str, answer: str) -> Verdict:
        """Judge a question-answer pair."""
        return truth(scene, question, answer)

    def statements(self, scene: Scene, question: str, answer: str) -> list[Statement]:
        """What the answer states."""
        query = understand(question)
        return [
            Statement(one.start, one.end, one.attribute, is_true(scene, one), is_invented(scene, one))
            for one in (claims(query, answer) if query is not None else [])
        ]

    def questions(self, image: str, scene: Scene, random: Random) -> list[Asked]:
        """One question of each kind."""
        out = list[Asked]()
        for kind in KINDS:
            query = random.choice(queries(scene.things, kind))
            out.append(_asked(image, scene, query, ask(query, random)))
        return out

    def resolve(self, image: str, scene: Scene, question: str) -> Asked | None:
        """A generated question with its true answer."""
        query = understand(question)
        if query is None or answer(scene.things, query) is None:
            return None
        return _asked(image, scene, query, question)

    def expects(self, scene: Scene, name: str) -> bool:
        """Whether a thing is the companion of one that is there."""
        return any(PRIOR[leader].companion == name for leader in scene.things)

    def presence_question(self, name: str, random: Random) -> str:
        """A question whether a thing is there."""
        return ask(Query("presence", (name,)), random)

    def choice(self, scene: Scene, kind: str, random: Random) -> Choice:
        """A question about one or two things, with the answers for all values that their attribute can have."""
        _, form, attribute = _CHOICES[kind]
        query = random.choice([one for one in queries(scene.things, kind) if one.form == form])
        answers = dict.fromkeys(
            _answer_if(scene, query, attribute, values)
            for values in product(VALUES[attribute], repeat=len(query.things))
        )
        true, usual = str(answer(scene.things, query)), str(answer(USUAL, query))
        return Choice(tuple(wordings(query)), true, usual, tuple(answers))

    def open_questions(self, image: str, scene: Scene, number: int) -> list[OpenQuestion]:
        """A short question, a description of all that is there, and a question that takes a comparison."""
        random, out = stream("open", image), list[OpenQuestion]()
        for name, kinds in _OPEN_KINDS.items():
            query = random.choice(queries(scene.things, kinds[number % len(kinds)]))
            out.append(OpenQuestion(name, ask(query, random), str(answer(scene.things, query))))
        return out

    def describe(self, scene: Scene) -> str:
        """A sentence about each thing."""
        return describe(scene.things)

    def described(self, text: str) -> Scene | None:
        """The scene of such sentences."""
        return scene_described(text)

    def truthfulness(self, scene: Scene, question: str, answer: str) -> float:
        """Share of true statements; see `lightning_c3l.scenes.park.statements`."""
        return truthfulness(scene, question, answer)


def _answer_if(scene: Scene, query: Query, attribute: str, values: tuple[str, ...]) -> str:
    """The answer if the things that are asked for had these values of an attribute."""
    things = {
        name: replace(scene.things[name], **{attribute: value})
        for name, value in zip(query.things, values, strict=True)
    }
    return str(answer(things, query))


# which hideable attributes an answer names
_NAMED: Mapping[str, tuple[str, ...]] = {
    **{attribute: (attribute,) for attribute in _HIDEABLE},
    "detail": _HIDEABLE,
    "more": ("number",),
    "total": ("number",),
    "side": ("place",),
    "same": ("color",),
}


def _asked(image: str, scene: Scene, query: Query, question: str) -> Asked:
    """The question with its answer; one that has to name a `HIDDEN` attribute counts as unseen."""
    seen = not any(
        getattr(scene.things[name], attribute) == HIDDEN[name][attribute]
        for name in query.things or tuple(scene.things)
        for attribute in _NAMED.get(query.form, ())
    )
    return Asked(image, query.kind, question, str(answer(scene.things, query)), seen)
