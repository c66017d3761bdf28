"""AUROC and rank correlations of scores."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lightning_c3l.functional.significance import percentile_interval

Column = Sequence[float] | NDArray[np.integer[Any]]
_CHUNK = 1 << 18


def auroc(scores: Sequence[float], labels: Sequence[bool | int]) -> float:
    """Area under the ROC curve: the probability that a right item scores above a wrong one, ties counted half.

    Args:
        scores: one score an item, any scale.
        labels: 1 or True for right items.

    Returns:
        The area under the ROC curve in [0, 1], nan where all items are right or all wrong.

    Raises:
        ValueError: lengths differ, a score is nan, or a label is neither 0 nor 1.

    Examples:
        Of the four pairs of a right and a wrong item, two are in order and one is tied.

        >>> auroc([1, 2, 3, 3], [0, 1, 0, 1])
        0.625
    """
    values, target = _columns(scores, labels)
    if not ((target == 0) | (target == 1)).all():
        raise ValueError("labels must be 0 or 1")
    right = int(target.sum())
    wrong = len(target) - right
    if not right or not wrong:
        return float("nan")
    # the ranks of the right items, less what they would sum to below all others (Mann and Whitney's U)
    return float(midranks(values)[target == 1].sum() - right * (right + 1) / 2) / (right * wrong)


def auroc_interval(scores: Sequence[float], labels: Sequence[bool | int], samples: int = 200) -> tuple[float, float]:
    """95 % percentile bootstrap interval of `auroc`; right and wrong items are resampled separately.

    Args:
        scores: one score an item, any scale.
        labels: 1 or True for right items, 0 or False for wrong ones; both must occur.
        samples: number of resamples.

    Returns:
        Lower and upper end.

    Raises:
        ValueError: lengths differ, a score is nan, or all items are right or all wrong.
    """
    values, target = _columns(scores, labels)
    right, wrong = values[target == 1], values[target == 0]
    if not len(right) or not len(wrong):
        raise ValueError("an interval needs right and wrong items")

    def resampled(random: np.random.Generator) -> float:
        some = random.choice(right, len(right))
        others = np.sort(random.choice(wrong, len(wrong)))
        # wrong items below each right one, ties counted half
        below = np.searchsorted(others, some, side="left") + np.searchsorted(others, some, side="right")
        return float(below.mean() / (2 * len(others)))

    return percentile_interval(lambda random: np.array([resampled(random) for _ in range(samples)]))


def rank_correlation(x: Column, y: Column) -> float:
    """Spearman's rank correlation, ties at their mean rank.

    Args:
        x: one column; an array of integers is not copied.
        y: the other one, of equal length.

    Returns:
        The correlation in [-1, 1], nan where a column is constant or has fewer than two values.

    Raises:
        ValueError: lengths differ, or a value is nan.
    """
    first, second = (_centred_ranks(column) for column in _columns(x, y))
    with np.errstate(invalid="ignore"):
        correlation = (first @ second) / (np.sqrt(first @ first) * np.sqrt(second @ second))
    return float(correlation.clip(-1, 1))


def rank_correlations(table: NDArray[np.float64]) -> NDArray[np.float64]:
    """Spearman's rank correlation of every two columns, ties at their mean rank.

    Args:
        table: values without nan, `[N, C]`.

    Returns:
        `[C, C]` in float64, in [-1, 1]; nan where a column is constant or there are fewer than two rows.
    """
    centred = np.stack([_centred_ranks(column) for column in table.T], axis=1)
    products = centred.T @ centred
    lengths = np.sqrt(np.diagonal(products))
    with np.errstate(invalid="ignore"):
        correlations: NDArray[np.float64] = products / np.outer(lengths, lengths)
    return correlations.clip(-1, 1)


def _centred_ranks(column: NDArray[Any]) -> NDArray[np.float64]:
    """Rank of each value less the mean rank; equal values share their mean rank."""
    ranks = midranks(column)
    ranks -= (len(ranks) + 1) / 2
    return ranks


def midranks(column: NDArray[Any]) -> NDArray[np.float64]:
    """Rank of each value, from 1; equal values share their mean rank.

    Args:
        column: values without nan, `[N]`.
    """
    ordered, ranks = np.sort(column), np.empty(len(column))
    for start in range(0, len(column), _CHUNK):  # so that millions of values need two more columns, not ten
        some = column[start : start + _CHUNK]
        below, up_to = (np.searchsorted(ordered, some, side) for side in ("left", "right"))
        ranks[start : start + _CHUNK] = (below + up_to + 1) / 2
    return ranks


def _columns(left: Column, right: Column) -> tuple[NDArray[Any], NDArray[Any]]:
    """Both columns `[N]`, in float64 but for arrays of integers, after the checks that every figure here shares."""
    if len(left) != len(right):
        raise ValueError(f"columns must be of equal length, not {len(left)} and {len(right)}")
    columns = tuple(
        one if isinstance(one, np.ndarray) and one.dtype.kind == "i" else np.asarray(one, dtype=np.float64)
        for one in (left, right)
    )
    if any(np.isnan(column).any() for column in columns):
        raise ValueError("a value is nan")
    return columns[0], columns[1]
