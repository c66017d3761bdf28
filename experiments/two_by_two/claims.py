"""How far sets differ in what they are worth, with intervals over seeds and pictures."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lightning_c3l.functional.significance import percentile_interval

SAMPLES = 2000
# totals `[..., P, K]` -> figure `[...]`
Figure = Callable[[NDArray[np.float64]], NDArray[np.float64]]


@dataclass(frozen=True)
class Difference:
    """A weighted sum of figures of several models.

    Attributes:
        mean: over the seeds.
        low: lower end of the 95 % interval.
        high: upper end.
        by_seed: of each seed.
    """

    mean: float
    low: float
    high: float
    by_seed: tuple[float, ...]

    @property
    def sign(self) -> int:
        """1 or -1 where the interval lies on one side of 0, else 0."""
        return int(self.low > 0) - int(self.high < 0)


def difference(
    counts: Mapping[str, NDArray[np.float64]],
    weights: Mapping[str, float],
    figure: Figure,
    samples: int = SAMPLES,
    seed: int = 0,
) -> Difference:
    """A weighted sum of the figures of models, and its 95 % percentile bootstrap interval.

    Seeds and pictures are both drawn with replacement, each as many as there are. A picture that is drawn is drawn for
    all seeds and models, with all questions about it: so what makes it hard for all of them leaves no trace.

    Args:
        counts: what the questions about each picture add to the sums, `[S, I, P, K]` for S seeds, I pictures and P
            parts that are drawn together, by model.
        weights: of the models, such as 1 and -1.
        figure: from totals over pictures to a figure.
        samples: number of resamples.
        seed: of the resampling.

    Raises:
        ValueError: models differ in seeds or pictures, or there are none.
    """
    shapes = {counts[name].shape for name in weights}
    if len(shapes) != 1:
        raise ValueError(f"all models must have the same seeds and pictures, not {sorted(shapes)}")
    seeds, pictures = shapes.pop()[:2]
    if not seeds or not pictures:
        raise ValueError("a difference needs at least one seed and one picture")

    def resampled(random: np.random.Generator) -> NDArray[np.float64]:
        drawn = random.multinomial(pictures, [1 / pictures] * pictures, size=samples).astype(np.float64)
        shares = random.multinomial(seeds, [1 / seeds] * seeds, size=samples) / seeds
        # [resamples, pictures] with [seeds, pictures, P, K]: [resamples, seeds, P, K]
        figures = [weight * figure(np.tensordot(drawn, counts[name], axes=(1, 1))) for name, weight in weights.items()]
        return np.asarray((sum(figures) * shares).sum(1))

    low, high = percentile_interval(resampled, seed)
    by_seed = np.asarray(sum(weight * figure(counts[name].sum(1)) for name, weight in weights.items()))
    return Difference(float(by_seed.mean()), low, high, tuple(by_seed.tolist()))


# what is weighed against what: the claim first, then the two main effects
CLAIM = "tuned-top - starting-random"
CONTRASTS: Mapping[str, Mapping[str, float]] = {
    CLAIM: {"tuned-top": 1, "starting-random": -1},
    "writer: tuned - starting": {
        "tuned-top": 0.5,
        "tuned-random": 0.5,
        "starting-top": -0.5,
        "starting-random": -0.5,
    },
    "selection: top - random": {
        "tuned-top": 0.5,
        "starting-top": 0.5,
        "tuned-random": -0.5,
        "starting-random": -0.5,
    },
    "tuned-top-even - starting-random": {"tuned-top-even": 1, "starting-random": -1},
}
