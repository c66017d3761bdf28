"""Contrasts between the models."""

from experiments.two_by_two.plan import GRID
from experiments.two_by_two.results import CONTRASTS


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
    assert all(sum(weights.values()) == 0 for weights in CONTRASTS.values())
