"""The images of the embedded worlds' benchmarks: scenes that no training shows."""

from dataclasses import dataclass
from itertools import count
from typing import Any

from lightning_c3l.scenes.worlds import World

# training draws its scenes' seeds below 2^40, the figures of the base come from 2^41 on
FIRST_SEED = 1 << 42
_SEEDS = 1 << 20
# beyond it hardly an image lacks two things that the prior expects
MAX_FOLLOW = 0.9
# each image has at least this many things to ask for with the answer yes, and as many with the answer no
ASKED_OF_EACH = 2


@dataclass(frozen=True)
class BenchmarkScene:
    """A scene of a world, and the file name of its image, from which `data_modules.scenes` draws the scene again."""

    key: str
    scene: Any
    world: World

    @property
    def absent(self) -> list[str]:
        """Things that are not there."""
        return [name for name in self.world.names if name not in self.scene.things]

    @property
    def missed(self) -> list[str]:
        """Things that are not there, though the prior expects them."""
        return [name for name in self.absent if self.world.expects(self.scene, name)]


def benchmark_scenes(world: World, scenes: int, follow: float, seed: int) -> list[BenchmarkScene]:
    """Scenes about which yes and no can be asked equally often, even where the prior expects a yes.

    Args:
        world: what they are drawn from.
        scenes: number of scenes.
        follow: probability with which each attribute obeys the prior.
        seed: sets of different seeds have no scene in common.

    Raises:
        ValueError: an argument is out of range.
    """
    if scenes < 1 or not 0 <= seed < _SEEDS:
        raise ValueError(f"scenes must be at least 1 and seed from 0 to {_SEEDS - 1}, not {scenes} and {seed}")
    if not 0 <= follow <= MAX_FOLLOW:
        raise ValueError(
            f"follow must lie between 0 and {MAX_FOLLOW}, not {follow}: adversarial questions need images that lack "
            "what the prior expects"
        )
    thousandths = round(1000 * follow)
    found, numbers = list[BenchmarkScene](), count(FIRST_SEED + (seed << 32))
    while len(found) < scenes:
        number = next(numbers)
        key, scene = f"{world.prefix}_{number}_{thousandths}.png", world.sample(number, thousandths / 1000)
        one = BenchmarkScene(key, scene, world)
        if len(scene.things) >= ASKED_OF_EACH and len(one.missed) >= ASKED_OF_EACH:
            found.append(one)
    return found
