"""How well a score ranks, how two columns go together, and how sure a difference is."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torchmetrics.functional.classification import binary_auroc

# Resamples drawn at once: bounds the memory of a bootstrap over a large benchmark.
_AT_ONCE = 100


def auroc(scores: Sequence[float], labels: Sequence[bool | int]) -> float:
    """Chance that a right item scores above a wrong one, ties counted half.

    Args:
        scores: one score an item, any scale.
        labels: 1 or True for right items.

    Returns:
        The area under the ROC curve in [0, 1], nan where all items are right or all wrong.

    Raises:
        ValueError: lengths differ, a score is nan, or a label is neither 0 nor 1.
    """
    values, target = _columns(scores, labels)
    if not bool(((target == 0) | (target == 1)).all()):
        raise ValueError("labels must be 0 or 1")
    if _constant(target):
        return float("nan")
    # torchmetrics puts a float32 sigmoid over scores outside [0, 1], which turns large ones into ties. Ranks
    # say the same to the area, and lie in [0, 1].
    ranks = torch.searchsorted(values.sort().values, values)
    return float(binary_auroc(ranks / len(ranks), target.long()))


def auroc_interval(
    scores: Sequence[float], labels: Sequence[bool | int], samples: int = 200, seed: int = 0
) -> tuple[float, float]:
    """95 % percentile bootstrap interval of `auroc`; right and wrong items are drawn apart, as many as there are.

    Args:
        scores: one score an item, any scale.
        labels: 1 or True for right items; both sorts must be there.
        samples: number of resamples.
        seed: of the resampling.

    Returns:
        Lower and upper end.

    Raises:
        ValueError: lengths differ, a score is nan, or all items are right or all wrong.
    """
    values, target = _columns(scores, labels)
    right, wrong = values[target == 1], values[target == 0]
    if not len(right) or not len(wrong):
        raise ValueError("an interval needs right and wrong items")
    generator = torch.Generator().manual_seed(seed)
    drawn = []
    for _ in range(samples):
        some = right[torch.randint(len(right), (len(right),), generator=generator)]
        others = wrong[torch.randint(len(wrong), (len(wrong),), generator=generator)].sort().values
        # wrong items below each right one, ties counted half
        below = torch.searchsorted(others, some, right=False) + torch.searchsorted(others, some, right=True)
        drawn.append(below.double().mean() / (2 * len(others)))
    low, high = torch.stack(drawn).quantile(torch.tensor([0.025, 0.975], dtype=torch.float64)).tolist()
    return low, high


def rank_correlation(x: Sequence[float], y: Sequence[float]) -> float:
    """Spearman's rank correlation, ties at their mean rank.

    Args:
        x: one column.
        y: the other one, of equal length.

    Returns:
        The correlation in [-1, 1], nan where a column is constant or has fewer than two values.

    Raises:
        ValueError: lengths differ, or a value is nan.
    """
    return float(rank_correlations(torch.stack(_columns(x, y), dim=1))[0, 1])


def rank_correlations(table: Tensor) -> Tensor:
    """Spearman's rank correlation of every two columns, ties at their mean rank.

    Args:
        table: values without nan, `[N, C]`.

    Returns:
        `[C, C]` in float64, in [-1, 1]; nan where a column is constant or there are fewer than two rows.
    """
    ranks = torch.empty(table.shape, dtype=torch.float64)
    for place, column in enumerate(table.unbind(1)):
        _, inverse, counts = torch.unique(column, return_inverse=True, return_counts=True)
        ranks[:, place] = (counts.cumsum(0) - (counts - 1) / 2)[inverse]
    centred = ranks - ranks.mean(dim=0)
    # n: row, c and d: columns
    products = torch.einsum("nc,nd->cd", centred, centred)
    lengths = products.diagonal().sqrt()
    return (products / (lengths[:, None] * lengths[None, :])).clamp(-1, 1)


def paired_bootstrap(
    a: Sequence[float], b: Sequence[float], samples: int = 2000, seed: int = 0
) -> tuple[float, float, float]:
    """Mean difference of paired values and its 95 % percentile bootstrap interval.

    Args:
        a: values of one side, such as one a question.
        b: values of the other side, paired with `a`.
        samples: number of resamples of the pairs, at least 1.
        seed: of the resampling.

    Returns:
        Mean of a - b, lower and upper end of the interval.

    Raises:
        ValueError: lengths differ, a value is nan, there is no pair, or no sample is asked for.
    """
    left, right = _columns(a, b)
    if not len(left):
        raise ValueError("a bootstrap needs at least one pair")
    if samples < 1:
        raise ValueError(f"samples must be at least 1, not {samples}")
    difference = left - right
    generator = torch.Generator().manual_seed(seed)
    sizes = [min(_AT_ONCE, samples - start) for start in range(0, samples, _AT_ONCE)]
    draws = [torch.randint(len(left), (size, len(left)), generator=generator) for size in sizes]
    means = torch.cat([difference[draw].mean(dim=1) for draw in draws])
    low, high = means.quantile(torch.tensor([0.025, 0.975], dtype=means.dtype)).tolist()
    return float(difference.mean()), low, high


def _constant(column: Tensor) -> bool:
    """Whether there are no two different values."""
    return bool((column == column[:1]).all())


def _columns(left: Sequence[float], right: Sequence[float]) -> tuple[Tensor, Tensor]:
    """Both columns as float64 `[N]`, after the checks that every figure here shares."""
    if len(left) != len(right):
        raise ValueError(f"columns must be of equal length, not {len(left)} and {len(right)}")
    columns = torch.tensor(left, dtype=torch.float64), torch.tensor(right, dtype=torch.float64)
    if any(bool(column.isnan().any()) for column in columns):
        raise ValueError("a value is nan")
    return columns
