"""Figures of benchmark answers as pure functions of arrays: yes/no, multiple choice, and a judge's ratings."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

# values of a prediction, and columns of the counts; the first two are also values of a truth, and rows of the counts
NO, YES, UNPARSABLE = 0, 1, 2


def yes_no_counts(
    predicted: NDArray[np.int64], truth: NDArray[np.int64], members: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """Count each prediction by truth and split.

    Args:
        predicted: `NO`, `YES` or `UNPARSABLE` for each question, `[N]`.
        truth: `NO` or `YES`, `[N]`.
        members: whether a question belongs to a split, `[N, S]`; it may belong to several.

    Returns:
        Counts `[S, 2, 3]`, rows by truth and columns by prediction.

    Raises:
        ValueError: shapes differ, or a value is out of range.
    """
    if predicted.shape != truth.shape or members.shape[:1] != predicted.shape:
        raise ValueError(
            f"predicted, truth and members differ in length: {len(predicted)}, {len(truth)}, {len(members)}"
        )
    if ((predicted < NO) | (predicted > UNPARSABLE) | (truth < NO) | (truth > YES)).any():
        raise ValueError("predicted must be no (0), yes (1) or unparsable (2), truth no or yes")
    counts: NDArray[np.int64] = members.astype(np.int64).T @ yes_no_cells(predicted, truth)
    return counts.reshape(-1, 2, 3)


def yes_no_cells(predicted: NDArray[np.int64], truth: NDArray[np.int64]) -> NDArray[np.int64]:
    """What each question adds to the flattened table of counts: 1 in its cell, `[N, 6]`."""
    cells: NDArray[np.int64] = np.eye(6, dtype=np.int64)[3 * truth + predicted]
    return cells


def yes_no_figures(counts: NDArray[Any]) -> dict[str, NDArray[np.float64]]:
    """Compute the figures of tables of counts; yes is the positive class.

    An unparsable answer is not a yes: it lowers accuracy, and recall if the truth is yes. Precision is 0 if nothing was
    predicted to be yes.

    Args:
        counts: `[..., 2, 3]`, see `yes_no_counts`; any leading axes.

    Returns:
        `accuracy`, `precision`, `recall`, `f1`, `yes_ratio` (of the predictions), `unparsable` and `n`, each `[...]` in
        float64.
    """
    table = counts.astype(np.float64)
    n, hits, predicted_yes = table.sum((-1, -2)), table[..., YES, YES], table[..., YES].sum(-1)
    truly_yes, right = table[..., YES, :].sum(-1), hits + table[..., NO, NO]
    return {
        "accuracy": _ratio(right, n),
        "precision": _ratio(hits, predicted_yes),
        "recall": _ratio(hits, truly_yes),
        "f1": _ratio(2 * hits, predicted_yes + truly_yes),
        "yes_ratio": _ratio(predicted_yes, n),
        "unparsable": table[..., UNPARSABLE].sum(-1),
        "n": n,
    }


def mean_f1(counts: NDArray[Any]) -> NDArray[np.float64]:
    """Mean F1 of the splits that have questions.

    Args:
        counts: `[..., S, 2, 3]`, see `yes_no_counts`.

    Returns:
        `[...]` in float64; 0 if no split has a question.
    """
    figures = yes_no_figures(counts)
    return _ratio(figures["f1"].sum(-1), (figures["n"] > 0).sum(-1).astype(np.float64))


def split_figures(counts: NDArray[Any], splits: Sequence[str]) -> dict[str, dict[str, float]]:
    """`yes_no_figures` of each split that has questions, counts as whole numbers.

    Args:
        counts: `[S, 2, 3]`, see `yes_no_counts`.
        splits: their names.
    """
    figures = yes_no_figures(counts)
    return {
        split: {
            name: int(values[index]) if name in ("unparsable", "n") else float(values[index])
            for name, values in figures.items()
        }
        for index, split in enumerate(splits)
        if figures["n"][index] > 0
    }


def choice_accuracy(right: NDArray[np.bool_]) -> float:
    """Share of right answers `[N]`; 0 without answers."""
    return float(right.sum()) / max(right.size, 1)


def accuracy_parts(right: NDArray[np.bool_]) -> list[NDArray[Any]]:
    """What each answer adds to the sums behind `accuracy_of_totals`: right and 1, one part `[N, 2]`."""
    return [np.stack([right, np.ones(len(right))], axis=1)]


def accuracy_of_totals(totals: NDArray[np.float64]) -> NDArray[np.float64]:
    """Share of right answers from the totals `[..., 1, 2]` of `accuracy_parts`."""
    return totals[..., 0, 0] / totals[..., 0, 1]


def circular_groups(groups: NDArray[np.int64], right: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Find the base questions that are right in every row.

    Args:
        groups: number of each row's base question, `[N]`.
        right: whether its answer is right, `[N]`.

    Returns:
        The numbers in ascending order, `[G]`, and whether all rows of each are right, `[G]`.

    Raises:
        ValueError: lengths differ.
    """
    if groups.shape != right.shape:
        raise ValueError(f"groups and right differ in length: {len(groups)} and {len(right)}")
    names, inverse = np.unique(groups, return_inverse=True)
    return names, np.bincount(inverse[~right], minlength=len(names)) == 0


def circular_accuracy(groups: NDArray[np.int64], right: NDArray[np.bool_]) -> float:
    """Share of base questions that are right in every row (CircularEval); see `circular_groups`."""
    return choice_accuracy(circular_groups(groups, right)[1])


def relative_score(candidate: NDArray[np.float64], reference: NDArray[np.float64]) -> float:
    """100 x mean(candidate) / mean(reference), nan if the references do not sum to more than 0.

    Args:
        candidate: a judge's rating of each candidate answer, `[N]`.
        reference: its rating of the reference answer, `[N]`.

    Raises:
        ValueError: lengths differ.
    """
    if candidate.shape != reference.shape:
        raise ValueError(f"candidate and reference differ in length: {len(candidate)} and {len(reference)}")
    return float(relative_score_of_sums(candidate.sum(), reference.sum()))


def relative_score_of_sums(candidate: NDArray[np.float64], reference: NDArray[np.float64]) -> NDArray[np.float64]:
    """100 x candidate / reference of sums `[...]` in float64, nan where the reference is not above 0."""
    out: NDArray[np.float64] = np.full(reference.shape, np.nan)
    return np.divide(100 * candidate, reference, out=out, where=reference > 0)


def _ratio(part: NDArray[np.float64], whole: NDArray[np.float64]) -> NDArray[np.float64]:
    """Part of a whole, 0 where the whole is 0."""
    return np.divide(part, whole, out=np.zeros(whole.shape), where=whole > 0)
