"""Differences and their intervals against distributions that can be written down."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from lightning_c3l.functional.significance import difference

Floats = NDArray[np.float64]


def share(totals: Floats) -> Floats:
    return totals[..., 0, 0] / totals[..., 0, 1]


def right(rows: list[list[int]]) -> Floats:
    """Counts [S, I, 1, 2] of one question an image, right (1) or wrong (0), by seed."""
    table = np.array(rows, dtype=np.float64)
    return np.stack([table, np.ones_like(table)], axis=-1)[:, :, None]


def test_models_that_answer_alike_differ_by_nothing_at_all() -> None:
    rows = [[1, 0, 1, 1], [0, 0, 1, 1]]
    found = difference({"a": right(rows), "b": right(rows)}, {"a": 1, "b": -1}, share)
    assert (found.mean, found.low, found.high, found.by_seed, found.verdict) == (0, 0, 0, (0, 0), "not told from 0")


def test_two_seeds_that_differ_are_the_ends_of_the_interval() -> None:
    # no image differs from another, so only the draw of seeds counts: both times the same one with chance 1/4
    counts = {"a": right([[1] * 10, [1] * 10]), "b": right([[1] * 10, [0] * 10])}
    found = difference(counts, {"a": 1, "b": -1}, share)
    assert (found.mean, found.low, found.high, found.by_seed) == (0.5, 0, 1, (0, 1))


def test_the_interval_over_images_is_that_of_a_binomial_share() -> None:
    # one seed: the bootstrap of 1,000 images of which 200 differ has standard deviation sqrt(0.2 x 0.8 / 1000)
    counts = {"a": right([[1] * 1000]), "b": right([[1] * 800 + [0] * 200])}
    found = difference(counts, {"a": 1, "b": -1}, share, samples=4000)
    half = 1.96 * math.sqrt(0.2 * 0.8 / 1000)
    assert found.mean == pytest.approx(0.2)
    assert found.low == pytest.approx(0.2 - half, abs=0.003)
    assert found.high == pytest.approx(0.2 + half, abs=0.003)
    assert found.verdict == "above 0"
    assert difference(counts, {"a": -1, "b": 1}, share).verdict == "below 0"


def test_what_makes_an_image_hard_for_both_leaves_no_trace() -> None:
    # unpaired, shares of 0.5 of 20 images would differ by +-0.3 by chance
    hard = [1] * 10 + [0] * 10
    counts = {"a": right([hard, hard]), "b": right([hard, hard])}
    counts["b"][:, 0, 0, 0] = 0
    found = difference(counts, {"a": 1, "b": -1}, share)
    assert found.mean == pytest.approx(0.05)
    assert 0 <= found.low <= found.high <= 0.2


def test_a_figure_of_ratios_is_made_from_sums_and_not_averaged_over_images() -> None:
    # 1 of 1 and 0 of 3: together 1 of 4, not the mean of 1 and 0
    counts = {"a": np.array([[[[1.0, 1.0]], [[0.0, 3.0]]]])}
    assert difference(counts, {"a": 1}, share).mean == pytest.approx(0.25)


def test_models_with_other_images_or_none_are_refused() -> None:
    with pytest.raises(ValueError, match="the same seeds and images"):
        difference({"a": right([[1, 1]]), "b": right([[1]])}, {"a": 1, "b": -1}, share)
    with pytest.raises(ValueError, match="at least one seed and one image"):
        difference({"a": np.zeros((1, 0, 1, 2))}, {"a": 1}, share)
