"""What a judge gives to a candidate, relative to what it gives to the reference."""

from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric


def relative_score(candidate: Tensor, reference: Tensor) -> Tensor:
    """100 x mean(candidate) / mean(reference).

    Args:
        candidate: a judge's figure for each candidate answer, `[N]`.
        reference: its figure for the reference answer, `[N]`.

    Returns:
        A float64 scalar, nan where the references sum to nothing.

    Raises:
        ValueError: lengths differ.
    """
    if candidate.shape != reference.shape:
        raise ValueError(f"as many candidates as references are needed, not {len(candidate)} and {len(reference)}")
    return of_sums(candidate.double().sum(), reference.double().sum())


def of_sums(candidate: Tensor, reference: Tensor) -> Tensor:
    """100 x candidate / reference, nan where the reference is not above 0: such a ratio says nothing.

    Args:
        candidate: sums `[...]` in float64.
        reference: sums `[...]` in float64.

    Returns:
        `[...]` in float64.
    """
    return torch.where(reference > 0, 100 * candidate / reference, float("nan"))


class RelativeScore(Metric):
    """100 x mean(candidate) / mean(reference) over all batches and ranks; see `relative_score`."""

    is_differentiable = False
    higher_is_better = True
    full_state_update = False

    candidate: Tensor
    reference: Tensor

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.add_state("candidate", torch.tensor(0.0, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("reference", torch.tensor(0.0, dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, candidate: Tensor, reference: Tensor) -> None:
        """Add a batch: a judge's figures for candidate and reference, `[N]` each."""
        if candidate.shape != reference.shape:
            raise ValueError(f"as many candidates as references are needed, not {len(candidate)} and {len(reference)}")
        self.candidate += candidate.double().sum().to(self.candidate.device)
        self.reference += reference.double().sum().to(self.reference.device)

    def compute(self) -> Tensor:
        """The score, a float64 scalar; nan before any update."""
        return of_sums(self.candidate, self.reference)
