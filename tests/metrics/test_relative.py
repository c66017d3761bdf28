"""Relative score of a judge's figures, by hand."""

import math

import pytest
import torch

from lightning_c3l.metrics.relative import RelativeScore, of_sums, relative_score

CANDIDATE, REFERENCE = torch.tensor([6.0, 9.5, 2.0]), torch.tensor([8.0, 9.0, 10.0])
SCORE = 100 * 17.5 / 27


def test_the_ratio_is_of_means_and_not_a_mean_of_ratios() -> None:
    assert relative_score(CANDIDATE, REFERENCE).item() == pytest.approx(SCORE)
    assert abs(SCORE - 100 * (6 / 8 + 9.5 / 9 + 2 / 10) / 3) > 1


def test_without_a_positive_reference_there_is_no_score() -> None:
    assert math.isnan(relative_score(torch.tensor([-1.0]), torch.tensor([-1.0])).item())
    assert math.isnan(relative_score(CANDIDATE[:0], REFERENCE[:0]).item())
    assert of_sums(torch.tensor([3.0, 1.0]), torch.tensor([4.0, 2.0])).tolist() == [75.0, 50.0]


def test_metric_accumulates() -> None:
    metric = RelativeScore()
    metric.update(CANDIDATE[:1], REFERENCE[:1])
    metric.update(CANDIDATE[1:], REFERENCE[1:])
    assert metric.compute().item() == pytest.approx(SCORE)
    assert metric.higher_is_better is True
    assert metric.is_differentiable is False
    metric.reset()
    metric.update(CANDIDATE[:1], REFERENCE[:1])
    assert metric.compute().item() == pytest.approx(75)
    for call in (relative_score, metric.update):
        with pytest.raises(ValueError, match="3 and 2"):
            call(CANDIDATE, REFERENCE[:2])
