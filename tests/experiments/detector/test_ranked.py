"""AUROC and precision of weighted items, against the plain ones and by hand."""

import math

import numpy as np
import pytest

from experiments.detector.ranked import Ranking, best_of_groups, interval, resamples, share
from lightning_c3l.functional.ranking import auroc


def test_weights_are_repetitions() -> None:
    draw = np.random.default_rng(0)
    scores, labels = draw.integers(0, 8, 60).astype(np.float64), draw.random(60) < 0.6
    weights = draw.integers(0, 4, (5, 60))
    found = Ranking(scores, labels).auroc(weights.astype(np.float64))
    expected = [auroc(np.repeat(scores, row).tolist(), np.repeat(labels, row).tolist()) for row in weights]
    assert found.tolist() == pytest.approx(expected, abs=1e-12)


def test_precision_takes_the_same_share_of_equal_scores() -> None:
    # the best is right; of the next three, one is right; of the last, none
    ranking = Ranking(np.array([9.0, 5, 5, 5, 1]), np.array([True, True, False, False, False]))
    ones = np.ones((1, 5))
    assert ranking.precision(ones, 0.2).tolist() == pytest.approx([1.0])
    assert ranking.precision(ones, 0.4).tolist() == pytest.approx([(1 + 1 / 3) / 2])
    assert ranking.precision(ones, 1.0).tolist() == pytest.approx([2 / 5])
    # without the best, three of the four items that are left: the equal ones, of which one is right
    assert ranking.precision(np.array([[0.0, 1, 1, 1, 1]]), 0.75).tolist() == pytest.approx([1 / 3])


def test_pairs_are_summed_over_strata() -> None:
    one, other = Ranking(np.array([2.0, 1.0]), np.array([True, False])), Ranking(np.array([5.0]), np.array([False]))
    ones = np.ones((3, 2))
    parts = one.pairs(ones) + other.pairs(ones[:, :1])
    assert parts.tolist() == [[1, 1, 1], [1, 1, 1]]
    assert share(parts).tolist() == [1, 1, 1]
    assert np.isnan(share(other.pairs(ones[:, :1]))).all()


def test_best_of_groups() -> None:
    groups = np.array([1, 0, 1, 1, 0])
    found = best_of_groups(np.array([3.0, -1, 3, 2, -2]), np.array([1.0, 0.5, 0, 1, 1]), groups)
    assert found.tolist() == [0.5, 0.5]


def test_all_right_has_no_area() -> None:
    assert math.isnan(Ranking(np.array([1.0, 2.0]), np.array([True, True])).auroc(np.ones((1, 2)))[0])


def test_images_are_drawn_whole() -> None:
    weights = resamples(["a", "b", "a", "c"], 100)
    assert weights[0].tolist() == [1, 1, 1, 1]
    assert (weights[:, 0] == weights[:, 2]).all()
    assert (weights[:, [0, 1, 3]].sum(axis=1) == 3).all()
    assert len(np.unique(weights, axis=0)) > 5


def test_interval_is_of_the_resamples() -> None:
    found = interval(np.array([0.9, *np.linspace(0, 1, 41), math.nan]))
    assert (found.value, found.low, found.high) == pytest.approx((0.9, 0.025, 0.975))
