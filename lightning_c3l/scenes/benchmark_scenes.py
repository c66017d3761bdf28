"""The images of the embedded world's benchmarks: scenes that no training shows."""

from dataclasses import dataclass
from itertools import count

from lightning_c3l.scenes.world import PRIOR, SHAPES, Scene, sample_scene

# training draws its scenes' seeds below 2^40, the figures of the base come from 2^41 on
FIRST_SEED = 1 << 42
_SEEDS = 1 << 20
# beyond it hardly an image lacks two shapes that the prior expects
MAX_FOLLOW = 0.9
# each image has at least this many shapes to ask for with the answer yes, and as many with the answer no
ASKED_OF_EACH = 2


@dataclass(frozen=True)
class BenchmarkScene:
    """A scene and the file name of its image, from which `data_modules.scenes` draws the scene again."""

    key: str
    scene: Scene

    @property
    def absent(self) -> list[str]:
        """Shapes that are not there."""
        return [shape for shape in SHAPES if shape not in self.scene.things]

    @property
    def missed(self) -> list[str]:
        """Shapes that are not there, though they usually are."""
        return [shape for shape in self.absent if PRIOR[shape].present]


def benchmark_scenes(scenes: int, follow: float, seed: int) -> list[BenchmarkScene]:
    """Scenes about which yes and no can be asked equally often, even where the prior expects a yes.

    Args:
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
        one = BenchmarkScene(f"scene_{number}_{thousandths}.png", sample_scene(number, thousandths / 1000))
        if len(one.scene.things) >= ASKED_OF_EACH and len(one.missed) >= ASKED_OF_EACH:
            found.append(one)
    return found
