"""Draws by weight: counts, order, determinism."""

import math
from collections import Counter
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from data_modules.loading import samplers


def draw_by_weight(weights: list[float], seed: int, passes: float = 1.0) -> list[int]:
    return samplers.draw_by_weight(weights, seed, passes).tolist()


WEIGHTS = st.lists(st.one_of(st.just(0.0), st.floats(0.01, 5.0)), min_size=1, max_size=30).filter(any)


@settings(deadline=None)
@given(WEIGHTS, st.integers(0, 2**31 - 1), st.sampled_from([0.5, 1.0, 2.0]))
def test_each_is_drawn_as_often_as_its_weight_says_give_or_take_one(
    weights: list[float], seed: int, passes: float
) -> None:
    drawn = draw_by_weight(weights, seed, passes)
    total = math.ceil(len(weights) * passes)
    assert len(drawn) == total
    counts = Counter(drawn)
    assert set(counts) <= set(range(len(weights)))
    for number, weight in enumerate(weights):
        expected = weight * total / sum(weights)
        assert math.floor(expected - 1e-6) <= counts[number] <= math.ceil(expected + 1e-6)
        assert weight > 0 or counts[number] == 0


def test_whole_weights_are_drawn_exactly() -> None:
    for seed in range(20):
        assert Counter(draw_by_weight([3.0, 0.0, 1.0, 2.0, 0.0, 0.0], seed)) == {0: 3, 2: 1, 3: 2}


def test_a_draw_at_the_very_edge_takes_no_group_of_weight_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "rand", lambda *_, **__: torch.zeros(1))
    assert Counter(draw_by_weight([0.0, 2.0, 0.0, 2.0, 0.0], 0)) in ({1: 3, 3: 2}, {1: 2, 3: 3})


def test_the_rest_of_a_weight_is_its_probability() -> None:
    # 3 draws over weights 1 : 2 of a sum of 4 and a zero group: group 0 has 3/4 of a draw on average
    counts = [Counter(draw_by_weight([1.0, 3.0, 0.0], seed))[0] for seed in range(2000)]
    assert set(counts) == {0, 1}
    assert abs(sum(counts) / 2000 - 0.75) < 4 * math.sqrt(0.75 * 0.25 / 2000)


def test_the_draw_depends_on_the_seed_alone() -> None:
    weights = [0.5, 1.5, 1.0, 1.0, 2.0]
    first = draw_by_weight(weights, 3)
    torch.rand(9)
    assert draw_by_weight(weights, 3) == first
    assert len({tuple(draw_by_weight(weights, seed)) for seed in range(10)}) > 5


def test_order_is_mixed() -> None:
    drawn = draw_by_weight([1.0] * 100, 0)
    assert sorted(drawn) == list(range(100))
    assert sum(a + 1 == b for a, b in pairwise(drawn)) < 10


@pytest.mark.parametrize("weights", [[], [0.0, 0.0], [1.0, -0.1], [math.nan, 1.0], [1.0, math.inf]])
def test_weights_that_cannot_be_drawn_are_refused(weights: list[float]) -> None:
    with pytest.raises(ValueError, match="sampling weights"):
        draw_by_weight(weights, 0)


@pytest.mark.parametrize("passes", [0.0, -1.0])
def test_no_pass_is_refused(passes: float) -> None:
    with pytest.raises(ValueError, match="passes"):
        draw_by_weight([1.0], 0, passes)
