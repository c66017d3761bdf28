"""Accuracy of multiple-choice answers, also where a question counts only if it is right in every order of options."""

from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat


def choice_accuracy(right: Tensor) -> Tensor:
    """Share of right answers.

    Args:
        right: whether each answer is right, `[N]`.

    Returns:
        A float64 scalar; 0 without answers.
    """
    return right.double().sum() / max(right.numel(), 1)


def circular_groups(groups: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
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
    names, places = torch.unique(groups, return_inverse=True)
    wrong = torch.zeros(len(names), dtype=torch.int64, device=groups.device)
    wrong.index_add_(0, places, (~right.bool()).long())
    return names, wrong == 0


def circular_accuracy(groups: Tensor, right: Tensor) -> Tensor:
    """Share of base questions that are right in every row (CircularEval).

    Args:
        groups: number of each row's base question, `[N]`.
        right: whether its answer is right, `[N]`.

    Returns:
        A float64 scalar; 0 without answers.

    Raises:
        ValueError: lengths differ.
    """
    return choice_accuracy(circular_groups(groups, right)[1])


class ChoiceAccuracy(Metric):
    """Share of right answers over all batches and ranks; see `choice_accuracy`."""

    is_differentiable = False
    higher_is_better = True
    full_state_update = False

    right: Tensor
    total: Tensor

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.add_state("right", torch.tensor(0), dist_reduce_fx="sum")
        self.add_state("total", torch.tensor(0), dist_reduce_fx="sum")

    def update(self, right: Tensor) -> None:
        """Count a batch: whether each answer is right, `[N]`."""
        self.right += right.long().sum().to(self.right.device)
        self.total += right.numel()

    def compute(self) -> Tensor:
        """The share, a float64 scalar; 0 before any update."""
        return self.right.double() / self.total.clamp_min(1)


class CircularAccuracy(Metric):
    """Share of base questions right in every row, over all batches and ranks; see `circular_accuracy`.

    The rows of one base question may lie on different ranks, so the state is the rows themselves.
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False

    rows: list[Tensor]

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.add_state("rows", [], dist_reduce_fx="cat")

    def update(self, groups: Tensor, right: Tensor) -> None:
        """Add a batch; see `circular_groups`."""
        if groups.shape != right.shape:
            raise ValueError(f"as many groups as answers are needed, not {len(groups)} and {len(right)}")
        self.rows.append(torch.stack([groups.long(), right.long()], dim=1).to(self.device))

    def compute(self) -> Tensor:
        """The share, a float64 scalar; 0 before any update."""
        rows = dim_zero_cat(self.rows) if len(self.rows) else self._none()
        return circular_accuracy(rows[:, 0], rows[:, 1].bool())

    def sync(self, *args: Any, **kwargs: Any) -> None:
        """Gather over ranks, also where a rank has seen nothing.

        torchmetrics stands in for an empty list with an empty tensor of float32, which the other ranks' int64 cannot
        be gathered with.
        """
        if not len(self.rows):
            self.rows = [self._none()]
        super().sync(*args, **kwargs)

    def _none(self) -> Tensor:
        return torch.zeros(0, 2, dtype=torch.int64, device=self.device)
