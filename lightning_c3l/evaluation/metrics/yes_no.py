"""Accuracy, precision, recall and F1 of yes/no answers, split by split."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

# what an answer may say, as columns of the counts; the first two are also the rows, for what is true
NO, YES, UNPARSABLE = 0, 1, 2


def yes_no_counts(said: NDArray[np.int64], truth: NDArray[np.int64], members: NDArray[np.bool_]) -> NDArray[np.int64]:
    """How often each thing was said of questions with each truth.

    Args:
        said: `NO`, `YES` or `UNPARSABLE` for each question, `[N]`.
        truth: `NO` or `YES`, `[N]`.
        members: whether a question belongs to a split, `[N, S]`; it may belong to several.

    Returns:
        Counts `[S, 2, 3]`, truth down and what was said across.

    Raises:
        ValueError: shapes differ, or a value is none of those.
    """
    if said.shape != truth.shape or members.shape[:1] != said.shape:
        raise ValueError(f"said, truth and members differ in length: {len(said)}, {len(truth)}, {len(members)}")
    if ((said < NO) | (said > UNPARSABLE) | (truth < NO) | (truth > YES)).any():
        raise ValueError("said must be no (0), yes (1) or unparsable (2), truth no or yes")
    counts: NDArray[np.int64] = members.astype(np.int64).T @ yes_no_cells(said, truth)
    return counts.reshape(-1, 2, 3)


def yes_no_cells(said: NDArray[np.int64], truth: NDArray[np.int64]) -> NDArray[np.int64]:
    """What each question adds to the flattened table of counts: 1 in its cell, `[N, 6]`."""
    cells: NDArray[np.int64] = np.eye(6, dtype=np.int64)[3 * truth + said]
    return cells


def yes_no_figures(counts: NDArray[Any]) -> dict[str, NDArray[np.float64]]:
    """Figures of tables of counts; yes is the positive class.

    An unparsable answer is no yes: it costs accuracy everywhere, and recall where yes is true. Where nothing was said
    to be yes, precision is 0.

    Args:
        counts: `[..., 2, 3]`, see `yes_no_counts`; any leading axes.

    Returns:
        `accuracy`, `precision`, `recall`, `f1`, `yes_ratio` (of all answers), `unparsable` and `n`, each `[...]` in
        float64.
    """
    table = counts.astype(np.float64)
    n, hits, said_yes = table.sum((-1, -2)), table[..., YES, YES], table[..., YES].sum(-1)
    truly_yes, right = table[..., YES, :].sum(-1), hits + table[..., NO, NO]
    return {
        "accuracy": _share(right, n),
        "precision": _share(hits, said_yes),
        "recall": _share(hits, truly_yes),
        "f1": _share(2 * hits, said_yes + truly_yes),
        "yes_ratio": _share(said_yes, n),
        "unparsable": table[..., UNPARSABLE].sum(-1),
        "n": n,
    }


def mean_f1(counts: NDArray[Any]) -> NDArray[np.float64]:
    """Mean F1 of the splits that have questions.

    Args:
        counts: `[..., S, 2, 3]`, see `yes_no_counts`.

    Returns:
        `[...]` in float64; 0 where no split has a question.
    """
    figures = yes_no_figures(counts)
    return _share(figures["f1"].sum(-1), (figures["n"] > 0).sum(-1).astype(np.float64))


def split_figures(counts: NDArray[Any], splits: Sequence[str]) -> dict[str, dict[str, float]]:
    """Figures of each split that has questions.

    Args:
        counts: `[S, 2, 3]`, see `yes_no_counts`.
        splits: their names.

    Returns:
        `yes_no_figures` by split, counts as whole numbers.
    """
    figures = yes_no_figures(counts)
    return {
        split: {
            name: int(values[place]) if name in ("unparsable", "n") else float(values[place])
            for name, values in figures.items()
        }
        for place, split in enumerate(splits)
        if figures["n"][place] > 0
    }


def _share(part: NDArray[np.float64], whole: NDArray[np.float64]) -> NDArray[np.float64]:
    """Part of a whole, 0 where there is no whole."""
    return np.divide(part, whole, out=np.zeros(whole.shape), where=whole > 0)
