"""AUROC, and precision at kept fractions, of scores of weighted items, for many resamples at once."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Interval:
    """A figure with its 95 % percentile bootstrap interval; nan where it has no value."""

    value: float
    low: float
    high: float


class Ranking:
    """N items in the order of a score, the highest first; those with equal scores stand together.

    Args:
        scores: one score an item, [N].
        labels: whether each item is right, [N].
    """

    def __init__(self, scores: Floats, labels: NDArray[np.bool_]) -> None:
        self._order = np.argsort(-scores, kind="stable")
        ordered = scores[self._order]
        self._starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
        self._labels = labels[self._order].astype(np.float64)

    def _sums(self, weights: Floats) -> tuple[Floats, Floats]:
        """Weight of right and of all items of each group of equal scores, both [S, G]."""
        own = weights[:, self._order]
        right = np.add.reduceat(own * self._labels, self._starts, axis=1)
        return right, np.add.reduceat(own, self._starts, axis=1)

    def pairs(self, weights: Floats) -> Floats:
        """Pairs of a right and a wrong item in which the right one scores higher, ties counted half, and all pairs.

        Args:
            weights: of the items in each of S resamples, [S, N].

        Returns:
            Both numbers of each resample, [2, S].
        """
        right, total = self._sums(weights)
        wrong = total - right
        # wrong items below each group: all of them less those up to it
        below = wrong.sum(axis=1, keepdims=True) - np.cumsum(wrong, axis=1)
        return np.stack([(right * (below + wrong / 2)).sum(axis=1), right.sum(axis=1) * wrong.sum(axis=1)])

    def auroc(self, weights: Floats) -> Floats:
        """Probability that a right item scores above a wrong one, ties counted half.

        Args:
            weights: as for `pairs`.

        Returns:
            One value a resample, [S]; nan where all items are right or all wrong.
        """
        return share(self.pairs(weights))

    def precision(self, weights: Floats, kept: float) -> Floats:
        """Share of right items among the best; of equal scores at the limit the same share of each.

        Args:
            weights: as for `pairs`.
            kept: share of the items that are kept.

        Returns:
            One value a resample, [S].
        """
        right, total = (np.cumsum(column, axis=1) for column in self._sums(weights))
        sizes = kept * total[:, -1]
        zero = np.zeros(1)
        rows = zip(sizes, total, right, strict=True)
        found = [np.interp(size, np.r_[zero, all_], np.r_[zero, good]) for size, all_, good in rows]
        return np.asarray(found) / sizes


def share(parts: Floats) -> Floats:
    """The first of two numbers over the second, [2, S] to [S]; nan where that is 0."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(parts[0] / parts[1])


def best_of_groups(scores: Floats, values: Floats, groups: NDArray[np.int64]) -> Floats:
    """Value of the best item of each of G groups; of equal scores the mean.

    Args:
        scores: one score an item, [N].
        values: one value an item, [N].
        groups: number of the group of each item, 0 to G - 1, each there, [N].
    """
    best = np.full(groups.max() + 1, -np.inf)
    np.maximum.at(best, groups, scores)
    first = scores == best[groups]
    return np.asarray(np.bincount(groups, first * values) / np.bincount(groups, first))


def resamples(images: Sequence[str], samples: int, seed: int = 0) -> Floats:
    """Weights of items if images are drawn with replacement, as many as there are: [1 + S, N], the first all ones.

    Args:
        images: of each item.
        samples: number of resamples.
        seed: of the draw.
    """
    names, number = np.unique(np.asarray(images), return_inverse=True)
    random = np.random.default_rng(seed)
    drawn = random.multinomial(len(names), [1 / len(names)] * len(names), size=samples)
    return np.concatenate([np.ones((1, len(names))), drawn])[:, number].astype(np.float64)


def interval(values: Floats) -> Interval:
    """The figure of all items, which is the first value, with the interval of the others, as `resamples` has them."""
    known = values[1:][np.isfinite(values[1:])]
    if not np.isfinite(values[0]) or not len(known):
        return Interval(float(values[0]), float("nan"), float("nan"))
    low, high = np.quantile(known, [0.025, 0.975]).tolist()
    return Interval(float(values[0]), low, high)
