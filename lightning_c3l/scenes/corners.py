"""The world of shapes in corners, whose answers are one statement each."""

from collections.abc import Mapping
from random import Random

from PIL.Image import Image

from lightning_c3l.functional.random_streams import stream
from lightning_c3l.records import Verdict
from lightning_c3l.rounds.truth import Asked, Statement, whole_answer
from lightning_c3l.scenes.benchmark_items import Choice, OpenQuestion
from lightning_c3l.scenes.curriculum import INSTRUCTIONS, WRITTEN
from lightning_c3l.scenes.drawing import draw
from lightning_c3l.scenes.language import (
    ANSWERS,
    CAPTION_REQUEST,
    KINDS,
    Query,
    ask,
    caption,
    normalise,
    queries,
    true_answer,
    truth,
    understand,
    usual_answer,
    wordings,
)
from lightning_c3l.scenes.statements import scene_described, truthfulness
from lightning_c3l.scenes.world import COLORS, NUMBERS, PLACES, PRIOR, SHAPES, Scene, Thing, sample_scene


def _next(choices: tuple[str, ...], usual: str) -> str:
    return choices[(choices.index(usual) + 1) % len(choices)]


# one color, place and number of each shape that no training image shows if a source hides them; none of them is
# usual, so that they tell what was learnt from what the prior says
HIDDEN = {
    shape: Thing(_next(COLORS, habit.thing.color), _next(PLACES, habit.thing.place), _next(NUMBERS, habit.thing.number))
    for shape, habit in PRIOR.items()
}
# presence is left out: it has two answers only
_CHOICE_KINDS: Mapping[str, str] = {"color": "attribute", "place": "attribute", "number": "quantity"}


class Corners:
    """See `lightning_c3l.scenes.worlds.World`."""

    prefix = "scene"
    base = "shipped:scenes"
    kinds = KINDS
    templates = "scenes"
    longest = 32
    names = SHAPES
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

    def expects(self, scene: Scene, name: str) -> bool:
        """Whether a shape is usually there, whatever else is."""
        return PRIOR[name].present

    def presence_question(self, name: str, random: Random) -> str:
        """A question whether a shape is there."""
        return ask(Query("presence", name), random)

    def choice(self, scene: Scene, kind: str, random: Random) -> Choice:
        """A question about one attribute, with all values that it can have."""
        query = random.choice(queries(scene, kind))
        truth_here = str(true_answer(scene, query))
        return Choice(tuple(wordings(query)), truth_here, usual_answer(query), ANSWERS[kind])

    def open_questions(self, image: str, scene: Scene, number: int) -> list[OpenQuestion]:
        """Questions of LLaVA-Bench's kinds, in the small language that the LVLM of this world speaks.

        `conv` is one of the world's questions, `detail` a description of the whole image, and `complex` to find a
        question of a kind that the image can answer, and to answer it.
        """
        pairs, kinds = list[tuple[str, str]](), [KINDS[(number + offset) % len(KINDS)] for offset in (0, 1)]
        for kind in kinds:
            random = stream("open", image, kind)
            query = random.choice(queries(scene, kind))
            pairs.append((ask(query, random), str(true_answer(scene, query))))
        written = WRITTEN.format(question=pairs[1][0], answer=pairs[1][1])
        return [
            OpenQuestion("conv", *pairs[0]),
            OpenQuestion("detail", CAPTION_REQUEST, caption(scene)),
            OpenQuestion("complex", INSTRUCTIONS[kinds[1]], written),
        ]

    def describe(self, scene: Scene) -> str:
        """The caption."""
        return caption(scene)

    def described(self, text: str) -> Scene | None:
        """The scene of a caption."""
        return scene_described(text)

    def truthfulness(self, scene: Scene, question: str, answer: str) -> float:
        """Share of true statements; see `lightning_c3l.scenes.statements`."""
        return truthfulness(scene, question, answer)


def _asked(image: str, scene: Scene, query: Query, question: str) -> Asked:
    """The question with its answer; an answer that is one of the `HIDDEN` attributes counts as unseen."""
    answer = str(true_answer(scene, query))
    seen = query.kind == "presence" or answer != getattr(HIDDEN[query.shape], query.kind)
    return Asked(image, query.kind, question, answer, seen)
