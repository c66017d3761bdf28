"""Sums of a model's texts counted by hand, and the figures that they make."""

import math

import numpy as np
import pytest

from experiments.recipe.sums import Answered, answering_sums, counts_of, figure_of, reference_sums, writing_sums
from lightning_c3l.records import Candidate, Instruction, Verdict
from lightning_c3l.rounds.truth import Asked, Statement


class Grass:
    """A world in which grass is green, one may ask for nothing but it, and the grass of the second image is unseen."""

    def judge(self, image: str, question: str, answer: str) -> Verdict:
        return "right" if answer in ("green", "yes") else "wrong"

    def statements(self, image: str, question: str, answer: str) -> list[Statement]:
        """A statement a word."""
        return [Statement(0, 1, "word", word in ("green", "yes"), False) for word in answer.split()]

    def questions(self, images):
        raise NotImplementedError

    def resolve(self, image: str, question: str) -> Asked | None:
        if "grass" not in question:
            return None
        return Asked(image, "color", question, "green", image != "second")


def candidate(image: str, question: str, answer: str, rejected: str = "") -> Candidate:
    return Candidate(image, Instruction("color", "Write."), 0, "", question, answer, rejected)


def test_what_is_written():
    written = [
        candidate("first", "What color is the grass?", "green"),
        candidate("first", "What color is the grass?", "red green"),
        candidate("first", "Is there a moon?", "yes"),
        candidate("first", "", "", "no answer"),
        candidate("second", "Is there grass?", "no"),
    ]
    found = writing_sums(written, Grass(), ["color", "number"])
    assert found["right"] == {"first": [2, 4], "second": [0, 1]}
    # one of two statements of the second text
    assert found["truth"] == {"first": [2.5, 4], "second": [0, 1]}
    assert found["statements"] == {"first": [4, 4], "second": [1, 1]}
    assert found["parsed"] == {"first": [3, 4], "second": [1, 1]}
    assert found["distinct"] == {"first": [2, 3], "second": [1, 1]}
    assert found["yes"] == {"first": [1, 1], "second": [0, 1]}
    # the moon's question has no answer there
    assert found["kind_entropy"] == {"first": [2, 0, 1], "second": [1, 0, 0]}
    assert found["own_seen"] == {"first": [1.5, 2], "second": [0, 0]}
    assert found["own_unseen"] == {"first": [0, 0], "second": [0, 1]}


def test_what_is_answered():
    asked = [Asked("first", "color", "grass?", "green"), Asked("first", "presence", "grass?", "yes")]
    answers = [Answered(asked[0], "red"), Answered(asked[1], "yes")]
    assert answering_sums(answers, Grass()) == {
        "qa": {"first": [1, 2]},
        "qa_color": {"first": [0, 1]},
        "qa_presence": {"first": [1, 1]},
    }


def test_what_follows_beginnings_of_the_truth():
    asked = [Asked("first", "color", "a", "green", True), Asked("first", "color", "b", "green", False)]
    continued = [Answered(asked[0], " green"), Answered(asked[1], " red")]
    assert reference_sums(continued, Grass()) == {
        "reference": {"first": [1, 2]},
        "reference_seen": {"first": [1, 1]},
        "reference_unseen": {"first": [0, 1]},
    }


def test_figures_of_sums():
    # an image without a question of a kind counts for nothing
    counts = counts_of({"a": [1, 2], "c": [2, 2]}, ["a", "b", "c"])
    assert counts.shape == (3, 1, 2)
    assert figure_of("truth")(counts.sum(0)) == pytest.approx(3 / 4)
    kinds = np.array([[[3.0, 0.0, 1.0]]])
    assert figure_of("kind_entropy")(kinds)[0] == pytest.approx(-0.75 * math.log(0.75) - 0.25 * math.log(0.25))
    assert math.isnan(figure_of("yes")(np.zeros((1, 2))))
