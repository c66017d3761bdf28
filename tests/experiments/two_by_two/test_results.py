"""Contrasts between the models, and when the claim holds."""

from typing import Any

import pytest

from experiments.two_by_two.plan import GRID, NONE
from experiments.two_by_two.results import CONTRASTS, claim_verdict, set_cells, summary

FIGURES = ("pope_f1", "seed_rank", "mmbench_circular", "llava_w_score")
CLAIM = "tuned-top-even - starting-random"


def test_main_effects_are_half_the_sum_of_both_rows_or_columns() -> None:
    value = {"starting-random": 10.0, "starting-top": 12.0, "tuned-random": 15.0, "tuned-top": 21.0}
    effects = {
        name: sum(weight * value.get(model, 0.0) for model, weight in weights.items())
        for name, weights in CONTRASTS.items()
        if set(weights) <= set(GRID)
    }
    assert effects == {
        "tuned-top - starting-random": 11.0,
        "writer: tuned - starting": ((15 - 10) + (21 - 12)) / 2,
        "selection: top - random": ((12 - 10) + (21 - 15)) / 2,
    }
    assert CONTRASTS[CLAIM] == {"tuned-top-even": 1, "starting-random": -1}
    assert all(sum(weights.values()) == 0 for weights in CONTRASTS.values())


ABOVE, OPEN, BELOW = "above 0", "not told from 0", "below 0"


@pytest.mark.parametrize(
    ("starting", "gaps", "holds", "parts"),
    [
        ([80, 70, 60, 50], [(2, ABOVE), (1, ABOVE), (0.5, OPEN), (-0.9, OPEN)], True, ([0, 1], [], [])),
        # lower by less than a point may even be sure
        ([90, 70, 60, 50], [(2, ABOVE), (1, ABOVE), (5, ABOVE), (-0.9, BELOW)], True, ([0, 1, 2], [], [])),
        # one alone is higher
        ([80, 70, 60, 50], [(2, ABOVE), (1, OPEN), (0.5, OPEN), (0, OPEN)], False, ([0], [], [])),
        # one is lower by more than a point, sure or not
        ([80, 70, 60, 50], [(2, ABOVE), (1, ABOVE), (3, ABOVE), (-1.1, OPEN)], False, ([0, 1, 2], [3], [])),
        # no room above the starting model
        ([80, 91, 60, 50], [(2, ABOVE), (1, ABOVE), (3, ABOVE), (4, ABOVE)], False, ([0, 1, 2, 3], [], [1])),
    ],
)
def test_the_claim_holds_where_two_are_higher_and_none_is_lower(
    starting: list[float], gaps: list[tuple[float, str]], holds: bool, parts: tuple[list[int], ...]
) -> None:
    figures = {name: {NONE: {"mean": mean}} for name, mean in zip(FIGURES, starting, strict=True)}
    contrasts: dict[str, Any] = {
        name: {CLAIM: {"mean": mean, "verdict": verdict}} for name, (mean, verdict) in zip(FIGURES, gaps, strict=True)
    }
    # what SEED's texts say counts for nothing: one figure a benchmark
    figures["seed_text"], contrasts["seed_text"] = {NONE: {"mean": 99.0}}, {CLAIM: {"mean": -9.0, "verdict": BELOW}}
    found = claim_verdict(figures, contrasts)
    higher, lower, full = ([FIGURES[number] for number in one] for one in parts)
    assert found == {"claim": CLAIM, "holds": holds, "higher": higher, "lower": lower, "no_room": full}


def test_the_summary_says_what_speaks_for_and_against() -> None:
    claim = {"claim": CLAIM, "holds": False, "higher": ["pope_f1", "seed_rank"], "lower": ["llava_w_score"]}
    assert summary({"claim": {**claim, "no_room": []}}) == (
        f"{CLAIM} does not hold; higher in POPE, F1 and SEED, rank; lower by more than 1 point in LLaVA-Bench, score"
    )


def test_numbers_of_pairs_are_whole_where_sets_are_shown() -> None:
    means = {"pairs": 640.0, "truth_rate": 0.5008, "i2c_mean": -0.25, "yes_share": None}
    assert set_cells(means) == ["640", "0.501", "\u22120.250", "\u2013"]
