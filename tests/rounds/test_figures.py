"""Diversity of generated questions against values worked out by hand."""

import math

import pytest

from lightning_c3l.records import Candidate, Instruction
from lightning_c3l.rounds.figures import writer_figures


def written(*pairs: tuple[str, str]) -> dict[str, object]:
    instruction = Instruction("k", "t")
    return writer_figures([Candidate(image, instruction, 0, "raw", question, "So.") for image, question in pairs])


def test_entropy_of_types_closed_form() -> None:
    # shares 1/2, 1/4, 1/4: (1/2) ln 2 + 2 (1/4) ln 4 = (3/2) ln 2
    some = written(("a", "What is it?"), ("a", "What else?"), ("a", "What color is it?"), ("b", "How many are there?"))
    assert some["kind_entropy"] == pytest.approx(1.5 * math.log(2))
    assert written(*[("a", "Why?")] * 9)["kind_entropy"] == 0.0
    assert written()["kind_entropy"] == 0.0


def test_the_same_question_about_another_image_is_another_one() -> None:
    assert written(("a", "What?"), ("a", "What?"), ("b", "What?"), ("a", "Who?"))["distinct_rate"] == 0.75
    assert written(*[("a", "What?")] * 4)["distinct_rate"] == 0.25
    assert written()["distinct_rate"] == 0.0
    # the border between image and question counts
    assert written(("ab", "c"), ("a", "bc"))["distinct_rate"] == 1.0
