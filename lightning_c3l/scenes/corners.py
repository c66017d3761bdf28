"""The world of shapes in corners, whose answers are one statement each."""

from random import Random

from PIL.Image import Image

from lightning_c3l.records import Verdict
from lightning_c3l.rounds.truth import Asked, Statement, whole_answer
from lightning_c3l.scenes.drawing import draw
from lightning_c3l.scenes.language import (
    KINDS,
    Query,
    ask,
    normalise,
    queries,
    true_answer,
    truth,
    understand,
    usual_answer,
)
from lightning_c3l.scenes.world import COLORS, NUMBERS, PLACES, PRIOR, Scene, Thing, sample_scene


def _next(choices: tuple[str, ...], usual: str) -> str:
    return choices[(choices.index(usual) + 1) % len(choices)]


# one color, place and number of each shape that no training image shows if a source hides them; none of them is
# usual, so that they tell what was learnt from what the prior says
HIDDEN = {
    shape: Thing(_next(COLORS, habit.thing.color), _next(PLACES, habit.thing.place), _next(NUMBERS, habit.thing.number))
    for shape, habit in PRIOR.items()
}


class Corners:
    """See `lightning_c3l.scenes.worlds.World`."""

    prefix = "scene"
    kinds = KINDS
    templates = "scenes"
    longest = 32

    def sample(self, seed: int, follow: float) -> Scene:
        """Draw a scene."""
        return sample_scene(seed, follow)

    def draw(self, scene: Scene) -> Image:
        """The image of a scene."""
        return draw(scene)

    def shows_hidden(self, scene: Scene) -> bool:
        """Whether a scene has one of the `HIDDEN` attributes."""
        return any(
            thing.color == HIDDEN[shape].color
            or thing.place == HIDDEN[shape].place
            or thing.number == HIDDEN[shape].number
            for shape, thing in scene.things.items()
        )

    def judge(self, scene: Scene, question: str, answer: str) -> Verdict:
        """Judge a question-answer pair."""
        return truth(scene, question, answer)

    def statements(self, scene: Scene, question: str, answer: str) -> list[Statement]:
        """The answer as one statement; none if it cannot be understood."""
        query = understand(question)
        if query is None:
            return []
        usual = normalise(answer) == usual_answer(query)
        return whole_answer(truth(scene, question, answer), answer, query.kind, usual)

    def questions(self, image: str, scene: Scene, random: Random) -> list[Asked]:
        """One question of each kind."""
        out = list[Asked]()
        for kind in KINDS:
            query = random.choice(queries(scene, kind))
            out.append(_asked(image, scene, query, ask(query, random)))
        return out

    def resolve(self, image: str, scene: Scene, question: str) -> Asked | None:
        """A generated question with its true answer."""
        query = understand(question)
        if query is None or true_answer(scene, query) is None:
            return None
        return _asked(image, scene, query, question)


def _asked(image: str, scene: Scene, query: Query, question: str) -> Asked:
    """The question with its answer; an answer that is one of the `HIDDEN` attributes counts as unseen."""
    answer = str(true_answer(scene, query))
    seen = query.kind == "presence" or answer != getattr(HIDDEN[query.shape], query.kind)
    return Asked(image, query.kind, question, answer, seen)
