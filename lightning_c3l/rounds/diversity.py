"""Diversity of generated questions: the entropy of their types and the share of distinct ones.

An LVLM trained on its own best pairs drifts to the easiest type of question; these figures show it.
"""

import math
from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from lightning_c3l.runs.digests import content_number
from lightning_c3l.selection.texts import QUESTION_TYPES


def kind_entropy(kinds: Sequence[str]) -> float:
    """Entropy of the shares of kinds.

    Args:
        kinds: kind of each question.

    Returns:
        -sum s ln s over the shares s, in nats: 0 if all are of one kind (or there is none), ln k for k
        equally frequent kinds.
    """
    return entropy_of_counts(Counter(kinds).values())


def entropy_of_counts(counts: Collection[int]) -> float:
    """Entropy of the shares of kinds; see `kind_entropy`.

    Args:
        counts: of each kind, none of them 0.
    """
    total = sum(counts)
    return math.fsum(count / total * math.log(1 / (count / total)) for count in counts)


def distinct_rate(pairs: Sequence[tuple[str, str]]) -> float:
    """Share of distinct questions.

    Args:
        pairs: (image, question) of each candidate, compared exactly.

    Returns:
        Distinct pairs / all pairs, 0.0 for none.
    """
    return len(set(pairs)) / len(pairs) if pairs else 0.0


class KindEntropy(Metric):
    """Entropy of the types of questions over all batches and ranks, in nats; see `kind_entropy`.

    Args:
        kinds: all kinds there can be, in the order of the counts.
        **kwargs: of `torchmetrics.Metric`.

    Raises:
        ValueError: a kind is named twice.
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False

    counts: Tensor

    def __init__(self, kinds: Sequence[str] = QUESTION_TYPES, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.positions = {kind: i for i, kind in enumerate(kinds)}
        if len(self.positions) < len(kinds):
            raise ValueError(f"kinds must be distinct, not {tuple(kinds)}")
        self.add_state("counts", torch.zeros(len(kinds), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, kinds: Sequence[str]) -> None:
        """Count a batch.

        Args:
            kinds: kind of each question.

        Raises:
            ValueError: a kind that was not announced.
        """
        unknown = sorted(set(kinds) - self.positions.keys())
        if unknown:
            raise ValueError(f"unknown kinds {unknown}, announced are {tuple(self.positions)}")
        indices = torch.tensor([self.positions[kind] for kind in kinds], dtype=torch.int64, device=self.counts.device)
        self.counts += indices.bincount(minlength=len(self.positions))

    def compute(self) -> Tensor:
        """Entropy over everything counted, a float32 scalar; 0 before any update."""
        shares = self.counts / self.counts.sum().clamp_min(1)
        entropy: Tensor = torch.special.entr(shares).sum()
        return entropy


class DistinctRate(Metric):
    """Share of distinct (image, question) pairs over all batches and ranks; see `distinct_rate`.

    Pairs are kept as 64-bit hashes: among a million pairs, a chance of 3 in 100 million that two differ and
    collide.
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False

    hashes: list[Tensor]

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.add_state("hashes", [], dist_reduce_fx="cat")

    def update(self, pairs: Sequence[tuple[str, str]]) -> None:
        """Add a batch.

        Args:
            pairs: (image, question) of each candidate.
        """
        # equal in every process, unlike Python's salted hash; the length keeps ("ab", "c") and ("a", "bc") apart
        hashes = [content_number(f"{len(image)}:{image}{question}", signed=True) for image, question in pairs]
        self.hashes.append(torch.tensor(hashes, dtype=torch.int64, device=self.device))

    def compute(self) -> Tensor:
        """Distinct / all over everything added, a float32 scalar; 0 before any update."""
        hashes = dim_zero_cat(self.hashes).tolist() if len(self.hashes) else []
        return torch.tensor(len(set(hashes)) / max(len(hashes), 1), device=self.device)

    def sync(self, *args: Any, **kwargs: Any) -> None:
        """Gather over ranks, also where a rank has seen nothing.

        torchmetrics stands in for an empty list with an empty tensor of float32, which the other ranks' int64
        cannot be gathered with.
        """
        if not len(self.hashes):
            self.hashes = [torch.zeros(0, dtype=torch.int64, device=self.device)]
        super().sync(*args, **kwargs)
