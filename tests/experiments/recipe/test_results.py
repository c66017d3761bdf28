"""Verdicts by the rule of the protocol, and intervals by closed forms."""

import math
from dataclasses import asdict
from typing import Any

import pytest

from experiments.recipe.protocol import Target
from experiments.recipe.results import differences, figures, verdict
from experiments.recipe.tables import target_text
from lightning_c3l.functional.significance import Difference

UP, DOWN, FLAT = Difference(0.05, 0.01, 0.09, ()), Difference(-0.05, -0.09, -0.01, ()), Difference(0.0, -0.02, 0.02, ())
A_LITTLE_LOWER = Difference(-0.009, -0.03, 0.01, ())


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ({"truth": UP, "qa": DOWN}, "better: truth of statements"),
        ({"truth": FLAT, "own_unseen": UP, "qa": FLAT}, "better: own beginnings, unseen"),
        ({"truth": FLAT, "own_unseen": UP, "qa": A_LITTLE_LOWER}, "better: own beginnings, unseen"),
        (
            {"truth": FLAT, "own_unseen": UP, "qa": DOWN, "distinct": DOWN},
            "own beginnings, unseen higher, but lower: QA accuracy; distinct",
        ),
        ({"truth": DOWN, "own_unseen": FLAT}, "worse: truth of statements"),
        ({"truth": FLAT, "own_unseen": FLAT, "qa": DOWN}, "not told from the baseline"),
        ({}, "not measured"),
    ],
)
def test_verdicts(found, expected):
    assert verdict(found, Target()) == expected


def test_the_target_in_words():
    truth, own = "the interval of truth of statements above 0", "the interval of own beginnings, unseen above 0"
    guarded = Target(guarded=("qa", "own_seen"))
    lower = "none of these lower by more than 0.01: QA accuracy; own beginnings, seen"
    assert target_text(asdict(guarded)) == f"Better: {truth}, or {own}, and {lower}."
    assert target_text(asdict(Target(higher=("truth",)))) == f"Better: {truth}."
    assert target_text(asdict(Target(alone=(), higher=("own_unseen",), guarded=()))) == f"Better: {own}."


def measured(*right: int) -> dict[str, Any]:
    sums = {f"image {number}": [float(one), 1.0] for number, one in enumerate(right)}
    return {"images": list(sums), "sums": {"truth": sums}, "cpu_seconds": {}}


def test_a_row_is_compared_on_the_seeds_that_it_shares_with_the_baseline():
    own = {0: measured(1, 1), 2: measured(1, 1)}
    baseline = {0: measured(1, 0), 1: measured(1, 1)}
    found = differences(own, baseline, 100)["truth"]
    assert found.by_seed == (0.5,)
    assert differences(own, {1: measured(1, 1)}, 100) == {}


def test_the_interval_is_over_images_and_seeds():
    # 400 of 1000 images at every seed: sd of the bootstrap sqrt(0.4 x 0.6 / 1000)
    own = {seed: measured(*([1] * 400 + [0] * 600)) for seed in range(3)}
    found = figures(own, 2000)["truth"]
    half = 1.96 * math.sqrt(0.4 * 0.6 / 1000)
    assert (found.mean, found.low, found.high) == pytest.approx((0.4, 0.4 - half, 0.4 + half), abs=0.004)
    # seeds alone: all right at one of two, so both ends come up
    found = figures({0: measured(1, 1), 1: measured(0, 0)}, 500)["truth"]
    assert (found.mean, found.low, found.high) == (0.5, 0.0, 1.0)
