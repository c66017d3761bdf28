"""Intervals and tests, against theory and against resampling done the slow way."""

import math
import random
import statistics

import numpy as np
import pytest
from numpy.typing import NDArray

from lightning_c3l.functional.significance import bootstrap_interval, mcnemar, paired_interval

Floats = NDArray[np.float64]


def _share(totals: Floats) -> Floats:
    return totals[..., 0, 0] / totals[..., 0, 1]


def _part(right: list[int]) -> Floats:
    return np.array([[one, 1.0] for one in right])


def test_interval_of_a_share_is_the_normal_one() -> None:
    low, high = bootstrap_interval([_part([1] * 300 + [0] * 700)], _share, samples=4000)
    error = math.sqrt(0.3 * 0.7 / 1000)
    assert low == pytest.approx(0.3 - 1.96 * error, abs=0.003)
    assert high == pytest.approx(0.3 + 1.96 * error, abs=0.003)


def test_interval_of_a_ratio_is_that_of_plain_resampling() -> None:
    draw = random.Random(1)
    pairs = [(draw.uniform(2, 9), draw.uniform(6, 10)) for _ in range(60)]
    plain = []
    for _ in range(4000):
        some = draw.choices(pairs, k=60)
        plain.append(sum(a for a, _ in some) / sum(b for _, b in some))
    cuts = statistics.quantiles(plain, n=40)
    found = bootstrap_interval([np.array(pairs)], _share, samples=4000)
    assert found == pytest.approx((cuts[0], cuts[-1]), abs=0.006)


def test_parts_are_drawn_apart() -> None:
    """Two parts without variance inside have no interval, although they differ from one another."""
    parts = [_part([1] * 5), _part([0] * 50)]

    def mean(totals: Floats) -> Floats:
        return (totals[..., 0] / totals[..., 1]).mean(-1)

    assert bootstrap_interval(parts, mean) == (0.5, 0.5)
    low, high = bootstrap_interval([_part([1] * 5 + [0] * 50)], _share)
    assert low < 5 / 55 < high


def test_pairing_takes_out_what_both_sides_share() -> None:
    """Side by side the two differ in every tenth question and always alike: the interval is that of a share of 0.1."""
    shared = [index % 2 for index in range(1000)]
    ours = [1 if index % 20 == 0 else value for index, value in enumerate(shared)]
    low, high = paired_interval([_part(ours)], [_part(shared)], _share, samples=4000)
    error = math.sqrt(0.05 * 0.95 / 1000)
    assert (low, high) == pytest.approx((0.05 - 1.96 * error, 0.05 + 1.96 * error), abs=0.002)
    back = paired_interval([_part(shared)], [_part(ours)], _share, samples=4000)
    assert back == pytest.approx((-high, -low))


def test_equal_figures_have_equal_intervals() -> None:
    part = _part([index % 3 == 0 for index in range(50)])
    assert bootstrap_interval([part], _share) == bootstrap_interval([part], _share)


@pytest.mark.parametrize(
    ("only_ours", "only_theirs", "p"),
    [
        (0, 0, 1.0),
        (1, 0, 1.0),
        (5, 0, 2 / 32),  # 2 (1/2)^5
        (0, 6, 2 / 64),
        (8, 2, 2 * (1 + 10 + 45) / 1024),
        (2, 8, 2 * (1 + 10 + 45) / 1024),
        (3, 3, 1.0),
    ],
)
def test_mcnemar_is_the_exact_binomial(only_ours: int, only_theirs: int, p: float) -> None:
    ours = np.array([1] * only_ours + [0] * only_theirs + [1] * 9 + [0] * 4, dtype=bool)
    theirs = np.array([0] * only_ours + [1] * only_theirs + [1] * 9 + [0] * 4, dtype=bool)
    assert mcnemar(ours, theirs) == pytest.approx(p)


def test_mcnemar_of_many_differences_goes_to_the_normal_one() -> None:
    """5,100 to 4,900 with continuity correction: z = 199 / 100."""
    ours = np.array([1] * 5100 + [0] * 4900, dtype=bool)
    assert mcnemar(ours, ~ours) == pytest.approx(math.erfc(1.99 / math.sqrt(2)), rel=0.01)


def test_bad_input_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one question"):
        bootstrap_interval([_part([1])[:0]], _share)
    with pytest.raises(ValueError, match="samples"):
        bootstrap_interval([_part([1])], _share, samples=0)
    with pytest.raises(ValueError, match="same questions"):
        paired_interval([_part([1])], [_part([1, 0])], _share)
    with pytest.raises(ValueError, match="same questions"):
        mcnemar(np.array([True]), np.array([True, False]))
