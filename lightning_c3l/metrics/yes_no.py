"""Accuracy, precision, recall and F1 of yes/no answers, split by split."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

# what an answer may say, as columns of the counts; the first two are also the rows, for what is true
NO, YES, UNPARSABLE = 0, 1, 2


def yes_no_counts(said: Tensor, truth: Tensor, members: Tensor) -> Tensor:
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
    if bool(((said < NO) | (said > UNPARSABLE) | (truth < NO) | (truth > YES)).any()):
        raise ValueError("said must be no (0), yes (1) or unparsable (2), truth no or yes")
    cells = torch.nn.functional.one_hot(3 * truth.long() + said.long(), 6)
    # n: question, s: split, c: cell of the table
    return torch.einsum("ns,nc->sc", members.long(), cells).reshape(-1, 2, 3)


def yes_no_figures(counts: Tensor) -> dict[str, Tensor]:
    """Figures of tables of counts; yes is the positive class.

    An unparsable answer is no yes: it costs accuracy everywhere, and recall where yes is true. Where nothing was said
    to be yes, precision is 0.

    Args:
        counts: `[..., 2, 3]`, see `yes_no_counts`; any leading axes.

    Returns:
        `accuracy`, `precision`, `recall`, `f1`, `yes_ratio` (of all answers), `unparsable` and `n`, each `[...]` in
        float64.
    """
    table = counts.double()
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


def mean_f1(counts: Tensor) -> Tensor:
    """Mean F1 of the splits that have questions.

    Args:
        counts: `[..., S, 2, 3]`, see `yes_no_counts`.

    Returns:
        `[...]` in float64; 0 where no split has a question.
    """
    figures = yes_no_figures(counts)
    return _share(figures["f1"].sum(-1), (figures["n"] > 0).sum(-1).double())


class YesNoF1(Metric):
    """Mean over the splits of the F1 of yes/no answers, over all batches and ranks.

    Args:
        splits: their names.
        **kwargs: of torchmetrics.
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False

    counts: Tensor

    def __init__(self, splits: Sequence[str], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.splits = tuple(splits)
        self.add_state("counts", torch.zeros(len(self.splits), 2, 3, dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, said: Tensor, truth: Tensor, members: Tensor) -> None:
        """Count a batch; see `yes_no_counts`."""
        self.counts += yes_no_counts(said, truth, members).to(self.counts.device)

    def compute(self) -> Tensor:
        """The mean, a float64 scalar; 0 before any update."""
        return mean_f1(self.counts)

    def figures(self) -> Mapping[str, Mapping[str, float]]:
        """Figures of each split that has questions, of what this rank has counted."""
        figures = yes_no_figures(self.counts)
        return {
            split: {
                name: int(values[place]) if name in ("unparsable", "n") else float(values[place])
                for name, values in figures.items()
            }
            for place, split in enumerate(self.splits)
            if figures["n"][place] > 0
        }


def _share(part: Tensor, whole: Tensor) -> Tensor:
    """Part of a whole, 0 where there is no whole."""
    return torch.where(whole > 0, part / whole.clamp_min(1), 0.0)
