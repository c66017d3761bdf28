"""Ranking figures and intervals, against values worked out by hand."""

import math
import random

import numpy as np
import pytest

from lightning_c3l.functional.ranking import auroc, auroc_interval, rank_correlation, rank_correlations


def test_auroc_counts_ordered_pairs() -> None:
    # Right 3 and 1 against wrong 2 and 0: 3 > 2, 3 > 0, 1 > 0 of 4 pairs.
    assert auroc([3.0, 1.0, 2.0, 0.0], [1, 1, 0, 0]) == pytest.approx(0.75)
    assert auroc([0.1, 0.2, 0.3], [False, False, True]) == pytest.approx(1.0)
    assert auroc([0.1, 0.2, 0.3], [True, False, False]) == pytest.approx(0.0)


def test_auroc_counts_ties_half() -> None:
    # Right 1, 2 against wrong 1, 0: one tie and three in order.
    assert auroc([1.0, 2.0, 1.0, 0.0], [1, 1, 0, 0]) == pytest.approx(3.5 / 4)
    assert auroc([5.0, 5.0, 5.0], [1, 0, 0]) == pytest.approx(0.5)


def test_auroc_does_not_depend_on_the_scale() -> None:
    # A sigmoid in float32 would make all of these 1, or 0.5.
    assert auroc([70.0, 50.0, 60.0, 40.0], [1, 1, 0, 0]) == pytest.approx(0.75)
    assert auroc([3e-9, 1e-9, 2e-9, -1e-9], [1, 1, 0, 0]) == pytest.approx(0.75)
    assert auroc([1 + 3e-12, 1 + 1e-12, 1 + 2e-12, 1.0], [1, 1, 0, 0]) == pytest.approx(0.75)


def test_auroc_is_that_of_all_pairs_to_the_last_digits() -> None:
    draw = random.Random(1)
    right = [round(draw.gauss(0.5, 1), 1) for _ in range(97)]
    wrong = [round(draw.gauss(0, 1), 1) for _ in range(83)]
    pairs = sum((r > w) + (r == w) / 2 for r in right for w in wrong)
    assert auroc(right + wrong, [1] * 97 + [0] * 83) == pytest.approx(pairs / (97 * 83), abs=1e-12)


def test_auroc_of_one_class_is_nan() -> None:
    assert math.isnan(auroc([0.1, 0.2], [1, 1]))
    assert math.isnan(auroc([0.1, 0.2], [0, 0]))
    assert math.isnan(auroc([], []))


def test_rank_correlation_closed_form() -> None:
    # 1 - 6 sum d^2 / (n (n^2 - 1)) with d = (0, 1, -1, 0): 1 - 12 / 60.
    assert rank_correlation([1.0, 2.0, 3.0, 4.0], [10.0, 30.0, 20.0, 400.0]) == pytest.approx(0.8, abs=1e-5)
    assert rank_correlation([1, 2, 3], [9, 4, 1]) == pytest.approx(-1.0, abs=1e-5)
    assert rank_correlation([1.0, 2.0, 3.0], [math.exp(x) for x in (1, 2, 3)]) == pytest.approx(1.0, abs=1e-5)


def test_rank_correlation_averages_ties() -> None:
    # Ranks (1.5, 1.5, 3) and (1, 2, 3): covariance 1.5 / sqrt(1.5 * 2).
    assert rank_correlation([4.0, 4.0, 7.0], [1.0, 2.0, 3.0]) == pytest.approx(1.5 / math.sqrt(3.0), abs=1e-5)


def test_rank_correlation_with_an_array_of_integers() -> None:
    # ranks (1, 2, 3, 4) and (1, 3, 2, 4) as in the closed form above
    assert rank_correlation([1.0, 2.0, 3.0, 4.0], np.array([-1, 3, 2, 40], np.int32)) == pytest.approx(0.8)


def test_rank_correlations_of_a_table_by_hand() -> None:
    # columns 0 and 1 as above; column 2 is the first one upside down, column 3 constant
    table = np.array([[1.0, 10, 4, 7], [2, 30, 3, 7], [3, 20, 2, 7], [4, 400, 1, 7]])
    found = rank_correlations(table)
    assert found[:3, :3].tolist() == [
        pytest.approx([1.0, 0.8, -1.0]),
        pytest.approx([0.8, 1.0, -0.8]),
        pytest.approx([-1.0, -0.8, 1.0]),
    ]
    assert np.isnan(found[3]).all()
    assert np.isnan(found[:, 3]).all()


def test_rank_correlation_is_nan_where_undefined() -> None:
    assert math.isnan(rank_correlation([1.0, 1.0, 1.0], [1.0, 2.0, 3.0]))
    assert math.isnan(rank_correlation([1.0, 2.0, 3.0], [5, 5, 5]))
    assert math.isnan(rank_correlation([1.0], [2.0]))
    assert math.isnan(rank_correlation([], []))


def test_bad_input_is_refused() -> None:
    for call in (auroc, rank_correlation):
        with pytest.raises(ValueError, match="2 and 1"):
            call([1.0, 2.0], [1])
        with pytest.raises(ValueError, match="nan"):
            call([1.0, math.nan], [0, 1])
    with pytest.raises(ValueError, match="0 or 1"):
        auroc([1.0, 2.0], [0, 2])


def test_interval_of_the_area_has_the_width_that_theory_gives() -> None:
    """Hanley and McNeil (1982): Q1 = A / (2 - A), Q2 = 2 A^2 / (1 + A) for exponential scores."""
    draw = random.Random(3)
    right = [draw.expovariate(1.0) for _ in range(800)]
    wrong = [draw.expovariate(3.0) for _ in range(600)]  # P(right > wrong) = 3 / (3 + 1)
    scores, labels = right + wrong, [1] * 800 + [0] * 600
    low, high = auroc_interval(scores, labels, samples=500)
    area, q1, q2 = 0.75, 0.75 / 1.25, 2 * 0.75**2 / 1.75
    error = math.sqrt((area * (1 - area) + 799 * (q1 - area**2) + 599 * (q2 - area**2)) / (800 * 600))
    assert low < auroc(scores, labels) < high
    assert high - low == pytest.approx(2 * 1.96 * error, rel=0.15)


def test_interval_of_a_perfect_and_of_a_useless_score() -> None:
    assert auroc_interval([3, 4, 1, 2], [1, 1, 0, 0]) == (1.0, 1.0)
    assert auroc_interval([1, 1, 1], [1, 0, 0]) == (0.5, 0.5)
    with pytest.raises(ValueError, match="right and wrong"):
        auroc_interval([1, 2], [1, 1])
