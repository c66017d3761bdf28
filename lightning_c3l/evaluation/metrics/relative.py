"""What a judge gives to a candidate, relative to what it gives to the reference."""

import numpy as np
from numpy.typing import NDArray


def relative_score(candidate: NDArray[np.float64], reference: NDArray[np.float64]) -> float:
    """100 x mean(candidate) / mean(reference).

    Args:
        candidate: a judge's figure for each candidate answer, `[N]`.
        reference: its figure for the reference answer, `[N]`.

    Returns:
        The score, nan where the references sum to nothing.

    Raises:
        ValueError: lengths differ.
    """
    if candidate.shape != reference.shape:
        raise ValueError(f"as many candidates as references are needed, not {len(candidate)} and {len(reference)}")
    return float(of_sums(candidate.sum(), reference.sum()))


def of_sums(candidate: NDArray[np.float64], reference: NDArray[np.float64]) -> NDArray[np.float64]:
    """100 x candidate / reference, nan where the reference is not above 0: such a ratio says nothing.

    Args:
        candidate: sums `[...]` in float64.
        reference: sums `[...]` in float64.

    Returns:
        `[...]` in float64.
    """
    out: NDArray[np.float64] = np.full(reference.shape, np.nan)
    return np.divide(100 * candidate, reference, out=out, where=reference > 0)
