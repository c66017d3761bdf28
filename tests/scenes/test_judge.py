"""The rule judge's marks against shares that were counted by hand."""

import pytest

from lightning_c3l.evaluation.judging.base import AnswerPair, JudgeError
from lightning_c3l.evaluation.judging.prompted import parse_ratings
from lightning_c3l.scenes.judge import SceneJudge
from lightning_c3l.scenes.language import caption
from lightning_c3l.scenes.statements import scene_described, truthfulness
from lightning_c3l.scenes.world import Scene, Thing, sample_scene

SCENE = Scene({"ring": Thing("red", "top left", "three"), "cross": Thing("gray", "bottom right", "one")}, seed=0)
DESCRIBE = "Describe the picture."
WRITE = "Write a color question with its answer."
SHARES = [
    ("What color are the rings?", "red", 1.0),
    ("What color are the rings?", "Red.", 1.0),
    ("What color are the rings?", "blue", 0.0),
    ("How many rings are there?", "3", 1.0),
    ("Are there any squares?", "no", 1.0),
    ("Are there any squares?", "yes", 0.0),
    ("Where are the squares?", "top left", 0.0),  # there are none
    ("What is this?", "a ring", 0.0),
    ("What color are the rings?", "", 0.0),
    (DESCRIBE, "three red rings top left, one gray cross bottom right.", 1.0),
    (DESCRIBE, "one gray cross bottom right, three red rings top left", 1.0),  # any order
    (DESCRIBE, "three red rings top left.", 3 / 6),  # all so, half of what there is
    (DESCRIBE, "three blue rings top left, one gray cross bottom right.", 5 / 7),  # one of six wrong: 5 of 6 + 1
    (DESCRIBE, "three red rings top left, one gray cross bottom right, two blue squares top right.", 6 / 9),
    (DESCRIBE, "three red rings top left, nonsense.", 3 / 7),
    (DESCRIBE, "", 0.0),
    (WRITE, "Question: What color are the rings?\nAnswer: red", 1.0),
    (WRITE, "Question: What color are the rings?\nAnswer: green", 0.0),
    (WRITE, "Question: What color are the squares?\nAnswer: red", 0.0),  # not there
    (WRITE, "Question: How many rings are there?\nAnswer: three", 0.0),  # another kind than asked for
    (WRITE, "red", 0.0),
]


@pytest.mark.parametrize(("question", "answer", "share"), SHARES)
def test_shares_of_right_statements(question: str, answer: str, share: float) -> None:
    assert truthfulness(SCENE, question, answer) == pytest.approx(share)


def to_judge(question: str, reference: str, candidate: str) -> AnswerPair:
    return AnswerPair("7", "detail", question, caption(SCENE), reference, candidate)


@pytest.mark.parametrize(("question", "answer", "share"), SHARES)
def test_marks_are_one_plus_nine_times_the_share(question: str, answer: str, share: float) -> None:
    (review,) = SceneJudge().review([to_judge(question, answer, answer)])
    assert review.candidate == review.reference == pytest.approx(1 + 9 * share, abs=0.05)
    assert parse_ratings(review.text) == (review.reference, review.candidate)


def test_both_orders_give_the_same_marks_in_their_places() -> None:
    pair = to_judge(DESCRIBE, caption(SCENE), "three red rings top left.")
    first, second = SceneJudge().review([pair], both_orders=True)
    assert (first.reference, first.candidate) == (second.reference, second.candidate) == (10.0, 5.5)
    assert parse_ratings(first.text) == (10.0, 5.5)
    assert parse_ratings(second.text) == (5.5, 10.0)
    assert (first.order, second.order) == ("reference first", "candidate first")
    assert (first.id, first.kind, first.judge) == ("7", "detail", SceneJudge.name)


@pytest.mark.parametrize("seed", range(20))
def test_a_description_holds_all_of_a_scene_that_has_a_name(seed: int) -> None:
    scene = sample_scene(seed, 0.3)
    described = scene_described(caption(scene))
    assert described is not None
    assert described.things == scene.things


@pytest.mark.parametrize("context", ["A dog on a sofa.", "", "one red ring top left, one blue ring top right."])
def test_a_description_of_another_world_is_refused(context: str) -> None:
    with pytest.raises(JudgeError, match=r"question 7: .* only knows images of the embedded world"):
        SceneJudge().review([AnswerPair("7", "conv", "What is it?", context, "a dog", "a cat")])
