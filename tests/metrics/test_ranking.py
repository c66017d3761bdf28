"""Ranking figures and intervals, against values worked out by hand."""

import math
import random

import pytest
import torch

from lightning_c3l.metrics.ranking import auroc, auroc_interval, paired_bootstrap, rank_correlation, rank_correlations


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


def test_rank_correlations_of_a_table_by_hand() -> None:
    # columns 0 and 1 as above; column 2 is the first one upside down, column 3 constant
    table = torch.tensor([[1.0, 10, 4, 7], [2, 30, 3, 7], [3, 20, 2, 7], [4, 400, 1, 7]])
    found = rank_correlations(table)
    assert found[:3, :3].tolist() == [
        pytest.approx([1.0, 0.8, -1.0]),
        pytest.approx([0.8, 1.0, -0.8]),
        pytest.approx([-1.0, -0.8, 1.0]),
    ]
    assert found[3].isnan().all()
    assert found[:, 3].isnan().all()


def test_rank_correlation_is_nan_where_undefined() -> None:
    assert math.isnan(rank_correlation([1.0, 1.0, 1.0], [1.0, 2.0, 3.0]))
    assert math.isnan(rank_correlation([1.0, 2.0, 3.0], [5, 5, 5]))
    assert math.isnan(rank_correlation([1.0], [2.0]))
    assert math.isnan(rank_correlation([], []))


def test_paired_bootstrap_of_a_constant_difference_has_no_width() -> None:
    mean, low, high = paired_bootstrap([1.5, 2.5, 9.5], [1.0, 2.0, 9.0], samples=50)
    assert (mean, low, high) == pytest.approx((0.5, 0.5, 0.5))


def test_paired_bootstrap_matches_the_normal_interval() -> None:
    # 400 pairs differing by +1 or -1 evenly: standard error 1/20, so the interval is about 0 +- 1.96/20.
    a = [float(i % 2) * 2 + i for i in range(400)]
    b = [1.0 + i for i in range(400)]
    mean, low, high = paired_bootstrap(a, b, samples=4000)
    assert mean == pytest.approx(0.0)
    assert low == pytest.approx(-0.098, abs=0.012)
    assert high == pytest.approx(0.098, abs=0.012)


def test_paired_bootstrap_is_seeded() -> None:
    a, b = [0.0, 1.0, 0.0, 1.0, 1.0, 0.3], [1.0, 0.0, 0.0, 0.5, 0.0, 0.1]
    assert paired_bootstrap(a, b, samples=200) == paired_bootstrap(a, b, samples=200, seed=0)
    assert paired_bootstrap(a, b, samples=200) != paired_bootstrap(a, b, samples=200, seed=1)
    mean, low, high = paired_bootstrap(a, b, samples=200)
    assert mean == pytest.approx((-1 + 1 + 0 + 0.5 + 1 + 0.2) / 6)
    assert low < mean < high


def test_bad_input_is_refused() -> None:
    for call in (auroc, rank_correlation, paired_bootstrap):
        with pytest.raises(ValueError, match="2 and 1"):
            call([1.0, 2.0], [1])
        with pytest.raises(ValueError, match="nan"):
            call([1.0, math.nan], [0, 1])
    with pytest.raises(ValueError, match="0 or 1"):
        auroc([1.0, 2.0], [0, 2])
    with pytest.raises(ValueError, match="at least one pair"):
        paired_bootstrap([], [])
    with pytest.raises(ValueError, match="samples"):
        paired_bootstrap([1.0], [0.0], samples=0)


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
