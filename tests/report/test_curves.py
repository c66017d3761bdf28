"""The curves of a run: which panels there are, and the figures in them."""

from typing import Any

import numpy as np
import pytest

from lightning_c3l.report.candidate_columns import CandidateColumns
from lightning_c3l.report.curves import curves
from lightning_c3l.report.distributions import distributions, split_scores, tail_quantiles
from lightning_c3l.report.extras import RunExtras
from lightning_c3l.report.panels import Panel
from tests.report.samples import NAN, refused, scored, states, summary, two_rounds
from tests.report.test_charts import marks

LIMITS = "guard: {limits: {held_out: 0.8, parsed_rate: 0.9, distinct_rate: null, answer_tokens: 2.0}}"


# of `states`, whose guard had no held-out images
CRITERION = "Criterion on the rounds' own images"


def panels(figures: dict[str, Any], rounds: Any = None, extras: RunExtras | None = None) -> dict[str, Panel]:
    return {one.title: one for one in curves(figures, columns(rounds or {}), extras or RunExtras())}


def columns(rounds: dict[int, Any]) -> dict[int, CandidateColumns]:
    return {number: CandidateColumns.of(own) for number, own in rounds.items()}


def points(panel: Panel) -> list[tuple[str | None, str | None]]:
    return [(one.get("data-x"), one.get("data-y")) for one in marks(panel.svg, "y")]


def limits(panel: Panel) -> list[float]:
    return sorted(float(one.get("data-limit", "")) for one in marks(panel.svg, "limit"))


def test_every_panel_has_the_figures_of_the_summary() -> None:
    found = panels({**summary(), "guard": states()})
    assert list(found) == [
        *(CRITERION, "Mean S(I²C)", "Truth rate", "Parsed texts", "Distinct questions", "Question types"),
    ]
    assert points(found[CRITERION]) == [("0", "0.375"), ("1", "0.125")]
    assert points(found["Truth rate"])[:2] == [("0", "0.75"), ("1", "0.8125")]
    # on the guard's images, then in the rounds
    assert points(found["Parsed texts"]) == [("0", "0.5"), ("1", "0.5"), ("0", "0.9375"), ("1", "0.9375")]
    shares = [(one.get("data-x"), one.get("data-series")) for one in marks(found["Question types"].svg, "value")]
    assert shares == [("0", "detail"), ("0", "yes/no"), ("1", "detail")]


def test_another_image_is_beside_the_right_one_by_the_same_reading() -> None:
    rounds = [
        {"round": 0, "i2c_mean": 3.0, "i2c_positive_mean": 4.0, "i2c_answer_mean": 0.5, "i2c_shuffled_mean": 0.25}
    ]
    found = panels({"rounds": rounds})
    assert points(found["Mean S(I²C)"]) == [("0", "3.0"), ("0", "4.0")]
    assert points(found["Mean S(I²C) answer"]) == [("0", "0.5"), ("0", "0.25")]


def test_limits_are_counted_from_the_first_state() -> None:
    guard = states()
    for state in guard["states"]:
        state["figures"] = {**state["figures"], "answer_tokens": 3.0}
    found = panels({"guard": guard}, extras=RunExtras(LIMITS))
    assert limits(found[CRITERION]) == pytest.approx([0.8 * 0.375])
    assert limits(found["Parsed texts"]) == pytest.approx([0.9 * 0.5])
    assert limits(found["Distinct questions"]) == []
    assert limits(found["Answer length"]) == pytest.approx([1.5, 6.0])


@pytest.mark.parametrize("config", ["", "a: [", "3", "guard: 3", "guard: {limits: {held_out: x}}"])
def test_without_limits_none_is_drawn(config: str) -> None:
    assert limits(panels({"guard": states()}, extras=RunExtras(config))[CRITERION]) == []


def test_the_interval_of_a_state_is_that_of_its_mean_over_images() -> None:
    guard = states()
    guard["states"][0]["by_image"] = {str(index): 0.375 for index in range(5)}
    (first, second) = marks(panels({"guard": guard})[CRITERION].svg, "y")
    # equal values have an interval without width
    assert "0.375 (0.375 to 0.375)" in "".join(first.itertext())
    # two images of 0 and 0.25: the means of two draws are 0, 0.125 and 0.25
    assert "0.125 (0.000 to 0.250)" in "".join(second.itertext())


def test_best_and_exported_states_are_marked() -> None:
    texts = panels({"guard": states()})[CRITERION].svg
    assert ">best</text>" in texts
    assert ">exported</text>" in texts
    assert ">best, exported</text>" in panels({"guard": {**states(), "exported": 0}})[CRITERION].svg


def test_the_criterion_is_called_held_out_only_where_it_is() -> None:
    assert next(iter(panels({"guard": states()}))) == "Criterion on the rounds' own images"
    assert next(iter(panels({"guard": {**states(), "source": "held_out"}}))) == "Held-out criterion"


def test_status_and_kind_come_from_the_texts() -> None:
    rounds = {
        0: [scored(0.25, kind="a", status="positive"), scored(0.5, kind="b", status="negative"), refused("x", "y")]
    }
    found = panels({}, rounds)
    assert list(found) == ["Status of the texts", "S(I²C) by kind of instruction"]
    parts = marks(found["Status of the texts"].svg, "value")
    assert [one.get("data-series") for one in parts] == ["positive", "negative", "rejected"]
    assert [float(one.get("data-value", "")) for one in parts] == pytest.approx([1 / 3] * 3)
    assert points(found["S(I²C) by kind of instruction"]) == [("0", "0.25"), ("0", "0.5")]


def test_question_types_are_named_for_reading() -> None:
    (panel,) = panels({"rounds": [{"kind_shares": {"yes_no": 0.5, "color": 0.5}}]}).values()
    assert [key.name for key in panel.keys] == ["yes or no", "color"]


def test_rare_parts_of_a_column_are_taken_together() -> None:
    shares = {f"type {index}": (12 - index) / 78 for index in range(12)}
    (panel,) = panels({"rounds": [{"kind_shares": shares}]}).values()
    assert [key.name for key in panel.keys] == [*(f"type {index}" for index in range(7)), "others"]
    parts = {one.get("data-series"): float(one.get("data-value", "")) for one in marks(panel.svg, "value")}
    assert parts["others"] == pytest.approx((5 + 4 + 3 + 2 + 1) / 78)


def test_the_loss_of_a_round_lies_behind_it() -> None:
    rows = [{"round/round": "0"}, *({"train/loss": str(loss)} for loss in (4.0, 2.0)), {"round/round": "1"}]
    rows += [{"train/loss": "1.0"}, {"train/loss": "odd"}, {"other": "3"}]
    (panel,) = panels({}, extras=RunExtras(metrics=rows)).values()
    assert panel.title == "Training loss"
    (line,) = marks(panel.svg, "series")
    path = next(one for one in line if one.tag.endswith("path")).get("d", "").split()
    xs = [float(word) for word in path[1::3]]
    # at 0.25, 0.75 and 1.25, the last one is no number
    assert xs[1] - xs[0] == pytest.approx(xs[2] - xs[1], abs=0.01)


def test_a_single_loss_is_seen() -> None:
    rows = [{"round/round": "0"}, {"train/loss": "0.5"}]
    (panel,) = panels({}, extras=RunExtras(metrics=rows)).values()
    assert points(panel) == [("0.5", "0.5")]
    assert [key.marked for key in panel.keys] == [True]


def test_scores_are_split_by_image_and_by_truth() -> None:
    texts = [
        scored(0.5, verdict="right"),
        scored(0.25, verdict="wrong"),
        scored(NAN, verdict="right"),
        refused("a", "b"),
    ]
    found = split_scores(CandidateColumns.of(texts))
    assert [(name, group, own.tolist()) for name, group, own in found] == [
        ("right image and another image", "right image", [0.5, 0.25]),
        ("right image and another image", "another image", [0.01] * 3),
        ("right and other texts", "right", [0.5]),
        ("right and other texts", "not right", [0.25]),
    ]
    assert {name for name, _, _ in split_scores(CandidateColumns.of(texts[3:]))} == {"right image and another image"}


@pytest.mark.parametrize("count", [1, 2, 3, 499, 500, 501, 2000, 10_007])
def test_quantiles_of_arrays_together(count: int) -> None:
    values = np.random.default_rng(count).normal(size=count)
    parts = np.split(values, [count // 7, count // 2, count // 2])
    assert tail_quantiles(lambda: parts, 0.002) == tuple(np.quantile(values, [0.002, 1 - 0.002]).tolist())


def test_rounds_share_their_bins() -> None:
    ((name, found),) = distributions(columns(two_rounds())).items()
    assert name == "right image and another image"
    assert [panel.title for panel in found] == ["Round 0", "Round 1"]
    # the same texts but for the rejected one
    counts = [[one.get("data-counts") for one in marks(panel.svg, "counts")] for panel in found]
    assert counts[0] == counts[1]
    assert sum(map(int, str(counts[0][0]).split())) == 8
    assert distributions(columns({0: [refused("a", "b")]})) == {}
    assert distributions({}) == {}


def test_of_many_rounds_the_first_and_the_last_are_drawn() -> None:
    (found,) = distributions(columns({number: [scored(0.1), scored(0.2)] for number in range(9)})).values()
    assert [panel.title for panel in found] == [f"Round {number}" for number in (0, 4, 5, 6, 7, 8)]


def test_scores_that_are_equal_but_for_rounding_are_drawn() -> None:
    # `shuffled` of these samples is 0.01
    (found,) = distributions(columns({0: [scored(0.01), scored(0.010000000000000002)]})).values()
    assert sum(map(int, str(marks(found[0].svg, "counts")[0].get("data-counts")).split())) == 2
