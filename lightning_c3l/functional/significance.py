"""Bootstrap intervals of figures of benchmarks and of trained models, and McNemar's test of two answer files.

Benchmarks report F1s and ratios besides means, so sums are resampled and the figure is computed from them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

SAMPLES = 1000
SEED = 0

# totals `[..., P, K]` -> figure `[...]`
Figure = Callable[[NDArray[np.float64]], NDArray[np.float64]]


def percentile_interval(resample: Callable[[np.random.Generator], NDArray[np.float64]]) -> tuple[float, float]:
    """95 % percentile interval of a bootstrap: the quantiles 0.025 and 0.975 of a figure over resamples.

    Always drawn from `SEED`, so that equal figures have equal intervals.

    Args:
        resample: draws the resamples and returns the figure of each, `[samples]`.

    Returns:
        Lower and upper end; nan where a resample has no figure.
    """
    low, high = np.quantile(resample(np.random.default_rng(SEED)), [0.025, 0.975]).tolist()
    return low, high


def bootstrap_interval(parts: Sequence[NDArray[Any]], figure: Figure, samples: int = SAMPLES) -> tuple[float, float]:
    """95 % percentile bootstrap interval of a figure computed from sums over questions.

    Questions are drawn with replacement, N_p from the N_p of each part. Equal questions are drawn together by a
    multinomial, which gives the same distribution and takes no time on a large benchmark.

    Args:
        parts: the summands of each question, `[N_p, K]` for each of P parts.
        figure: from the totals of all parts, `[..., P, K]`, to `[...]`.
        samples: number of resamples.

    Returns:
        Lower and upper end; nan where a resample has no figure.

    Raises:
        ValueError: there is no question, or no sample is asked for.
    """
    if samples < 1:
        raise ValueError(f"samples must be at least 1, not {samples}")
    if not sum(len(part) for part in parts):
        raise ValueError("a bootstrap needs at least one question")

    def resampled(random: np.random.Generator) -> NDArray[np.float64]:
        return figure(np.stack([_resampled(part.astype(np.float64), samples, random) for part in parts], axis=1))

    return percentile_interval(resampled)


def paired_interval(
    ours: Sequence[NDArray[Any]],
    theirs: Sequence[NDArray[Any]],
    figure: Figure,
    samples: int = SAMPLES,
) -> tuple[float, float]:
    """`bootstrap_interval` of the difference of a figure between two sides, drawn question by question together.

    Args:
        ours: as `parts` of `bootstrap_interval`.
        theirs: the same of the other side, question by question.
        figure: from totals to the figure of one side.
        samples: number of resamples.

    Returns:
        Lower and upper end of ours - theirs.

    Raises:
        ValueError: the sides differ in length, or as for `bootstrap_interval`.
    """
    lengths = [[len(part) for part in side] for side in (ours, theirs)]
    if lengths[0] != lengths[1]:
        raise ValueError(f"both sides must have the same questions, not {lengths[0]} and {lengths[1]} of them")
    width = ours[0].shape[1]
    both = [np.concatenate([left, right], axis=1) for left, right in zip(ours, theirs, strict=True)]
    return bootstrap_interval(both, lambda sums: figure(sums[..., :width]) - figure(sums[..., width:]), samples)


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
    def verdict(self) -> str:
        """On which side of 0 the interval lies."""
        return "above 0" if self.low > 0 else "below 0" if self.high < 0 else "not told from 0"


def difference(
    counts: Mapping[str, NDArray[np.float64]],
    weights: Mapping[str, float],
    figure: Figure,
    samples: int = 2000,
) -> Difference:
    """A weighted sum of the figures of models, and its 95 % percentile bootstrap interval.

    Seeds and images are both drawn with replacement, each as many as there are. An image is drawn for all seeds and
    models at once, with all questions about it: what makes it hard for all of them cancels out.

    Args:
        counts: what the questions about each image add to the sums, `[S, I, P, K]` for S seeds, I images and P parts
            that are drawn together, by model.
        weights: of the models, such as 1 and -1.
        figure: from totals over images, `[..., P, K]`, to a figure, `[...]`.
        samples: number of resamples.

    Raises:
        ValueError: models differ in seeds or images, or there are none.
    """
    shapes = {counts[name].shape for name in weights}
    if len(shapes) != 1:
        raise ValueError(f"all models must have the same seeds and images, not {sorted(shapes)}")
    seeds, images = shapes.pop()[:2]
    if not seeds or not images:
        raise ValueError("a difference needs at least one seed and one image")

    def resampled(random: np.random.Generator) -> NDArray[np.float64]:
        drawn = random.multinomial(images, [1 / images] * images, size=samples).astype(np.float64)
        shares = random.multinomial(seeds, [1 / seeds] * seeds, size=samples) / seeds
        # [resamples, images] with [seeds, images, P, K]: [resamples, seeds, P, K]
        figures = [weight * figure(np.tensordot(drawn, counts[name], axes=(1, 1))) for name, weight in weights.items()]
        return np.asarray((sum(figures) * shares).sum(1))

    low, high = percentile_interval(resampled)
    by_seed = np.asarray(sum(weight * figure(counts[name].sum(1)) for name, weight in weights.items()))
    return Difference(float(by_seed.mean()), low, high, tuple(by_seed.tolist()))


def mcnemar(ours: NDArray[np.bool_], theirs: NDArray[np.bool_]) -> float:
    """Exact two-sided McNemar test on the discordant pairs (binomial, p = 0.5).

    Args:
        ours: whether each question is right, `[N]`.
        theirs: the same of the other side, `[N]`.

    Returns:
        The p value: twice the lower tail, at most 1; 1 where the sides never differ.

    Raises:
        ValueError: lengths differ.

    Examples:
        Ours alone is right on 3 questions, theirs on none: 2 * (1/2)^3.

        >>> mcnemar(np.array([True, True, True, False]), np.array([False, False, False, False]))
        0.25
    """
    if ours.shape != theirs.shape:
        raise ValueError(f"both sides must have the same questions, not {len(ours)} and {len(theirs)} of them")
    only_ours, only_theirs = int((ours & ~theirs).sum()), int((theirs & ~ours).sum())
    differing, fewer = only_ours + only_theirs, min(only_ours, only_theirs)
    # whole numbers of any size: no rounding, however many questions there are
    ways = ways_up_to = 1
    for heads in range(fewer):
        ways = ways * (differing - heads) // (heads + 1)
        ways_up_to += ways
    p: float = 2 * ways_up_to / 2**differing
    return min(1.0, p)


def _resampled(part: NDArray[np.float64], samples: int, random: np.random.Generator) -> NDArray[np.float64]:
    """Totals of resamples, `[samples, K]`."""
    if not len(part):
        return np.zeros((samples, part.shape[1]))
    sorts, counts = np.unique(part, axis=0, return_counts=True)
    totals: NDArray[np.float64] = random.multinomial(len(part), counts / len(part), size=samples) @ sorts
    return totals
