"""Limits on made-up figures, and figures small enough to work out by hand."""

import math
from dataclasses import fields, replace
from typing import Any

import pytest

from lightning_c3l.records import Candidate, Instruction, ScoredCandidate, Scores
from lightning_c3l.rounds.collapse import CollapseLimits, held_out_by_image, held_out_criterion, inflation, tripped
from lightning_c3l.rounds.figures import round_figures, truth_by_image

FIRST = {
    "parsed_rate": 1.0,
    "distinct_rate": 0.5,
    "kind_entropy": 1.25,
    "image_contrast": 0.5,
    "held_out": 0.25,
    "answer_tokens": 8.0,
    "inflation": 0.5,
}
FACTORS = ("answer_tokens", "inflation")
OFF = CollapseLimits(*[None] * len(fields(CollapseLimits)))


def one(answer: float | None, shuffled: float | None = None, tokens: int = 1, sample: int = 0) -> ScoredCandidate:
    if answer is None:
        return ScoredCandidate(Candidate("a", Instruction("k", "t"), sample, "junk", rejected="no question"))
    candidate = Candidate("a", Instruction("k", "t"), sample, "raw", "Why?", "So.")
    return ScoredCandidate(candidate, Scores(answer, 0.0, 0.0, 0.0, 0.0, 0.0, tokens), shuffled)


# readings `answer` with the own and with another image, and `gap`
CONTROLLED = ((0.75, 0.5, 2.0), (0.25, 0.0, 4.0))


def only(name: str, limit: float) -> CollapseLimits:
    return CollapseLimits(**{field.name: limit if field.name == name else None for field in fields(CollapseLimits)})


def test_the_first_state_and_a_better_one_break_nothing() -> None:
    assert tripped(FIRST, FIRST) == []
    better = {name: value * 1.4 for name, value in FIRST.items()}
    assert tripped(FIRST, better) == []


@pytest.mark.parametrize("name", [field.name for field in fields(CollapseLimits) if field.name not in FACTORS])
def test_a_fall_below_its_share_breaks_a_limit_and_nothing_else(name: str) -> None:
    # binary fractions: the share is met exactly
    at, below = {**FIRST, name: 0.75 * FIRST[name]}, {**FIRST, name: 0.7499 * FIRST[name]}
    assert tripped(FIRST, at, only(name, 0.75)) == []
    assert len(tripped(FIRST, below, only(name, 0.75))) == 1
    assert tripped(FIRST, below, OFF) == []


@pytest.mark.parametrize(("tokens", "broken"), [(16.0, 0), (16.1, 1), (4.0, 0), (3.9, 1)])
def test_answers_may_grow_neither_long_nor_short(tokens: float, broken: int) -> None:
    assert len(tripped(FIRST, {**FIRST, "answer_tokens": tokens}, only("answer_tokens", 2.0))) == broken


@pytest.mark.parametrize(("value", "broken"), [(0.75, 0), (0.76, 1), (0.1, 0)])
def test_the_own_score_may_not_rise_alone(value: float, broken: int) -> None:
    assert len(tripped(FIRST, {**FIRST, "inflation": value}, only("inflation", 1.5))) == broken


@pytest.mark.parametrize("value", [None, math.nan, 0.0, -0.5, "many", True])
def test_what_round_0_cannot_tell_is_passed_over(value: Any) -> None:
    for name in FIRST:
        assert tripped({**FIRST, name: value}, {**FIRST, name: 1e-9}) == []
    assert tripped({}, {}) == []


@pytest.mark.parametrize("value", [None, math.nan, math.inf])
def test_a_figure_that_is_gone_breaks_its_limit(value: Any) -> None:
    for name in FIRST:
        (said,) = tripped(FIRST, {**FIRST, name: value})
        assert "cannot be measured" in said


def test_the_sentence_has_the_figures() -> None:
    (said,) = tripped(FIRST, {**FIRST, "parsed_rate": 0.737})
    assert said == "parsed rate went from 1.000 at first to 0.737, below 0.9 of it"
    worse = {**FIRST, "held_out": FIRST["held_out"] / 2}
    (said,) = tripped(FIRST, worse)
    assert said.startswith("held-out criterion went from")
    (said,) = tripped(FIRST, worse, criterion="criterion on other images")
    assert said.startswith("criterion on other images went from")
    (said,) = tripped(FIRST, {**FIRST, "answer_tokens": 20.0})
    assert (
        said == "mean answer length in tokens went from 8.000 at first to 20.000, more than 2 times as long or as short"
    )


@pytest.mark.parametrize(
    "options",
    [{"parsed_rate": 0.0}, {"held_out": 1.5}, {"answer_tokens": 1.0}, {"inflation": 0.5}, {"kind_entropy": math.nan}],
)
def test_limits_are_checked(options: dict[str, float]) -> None:
    (name,) = options
    with pytest.raises(ValueError, match=rf"guard\.limits\.{name}"):
        CollapseLimits(**options)


def test_the_criterion_is_a_mean_over_all_texts() -> None:
    # (0.75 - 0.25) + (0.5 - 0.75), over five texts: one unparsable, one without a control, one with a broken one
    texts = [one(0.75, 0.25), one(0.5, 0.75), one(None), one(9.0), one(1.0, math.inf)]
    assert held_out_criterion(texts) == pytest.approx(0.25 / 5, abs=1e-12)
    assert held_out_criterion([one(None)]) == 0.0
    assert held_out_criterion([]) is None


def test_the_criterion_of_each_image() -> None:
    def of(image: str, scored: ScoredCandidate) -> ScoredCandidate:
        return replace(scored, candidate=replace(scored.candidate, image=image))

    texts = [
        of("a", one(0.75, 0.25)),
        of("a", one(None)),
        of("b", one(0.5, 0.75)),
        of("c", one(0.5)),
        of("a", one(1.0, 0.0)),
    ]
    assert held_out_by_image(texts) == {"a": 0.5, "b": -0.25, "c": 0.0}
    assert held_out_by_image([]) == {}


def test_the_truth_of_each_image() -> None:
    verdicts = [("a", "right"), ("b", "wrong"), ("a", "unparsable"), ("c", None), ("a", "right"), ("a", "unanswerable")]
    texts = [
        replace(one(0.5), candidate=replace(one(0.5).candidate, image=image), verdict=verdict)
        for image, verdict in verdicts
    ]
    assert truth_by_image(texts) == {"a": 0.5, "b": 0.0}


def test_inflation_is_what_the_own_scorer_adds() -> None:
    assert inflation(0.75, 0.5) == 1.5
    assert [inflation(*pair) for pair in ((None, 0.5), (0.5, None), (0.5, 0.0), (0.5, -1.0), (math.nan, 1.0))] == [
        None
    ] * 5


def image_contrast(scored: list[ScoredCandidate]) -> float | None:
    return round_figures(scored, "answer", 0)["image_contrast"]


def test_the_contrast_does_not_depend_on_the_size_of_the_score() -> None:
    # means 0.6 and 0.2: 0.4 / 0.8
    texts = [(0.8, 0.1), (0.4, 0.3)]
    assert image_contrast([one(*text) for text in texts]) == pytest.approx(0.5)
    assert image_contrast([one(5 * right, 5 * other) for right, other in texts]) == pytest.approx(0.5)
    assert image_contrast([one(0.25, 0.25)]) == 0.0
    # what has no control does not count
    assert image_contrast([one(0.75, -0.25), one(9.0), one(None)]) == 1.0
    assert image_contrast([one(0.5), one(None)]) is None
    assert image_contrast([one(0.0, 0.0)]) is None


def test_another_image_stands_beside_the_reading_that_it_is_scored_by() -> None:
    texts = [replace(one(right, other), scores=replace(one(right).scores, gap=gap)) for right, other, gap in CONTROLLED]
    by_gap = round_figures(texts, "gap", 0)
    assert [by_gap[f"i2c_{name}_mean"] for name in ("answer", "shuffled")] == [0.5, 0.25]
    assert by_gap["i2c_mean"] == 3.0
    # there the score is that reading
    by_answer = round_figures(texts, "answer", 0)
    assert (by_answer["i2c_mean"], "i2c_answer_mean" in by_answer) == (0.5, False)


def test_a_round_tells_the_length_of_its_answers() -> None:
    figures = round_figures([one(0.5, 0.1, 2), one(0.5, 0.1, 5, 1), one(None, sample=2)], "answer", 0)
    assert figures["answer_tokens"] == 3.5
    assert figures["parsed_rate"] == pytest.approx(2 / 3)
    assert round_figures([one(None)], "answer", 0)["answer_tokens"] is None
