"""The benchmarks' headlines as torchmetrics, for answers on several ranks; `functional` computes the values."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from lightning_c3l.evaluation.metrics.functional import (
    circular_accuracy,
    mean_f1,
    relative_score_of_sums,
    yes_no_counts,
)


class _Headline(Metric):
    is_differentiable = False
    higher_is_better = True
    full_state_update = False

    def _scalar(self, value: Any) -> Tensor:
        return torch.tensor(float(value), dtype=torch.float64, device=self.device)


class _OfSums(_Headline):
    """A figure of sums over all batches and ranks."""

    sums: Tensor

    def __init__(self, zero: NDArray[Any], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.add_state("sums", torch.from_numpy(zero), dist_reduce_fx="sum")

    def _add(self, sums: NDArray[Any]) -> None:
        self.sums += torch.from_numpy(sums).to(self.sums.device)


class YesNoF1(_OfSums):
    """Mean over the splits of the F1 of yes/no answers; see `mean_f1`.

    Args:
        splits: number of splits.
        **kwargs: of `torchmetrics.Metric`.
    """

    def __init__(self, splits: int, **kwargs: Any) -> None:
        super().__init__(np.zeros((splits, 2, 3), dtype=np.int64), **kwargs)

    def update(self, predicted: NDArray[np.int64], truth: NDArray[np.int64], members: NDArray[np.bool_]) -> None:
        """Count a batch; see `yes_no_counts`."""
        self._add(yes_no_counts(predicted, truth, members))

    def compute(self) -> Tensor:
        """Return the mean, a float64 scalar; 0 before any update."""
        return self._scalar(mean_f1(self.sums.cpu().numpy()))


class ChoiceAccuracy(_OfSums):
    """Share of right answers; see `choice_accuracy`."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(np.zeros(2, dtype=np.int64), **kwargs)

    def update(self, right: NDArray[np.bool_]) -> None:
        """Count a batch: whether each answer is right, `[N]`."""
        self._add(np.array([right.sum(), right.size]))

    def compute(self) -> Tensor:
        """Return the share, a float64 scalar; 0 before any update."""
        right, answers = self.sums.tolist()
        return self._scalar(right / max(answers, 1))


class RelativeScore(_OfSums):
    """100 x mean(candidate) / mean(reference); see `relative_score`."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(np.zeros(2), **kwargs)

    def update(self, candidate: NDArray[np.float64], reference: NDArray[np.float64]) -> None:
        """Add a batch: a judge's ratings of candidate and reference, `[N]` each."""
        if candidate.shape != reference.shape:
            raise ValueError(f"candidate and reference differ in length: {len(candidate)} and {len(reference)}")
        self._add(np.array([candidate.sum(), reference.sum()], dtype=np.float64))

    def compute(self) -> Tensor:
        """Return the score, a float64 scalar; nan before any update."""
        candidate, reference = self.sums.cpu().numpy()
        return self._scalar(relative_score_of_sums(candidate, reference))


class CircularAccuracy(_Headline):
    """Share of base questions right in every row; see `circular_accuracy`.

    The rows of one base question may be on different ranks, so the state is the rows themselves.
    """

    rows: list[Tensor]

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.add_state("rows", [], dist_reduce_fx="cat")

    def update(self, groups: NDArray[np.int64], right: NDArray[np.bool_]) -> None:
        """Add a batch; see `circular_groups`."""
        if groups.shape != right.shape:
            raise ValueError(f"groups and right differ in length: {len(groups)} and {len(right)}")
        self.rows.append(torch.from_numpy(np.stack([groups, right], axis=1)).to(self.device))

    def compute(self) -> Tensor:
        """Return the share, a float64 scalar; 0 before any update."""
        rows = (dim_zero_cat(self.rows) if len(self.rows) else self._no_rows()).cpu().numpy()
        return self._scalar(circular_accuracy(rows[:, 0], rows[:, 1].astype(bool)))

    def sync(self, *args: Any, **kwargs: Any) -> None:
        """Gather over ranks, also if a rank has no rows.

        torchmetrics replaces an empty list by an empty float32 tensor, which cannot be gathered with the other ranks'
        int64 tensors.
        """
        if not len(self.rows):
            self.rows = [self._no_rows()]
        super().sync(*args, **kwargs)

    def _no_rows(self) -> Tensor:
        return torch.zeros(0, 2, dtype=torch.int64, device=self.device)
