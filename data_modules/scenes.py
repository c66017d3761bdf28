"""Images and training records of the embedded worlds."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from PIL.Image import Image

from lightning_c3l import extensions
from lightning_c3l.extensions import is_path
from lightning_c3l.functional.random_streams import stream
from lightning_c3l.lvlm.samples import TuningSample
from lightning_c3l.records import Verdict
from lightning_c3l.rounds.truth import Asked, Statement
from lightning_c3l.scenes import curriculum as corners
from lightning_c3l.scenes.curriculum import Curriculum
from lightning_c3l.scenes.park import curriculum as park
from lightning_c3l.scenes.park.curriculum import ParkCurriculum
from lightning_c3l.scenes.worlds import WORLDS, RoundWorld

# those of the user's own come in when an option names them
_BY_PREFIX: dict[str, RoundWorld] = {world.prefix: world for world in WORLDS.values()}


def scene_of(key: str) -> tuple[RoundWorld, Any]:
    """The scene behind an image key, with its world.

    Raises:
        ValueError: the key belongs to no embedded world.
    """
    try:
        prefix, seed, follow = Path(key).stem.rsplit("_", 2)
        world = _BY_PREFIX[prefix]
        return world, world.sample(int(seed), int(follow) / 1000)
    except (KeyError, ValueError) as error:
        raise ValueError(f"{key} is not an image of an embedded world; for others set data.truth to null") from error


class SceneImages:
    """An image source of drawn scenes.

    Args:
        count: number of scenes.
        follow: probability with which each attribute follows the prior.
        seed: scenes of different seeds have nothing in common.
        hide: leave out scenes that show one of the attributes that the world hides from training.
        world: name of the world, `corners` or `park`, or module.Class of the user's own.

    Raises:
        ValueError: `count` or `follow` is out of range, or there is no such world.
    """

    root: Path | None = None

    def __init__(
        self, count: int, follow: float = 0.2, seed: int = 0, hide: bool = False, world: str = "corners"
    ) -> None:
        if count < 1:
            raise ValueError(f"count must be at least 1, not {count}")
        if not 0 <= follow <= 1:
            raise ValueError(f"follow must lie between 0 and 1, not {follow}")
        self._world = _world(world)
        thousandths = round(1000 * follow)
        self._keys = list[str]()
        random = stream("scenes", seed)
        while len(self._keys) < count:
            key = f"{self._world.prefix}_{random.getrandbits(40)}_{thousandths}.png"
            if not (hide and self._world.shows_hidden(scene_of(key)[1])):
                self._keys.append(key)

    def keys(self) -> Sequence[str]:
        """Names of the scenes, in drawing order."""
        return self._keys

    def read(self, key: str) -> Image:
        """Draw a scene."""
        # the processes of a loader know no world of the user's own but this one
        _BY_PREFIX.setdefault(self._world.prefix, self._world)
        world, scene = scene_of(key)
        return world.draw(scene)


def _world(name: str) -> RoundWorld:
    """The world of a name; one of the user's own is known to `scene_of` from then on."""
    if name in WORLDS:
        return WORLDS[name]
    world: RoundWorld = extensions.choose("world", name, WORLDS, "world", extensions.takes(()))()
    needed = [one for one in vars(RoundWorld) if not one.startswith("_")]
    if missing := [one for one in needed if not hasattr(world, one)]:
        raise ValueError(extensions.misfit("world", name, "world", f"it has no {', '.join(missing)}"))
    known = type(_BY_PREFIX.get(world.prefix, world))
    if (known.__module__, known.__qualname__) != (type(world).__module__, type(world).__qualname__):
        raise ValueError(f"world {name}: its prefix {world.prefix!r} is that of {known.__name__}; take another")
    _BY_PREFIX[world.prefix] = world
    return world


def is_own_world(spec: str) -> bool:
    """Whether a spec names scenes of a world of the user's own."""
    names = (part.partition("=")[2] for part in spec.removeprefix("scenes:").split(",") if part.startswith("world="))
    return is_scenes(spec) and any(map(is_path, names))


def is_scenes(spec: str) -> bool:
    """Whether a spec names scenes of an embedded world."""
    return spec.startswith("scenes:")


def parse_scenes(spec: str) -> SceneImages:
    """Parse `scenes:world=park,count=400,follow=0.2,seed=1,hide=true`, of which all but `count` may be left out.

    Raises:
        ValueError: names the part that is not an option of `SceneImages`.
    """
    readers: dict[str, Callable[[str], Any]] = {
        "count": int,
        "follow": float,
        "seed": int,
        "hide": {"true": True, "false": False}.__getitem__,
        "world": str,
    }
    options = dict[str, Any]()
    for part in spec.removeprefix("scenes:").split(","):
        name, _, value = part.partition("=")
        try:
            options[name] = readers[name](value)
        except (KeyError, ValueError) as error:
            raise ValueError(
                f"{spec}: {part!r} is not an option; known are count=N, follow=0..1, seed=N, hide=true|false and "
                f"world={'|'.join(WORLDS)}|module.Class"
            ) from error
    if "count" not in options:
        raise ValueError(f"{spec}: count is missing, as in scenes:count=100")
    try:
        return SceneImages(**options)
    except ValueError as error:
        raise ValueError(f"{spec}: {error}") from error


class SceneTruth:
    """The truth about every image of the embedded worlds; see `lightning_c3l.rounds.truth.Truth`."""

    def judge(self, image: str, question: str, answer: str) -> Verdict:
        """Judge a generated pair."""
        world, scene = scene_of(image)
        return world.judge(scene, question, answer)

    def statements(self, image: str, question: str, answer: str) -> list[Statement]:
        """What an answer states, in its order."""
        world, scene = scene_of(image)
        return world.statements(scene, question, answer)

    def questions(self, images: Sequence[str]) -> list[Asked]:
        """One question of each kind for each image."""
        out = list[Asked]()
        for image in images:
            world, scene = scene_of(image)
            out += world.questions(image, scene, stream("questions", image))
        return out

    def resolve(self, image: str, question: str) -> Asked | None:
        """A generated question with its true answer; None if it cannot be understood or has none."""
        world, scene = scene_of(image)
        return world.resolve(image, scene, question)


class SceneRecords:
    """The records that the base LVLM of the corners is trained on, made on access.

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
        return self._record(index)

    def _record(self, index: int) -> TuningSample:
        return corners.record(index, self.count, self.curriculum, self.seed)

    def name(self, index: int) -> str:
        """What a record is called in the list of rejected ones."""
        return f"scene record {index}"


class ParkRecords(SceneRecords):
    """The records that the base LVLM of the park is trained on; see `SceneRecords`."""

    def __init__(self, count: int, seed: int = 0, curriculum: ParkCurriculum = ParkCurriculum()) -> None:  # noqa: B008
        self.count, self.seed, self._mix = count, seed, curriculum

    def _record(self, index: int) -> TuningSample:
        return park.record(index, self.count, self._mix, self.seed)
