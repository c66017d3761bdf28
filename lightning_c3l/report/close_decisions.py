"""The closest decisions of a selection: candidates next to each other in score that were treated differently."""

import numpy as np
from numpy.typing import NDArray

# far more than a page shows, since some of them are shown elsewhere
_KEPT = 1024


class CloseDecisions:
    """Keeps the closest of the decisions that are added, and of none the candidates.

    Attributes:
        positions: of the better and of the worse candidate of each, the closest first, `[M, 2]`; those that were added
            first come first where they are equally close.
    """

    def __init__(self) -> None:
        self.positions = np.zeros((0, 2), np.int64)
        self._gaps = np.zeros(0)

    def add(
        self,
        positions: NDArray[np.int64],
        scores: NDArray[np.float64],
        statuses: NDArray[np.int16],
        groups: NDArray[np.int64] | None = None,
    ) -> None:
        """Add the decisions between candidates of the same group whose status differs.

        Args:
            positions: of the candidates, ascending, `[N]`.
            scores: by which they were chosen, `[N]`.
            statuses: what became of them, `[N]`.
            groups: equal where candidates were compared with each other, `[N]`; None if all were.
        """
        if groups is None:
            ranked, same = np.argsort(-scores, kind="stable"), np.ones(max(len(scores) - 1, 0), np.bool_)
        else:
            _, first, group = np.unique(groups, return_index=True, return_inverse=True)
            # groups in the order of their first candidates, the best of each first
            ranked = np.lexsort((-scores, first[group]))
            same = np.diff(first[group][ranked]) == 0
        changes = statuses[ranked]
        close = np.flatnonzero(same & (changes[1:] != changes[:-1]))
        pairs = ranked[np.stack([close, close + 1], axis=1)]
        gaps = np.concatenate([self._gaps, scores[pairs[:, 0]] - scores[pairs[:, 1]]])
        kept = np.argsort(gaps, kind="stable")[:_KEPT]
        self._gaps, self.positions = gaps[kept], np.concatenate([self.positions, positions[pairs]])[kept]
