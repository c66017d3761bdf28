"""Figures of the end of a run, and the sentence about it."""

import math
from typing import Any

import pytest

from lightning_c3l.report.final import final_figures
from lightning_c3l.report.headline import change_interval, headline


def state(number: int, held_out: float, tripped: tuple[str, ...] = (), **figures: float) -> dict[str, Any]:
    # one image below and one above the mean
    by_image = {"a": held_out - 0.125, "b": held_out + 0.125}
    measured = {"i2c_mean": 0.5, "i2c_shuffled_mean": 0.125, "parsed_rate": 1.0, "distinct_rate": 0.5, **figures}
    return {
        "round": number,
        "held_out": held_out,
        "by_image": by_image,
        "tripped": list(tripped),
        "figures": measured,
    }


def summary(*states: dict[str, Any], **parts: Any) -> dict[str, Any]:
    best = {"round": 1, "held_out": 0.75}
    exported = states[-1]["round"] if states else None
    guard = {"action": "warn", "source": "held_out", "states": list(states), "best": best, "exported": exported}
    return {"guard": guard, **parts}


def test_figures_are_those_of_the_exported_state() -> None:
    told = summary(state(0, 0.5), state(1, 0.75, i2c_mean=0.875), state(2, 0.25, ("too little",)))
    told["guard"]["exported"] = 1
    found = final_figures(told)
    assert (found["held_out_criterion"], found["held_out_criterion_start"]) == (0.75, 0.5)
    assert (found["exported_state"], found["best_state"], found["limits_broken"]) == (1, 1, 1)
    assert (found["i2c_right"], found["i2c_other"], found["i2c_difference"]) == (0.875, 0.125, 0.75)


def test_what_is_missing_or_not_finite_is_left_out() -> None:
    assert final_figures({}) == {}
    found = final_figures({"seconds_total": math.nan, "i2c_auroc": {"gap": 0.75, "answer": None, "n": 4}})
    assert found == {"auroc_gap": 0.75}
    assert final_figures({"guard": {"states": []}, "dataset": {"pairs": 3, "image_root": "/x"}}) == {"dataset_pairs": 3}


def test_conditions_have_the_same_names_whatever_lambda_is() -> None:
    conditions = {"starting model": {"nll, own": 3.0}, "tuned, lambda 0.1": {"unseen truth, own": 0.5}}
    found = final_figures({"exposure_bias": {**conditions, "tuned, lambda 0": {"unseen truth, own": 0.25}}})
    assert found == {
        "exposure_base_nll_own": 3.0,
        "exposure_tuned_unseen_truth_own": 0.5,
        "exposure_control_unseen_truth_own": 0.25,
    }
    # a run that is trained without the contrastive term is no control
    assert final_figures({"exposure_bias": {"tuned, lambda 0": {"nll, own": 1.0}}}) == {"exposure_tuned_nll_own": 1.0}


def test_cost_is_summed_over_rounds() -> None:
    rounds = [{"candidates": 8, "seconds": {"train": 2.0, "score": 1.0}}, {"candidates": 4, "seconds": {"train": 3.0}}]
    found = final_figures({"rounds": rounds, "seconds_total": 9.5})
    assert found == {"seconds_train": 5.0, "seconds_score": 1.0, "seconds_total": 9.5, "candidates_total": 12}


def test_a_run_that_was_killed_in_its_first_round_has_no_criterion_of_its_end() -> None:
    told = summary(state(0, 0.5))
    told["guard"]["exported"] = None
    found = final_figures(told)
    assert found["held_out_criterion_start"] == 0.5
    assert "held_out_criterion" not in found
    # the first state may be what a run exports
    assert final_figures(summary(state(0, 0.5)))["held_out_criterion"] == 0.5


def test_without_truth_the_held_out_criterion_decides() -> None:
    # both images changed by +0.25, so every resample has that change
    told = headline(summary(state(0, 0.5), state(1, 0.75)))
    assert told.verdict == "better"
    assert told.figures[0].interval == (0.25, 0.25)
    assert told.sentence == (
        "The rounds helped: held-out criterion 0.500 \u2192 0.750 (change +0.250, 95 % +0.250 to +0.250)."
    )
    assert [one.name for one in told.figures] == ["held-out criterion", "parsed", "distinct questions"]
    assert told.notes == ()


def test_a_criterion_on_images_of_the_rounds_is_not_called_held_out() -> None:
    measured = summary(state(0, 0.5), state(1, 0.75))
    measured["guard"]["source"] = "images"
    told = headline(measured)
    assert told.sentence.startswith("The rounds helped: criterion on the rounds' own images 0.500 \u2192 0.750")
    assert told.figures[0].name == "criterion on the rounds' own images"
    assert "on images of the rounds" in told.figures[0].meaning


def test_known_truth_decides_where_there_is_some() -> None:
    writers = {
        "base": {"truth_rate": 0.75, "by_image": {"a": 0.5, "b": 1.0}},
        "tuned": {"truth_rate": 0.5, "by_image": {"a": 0.25, "b": 0.75}},
    }
    data = {"pairs": 3, "truth_rate": 0.875, "random_truth_rate": 0.5}
    told = headline(summary(state(0, 0.5), state(1, 0.75), writers=writers, dataset=data))
    assert told.verdict == "worse"
    assert told.sentence.startswith("The rounds did harm: truth of generated pairs 0.750 \u2192 0.500")
    assert [one.name for one in told.figures[:3]] == [
        "truth of generated pairs",
        "held-out criterion",
        "truth, random \u2192 selected",
    ]
    assert (told.figures[2].before, told.figures[2].after) == (0.5, 0.875)


def test_a_change_of_both_signs_is_undecided() -> None:
    mixed = state(1, 0.5)
    mixed["by_image"] = {"a": 0.0, "b": 1.0}
    told = headline(summary(state(0, 0.5), mixed))
    assert told.verdict == "undecided"
    # a fell by 0.375 and b rose by as much: a resample of two has both twice in 1 of 4 cases
    assert told.figures[0].interval == (-0.375, 0.375)


def test_a_rise_of_the_criterion_is_no_success_where_a_limit_was_broken() -> None:
    told = headline(summary(state(0, 0.5), state(1, 0.625, ("parsed rate fell",)), state(2, 0.75)))
    assert told.verdict == "worse"
    assert told.sentence == (
        "The rounds probably did harm: state 1 broke a limit of the guard; "
        "held-out criterion 0.500 \u2192 0.750 can rise in a collapse too."
    )
    # known truth says more
    writers = {"base": {"truth_rate": 0.5}, "tuned": {"truth_rate": 0.75}}
    told = headline(summary(state(0, 0.5), state(1, 0.75, ("answers grew",)), writers=writers))
    assert told.verdict == "better"


def test_a_limit_that_a_later_state_than_the_exported_one_broke_does_not_count() -> None:
    stopped = summary(state(0, 0.5), state(1, 0.75), state(2, 0.25, ("contrast fell",)))
    stopped["guard"]["exported"] = 1
    assert headline(stopped).verdict == "better"


def test_a_run_that_went_back_to_the_starting_model_did_harm() -> None:
    stopped = summary(state(0, 0.5), state(1, 0.75, ("contrast fell",)))
    stopped["guard"]["exported"] = 0
    told = headline(stopped)
    assert told.verdict == "worse"
    assert told.sentence == (
        "The rounds did harm: state 1 broke a limit of the guard, and the starting model was exported."
    )


def test_a_run_in_which_no_image_changed_says_so() -> None:
    told = headline(summary(state(0, 0.5), state(1, 0.5)))
    assert told.verdict == "undecided"
    assert told.sentence == "The rounds changed nothing: held-out criterion 0.500."


def test_limits_and_a_better_state_are_told() -> None:
    told = headline(summary(state(0, 0.5), state(1, 0.75), state(2, 0.625, ("contrast fell",))))
    assert told.notes[0] == "State 2 broke a limit: contrast fell."
    assert "Exported is state 2 (held-out criterion 0.625); the best was state 1 (0.750)" in told.notes[1]
    guard = {**summary(state(0, 0.5), state(1, 0.75), state(2, 0.625))["guard"], "source": "images"}
    (note,) = headline({"guard": guard}).notes
    assert note.startswith("Exported is state 2 (criterion on the rounds' own images 0.625)")


@pytest.mark.parametrize("told", [{}, summary(), summary(state(0, 0.5)), {"writers": {"base": {}, "tuned": {}}}])
def test_a_run_without_measurement_says_so(told: dict[str, Any]) -> None:
    found = headline({**told, "seconds_total": 9.5})
    assert found.verdict == "unmeasured"
    assert "data.held_out" in found.sentence
    # one that was killed may have asked for it
    assert "measured after the last training" in headline(told).sentence


def test_intervals_pair_images_of_both_sides() -> None:
    assert change_interval({"a": 1.0}, {"a": 2.0}) is None
    assert change_interval({"a": 1.0, "b": None, "c": 0.0}, {"a": 2.0, "b": 1.0, "d": 3.0}) is None
    assert change_interval({"a": 1.0, "b": 0.0, "c": 5.0}, {"b": 1.0, "a": 2.0}) == (1.0, 1.0)


@pytest.mark.parametrize(
    ("told", "sentence"),
    [
        ({"evaluation": {"benchmark": "pope", "n": 2400, "test/pope_f1": 0.5}}, "pope_f1 is 0.500 on 2,400 questions."),
        ({"dataset": {"pairs": 1200}}, "1,200 pairs were written and selected; no round was trained."),
    ],
)
def test_a_run_without_rounds_says_what_it_came_to(told: dict[str, Any], sentence: str) -> None:
    found = headline(told)
    assert (found.sentence, found.verdict) == (sentence, "unmeasured")
    begun = headline({**told, "rounds": [{"round": 0}], "seconds_total": 9.5})
    assert begun.sentence.startswith("Nothing says yet whether the rounds helped: set data.held_out")
