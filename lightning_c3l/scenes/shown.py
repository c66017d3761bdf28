"""The images of the world's own benchmarks: scenes that no training shows."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count, islice

from lightning_c3l.scenes.world import PRIOR, SHAPES, Scene, sample_scene

# training draws its scenes' seeds below 2^40, the figures of the base come from 2^41 on
FIRST_SEED = 1 << 42
_SEEDS = 1 << 20
# beyond it hardly an image lacks two shapes that the prior expects
MOST_USUAL = 0.9
# shapes that are there and shapes that are not, of which each image has so many at least
ASKED_OF_EACH = 2


@dataclass(frozen=True)
class Shown:
    """A scene and the name of its image, from which the scene can be drawn again."""

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


def benchmark_scenes(scenes: int, follow: float, seed: int) -> list[Shown]:
    """Scenes about which yes and no can be asked equally often, also where the prior expects a yes.

    Args:
        scenes: how many.
        follow: probability with which each attribute obeys the prior.
        seed: sets of different seeds have no scene in common.

    Raises:
        ValueError: if there are no such scenes.
    """
    if scenes < 1 or not 0 <= seed < _SEEDS:
        raise ValueError(f"scenes must be at least 1 and seed from 0 to {_SEEDS - 1}, not {scenes} and {seed}")
    if not 0 <= follow <= MOST_USUAL:
        raise ValueError(
            f"follow must lie between 0 and {MOST_USUAL}, not {follow}: adversarial questions need images that lack "
            "what the prior expects"
        )
    return list(islice((one for one in _drawn(follow, seed) if _is_askable(one)), scenes))


def _drawn(follow: float, seed: int) -> Iterator[Shown]:
    """All scenes of a seed; their names are those of `data_modules.scenes`."""
    thousandths = round(1000 * follow)
    for number in count(FIRST_SEED + (seed << 32)):
        yield Shown(f"scene_{number}_{thousandths}.png", sample_scene(number, thousandths / 1000))


def _is_askable(shown: Shown) -> bool:
    return len(shown.scene.things) >= ASKED_OF_EACH and len(shown.missed) >= ASKED_OF_EACH
