"""The park as one of the worlds of drawn scenes."""

from collections.abc import Mapping
from random import Random

from PIL.Image import Image

from lightning_c3l.records import Verdict
from lightning_c3l.rounds.truth import Asked, Statement
from lightning_c3l.scenes.park.drawing import draw
from lightning_c3l.scenes.park.language import KINDS, Query, answer, ask, queries, understand
from lightning_c3l.scenes.park.statements import claims, is_invented, is_true, truth
from lightning_c3l.scenes.park.world import USUAL, VALUES, Scene, Thing, sample_scene

_HIDEABLE = ("number", "color", "place")


def _next(attribute: str, usual: Thing) -> str:
    choices = VALUES[attribute]
    return choices[(choices.index(getattr(usual, attribute)) + 1) % len(choices)]


# one number, color and place of each thing that no training image shows if a source hides them; none is usual
HIDDEN = {name: {attribute: _next(attribute, usual) for attribute in _HIDEABLE} for name, usual in USUAL.items()}


class Park:
    """See `lightning_c3l.scenes.worlds.World`."""

    prefix = "park"
    kinds = KINDS
    templates = "park"
    longest = 96

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
