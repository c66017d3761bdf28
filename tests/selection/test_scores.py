"""The score of a record, from values set by hand."""

import math

import pytest

from lightning_c3l.selection.scores import record_score


def turn(answer: object, tokens: object = 1, status: str = "scored", **more: object) -> dict[str, object]:
    return {"turn": 1, "status": status, "answer": answer, "tokens": tokens, **more}


def test_the_mean_over_turns_is_weighted_by_tokens() -> None:
    # (3 * 1.0 + 1 * 5.0) / 4 = 2
    found = record_score({"c3l_scores": [turn(1.0, 3), turn(5.0, 1)]})
    assert (found.value, found.tokens, found.why) == (2.0, 4, "")


def test_the_minimum_over_turns() -> None:
    assert record_score({"c3l_scores": [turn(1.0, 3), turn(-5.0, 1)]}, turns="min").value == -5.0


def test_the_reading_is_a_choice() -> None:
    extra = {"c3l_scores": [turn(1.0, gap=0.25)]}
    assert record_score(extra, by="gap").value == 0.25


def test_the_pair_of_a_run() -> None:
    found = record_score({"c3l": {"kind": "short", "scores": {"answer": 0.5, "tokens": 7}, "provenance": {}}})
    assert (found.value, found.tokens) == (0.5, 7)


def test_turns_without_a_score_do_not_count() -> None:
    extra = {"c3l_scores": [{"turn": 1, "status": "text_only"}, turn(2.0, 2), {"turn": 5, "status": "rejected"}]}
    assert record_score(extra).value == 2.0
    assert record_score(extra).tokens == 2


@pytest.mark.parametrize("score", [None, math.nan, math.inf, -math.inf, "0.5", True, [1.0], 1e13, -(10**400)])
def test_what_is_no_finite_number_is_no_score(score: object) -> None:
    found = record_score({"c3l_scores": [turn(score)]})
    assert math.isnan(found.value)
    assert found.why == "no finite answer score"
    assert record_score({"c3l_scores": [turn(score), turn(0.25, 4)]}).value == 0.25


@pytest.mark.parametrize("tokens", [None, 0, -1, "3", math.nan, 10**400])
def test_a_turn_without_tokens_is_no_score(tokens: object) -> None:
    assert math.isnan(record_score({"c3l_scores": [turn(1.0, tokens)]}).value)


@pytest.mark.parametrize(
    ("extra", "why"),
    [
        ({}, "not scored"),
        ({"c3l_scores": []}, "not scored"),
        ({"c3l_scores": "text"}, "not scored"),
        ({"c3l_scores": [1, None]}, "not scored"),
        ({"c3l": {"kind": "short"}}, "not scored"),
        ({"c3l_scores": [{"status": "text_only"}] * 2}, "text-only"),
        (
            {"c3l_scores": [{"status": "text_only"}, {"status": "rejected", "reason": "no\nimage"}]},
            "rejected: no image",
        ),
    ],
)
def test_why_there_is_no_score(extra: dict[str, object], why: str) -> None:
    assert record_score(extra).why == why


def test_a_reason_is_short() -> None:
    found = record_score({"c3l_scores": [{"status": "rejected", "reason": "x" * 1000}]})
    # what was cut is marked
    assert found.why == "rejected: " + "x" * 69 + "…"
