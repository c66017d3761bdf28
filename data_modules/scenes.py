"""Images and training records of the embedded world."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from PIL.Image import Image

from lightning_c3l.functional.random_streams import stream
from lightning_c3l.lvlm.samples import TuningSample
from lightning_c3l.records import Verdict
from lightning_c3l.rounds.truth import Asked
from lightning_c3l.scenes.curriculum import Curriculum, record
from lightning_c3l.scenes.drawing import draw
from lightning_c3l.scenes.language import KINDS, Query, ask, queries, true_answer, truth, understand
from lightning_c3l.scenes.world import COLORS, NUMBERS, PLACES, PRIOR, Scene, Thing, sample_scene


def _next(choices: tuple[str, ...], usual: str) -> str:
    return choices[(choices.index(usual) + 1) % len(choices)]


# one color, place and number of each shape that no training image shows if a source hides them; none of them is
# usual, so that they tell what was learnt from what the prior says
HIDDEN = {
    shape: Thing(_next(COLORS, habit.thing.color), _next(PLACES, habit.thing.place), _next(NUMBERS, habit.thing.number))
    for shape, habit in PRIOR.items()
}


def shows_hidden(scene: Scene) -> bool:
    """Whether a scene has one of the `HIDDEN` attributes."""
    return any(
        thing.color == HIDDEN[shape].color or thing.place == HIDDEN[shape].place or thing.number == HIDDEN[shape].number
        for shape, thing in scene.things.items()
    )


def scene_of(key: str) -> Scene:
    """The scene behind an image key of this world.

    Raises:
        ValueError: the key does not belong to this world.
    """
    try:
        name, seed, follow = Path(key).stem.split("_")
        if name != "scene":
            raise ValueError(name)
        return sample_scene(int(seed), int(follow) / 1000)
    except ValueError as error:
        raise ValueError(f"{key} is not an image of the embedded world; for others set data.truth to null") from error


class SceneImages:
    """An image source of drawn scenes.

    Args:
        count: number of scenes.
        follow: probability with which each attribute follows the prior.
        seed: scenes of different seeds have nothing in common.
        hide: leave out scenes that show one of the `HIDDEN` attributes.

    Raises:
        ValueError: `count` or `follow` is out of range.
    """

    root: Path | None = None

    def __init__(self, count: int, follow: float = 0.2, seed: int = 0, hide: bool = False) -> None:
        if count < 1:
            raise ValueError(f"count must be at least 1, not {count}")
        if not 0 <= follow <= 1:
            raise ValueError(f"follow must lie between 0 and 1, not {follow}")
        thousandths = round(1000 * follow)
        self._keys = list[str]()
        random = stream("scenes", seed)
        while len(self._keys) < count:
            key = f"scene_{random.getrandbits(40)}_{thousandths}.png"
            if not (hide and shows_hidden(scene_of(key))):
                self._keys.append(key)

    def keys(self) -> Sequence[str]:
        """Names of the scenes, in drawing order."""
        return self._keys

    def read(self, key: str) -> Image:
        """Draw a scene."""
        return draw(scene_of(key))


def is_scenes(spec: str) -> bool:
    """Whether a spec names scenes of this world."""
    return spec.startswith("scenes:")


def parse_scenes(spec: str) -> SceneImages:
    """Parse `scenes:count=400,follow=0.2,seed=1,hide=true`, of which all but `count` may be left out.

    Raises:
        ValueError: names the part that is not an option of `SceneImages`.
    """
    readers: dict[str, Callable[[str], Any]] = {
        "count": int,
        "follow": float,
        "seed": int,
        "hide": {"true": True, "false": False}.__getitem__,
    }
    options = dict[str, Any]()
    for part in spec.removeprefix("scenes:").split(","):
        name, _, value = part.partition("=")
        try:
            options[name] = readers[name](value)
        except (KeyError, ValueError) as error:
            raise ValueError(
                f"{spec}: {part!r} is not an option; known are count=N, follow=0..1, seed=N and hide=true|false"
            ) from error
    if "count" not in options:
        raise ValueError(f"{spec}: count is missing, as in scenes:count=100")
    try:
        return SceneImages(**options)
    except ValueError as error:
        raise ValueError(f"{spec}: {error}") from error


class SceneTruth:
    """The truth about every image of this world; see `lightning_c3l.rounds.truth.Truth`."""

    def judge(self, image: str, question: str, answer: str) -> Verdict:
        """Judge a generated pair."""
        return truth(scene_of(image), question, answer)

    def questions(self, images: Sequence[str]) -> list[Asked]:
        """One question of each kind for each image."""
        out = list[Asked]()
        for image in images:
            scene, random = scene_of(image), stream("questions", image)
            for kind in KINDS:
                query = random.choice(queries(scene, kind))
                out.append(_asked(image, scene, query, ask(query, random)))
        return out

    def resolve(self, image: str, question: str) -> Asked | None:
        """A generated question with its true answer; None if it cannot be understood or has none."""
        query, scene = understand(question), scene_of(image)
        if query is None or true_answer(scene, query) is None:
            return None
        return _asked(image, scene, query, question)


def _asked(image: str, scene: Scene, query: Query, question: str) -> Asked:
    """The question with its answer; an answer that is one of the `HIDDEN` attributes counts as unseen."""
    answer = str(true_answer(scene, query))
    seen = query.kind == "presence" or answer != getattr(HIDDEN[query.shape], query.kind)
    return Asked(image, query.kind, question, answer, seen)


class SceneRecords:
    """The records that the base LVLM is trained on, made on access.

    Args:
        count: number of records; their order is the curriculum, so they must not be shuffled.
        seed: seed of all records.
        curriculum: shares of the kinds of records.
    """

    def __init__(self, count: int, seed: int = 0, curriculum: Curriculum = Curriculum()) -> None:  # noqa: B008
        self.count, self.seed, self.curriculum = count, seed, curriculum

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> TuningSample:
        if not 0 <= index < self.count:
            raise IndexError(index)
        return record(index, self.count, self.curriculum, self.seed)

    def name(self, index: int) -> str:
        """What a record is called in the list of rejected ones."""
        return f"scene record {index}"
