"""Accuracy of multiple-choice answers, also where a question counts only if it is right in every order of options."""

import numpy as np
from numpy.typing import NDArray


def choice_accuracy(right: NDArray[np.bool_]) -> float:
    """Share of right answers.

    Args:
        right: whether each answer is right, `[N]`.

    Returns:
        The share; 0 without answers.
    """
    return float(right.sum()) / max(right.size, 1)


def circular_groups(groups: NDArray[np.int64], right: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Which base questions are right in every row.

    Args:
        groups: number of each row's base question, `[N]`.
        right: whether its answer is right, `[N]`.

    Returns:
        The numbers in rising order, `[G]`, and whether all rows of each are right, `[G]`.

    Raises:
        ValueError: lengths differ.
    """
    if groups.shape != right.shape:
        raise ValueError(f"as many groups as answers are needed, not {len(groups)} and {len(right)}")
    names, places = np.unique(groups, return_inverse=True)
    return names, np.bincount(places[~right], minlength=len(names)) == 0


def circular_accuracy(groups: NDArray[np.int64], right: NDArray[np.bool_]) -> float:
    """Share of base questions that are right in every row (CircularEval).

    Args:
        groups: number of each row's base question, `[N]`.
        right: whether its answer is right, `[N]`.

    Returns:
        The share; 0 without answers.

    Raises:
        ValueError: lengths differ.
    """
    return choice_accuracy(circular_groups(groups, right)[1])
