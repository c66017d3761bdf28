"""Relative score of a judge's figures, by hand."""

import math

import numpy as np
import pytest

from lightning_c3l.evaluation.metrics.functional import relative_score, relative_score_of_sums
from lightning_c3l.evaluation.metrics.headlines import RelativeScore

CANDIDATE, REFERENCE = np.array([6.0, 9.5, 2.0]), np.array([8.0, 9.0, 10.0])
SCORE = 100 * 17.5 / 27


def test_the_ratio_is_of_means_and_not_a_mean_of_ratios() -> None:
    assert relative_score(CANDIDATE, REFERENCE) == pytest.approx(SCORE)
    assert abs(SCORE - 100 * (6 / 8 + 9.5 / 9 + 2 / 10) / 3) > 1


def test_without_a_positive_reference_there_is_no_score() -> None:
    assert math.isnan(relative_score(np.array([-1.0]), np.array([-1.0])))
    assert math.isnan(relative_score(CANDIDATE[:0], REFERENCE[:0]))
    assert relative_score_of_sums(np.array([3.0, 1.0]), np.array([4.0, 2.0])).tolist() == [75.0, 50.0]


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
