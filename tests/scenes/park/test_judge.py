"""The rule judge on the park: its marks against shares that were counted by hand."""

import pytest

from lightning_c3l.evaluation.judging.base import AnswerPair, JudgeError
from lightning_c3l.scenes import language as corners
from lightning_c3l.scenes import world as corners_world
from lightning_c3l.scenes.judge import SceneJudge
from lightning_c3l.scenes.park.language import describe
from lightning_c3l.scenes.park.statements import scene_described, truthfulness
from lightning_c3l.scenes.park.world import Scene, Thing, sample_scene

SCENE = Scene(
    {"tree": Thing("one", "small", "red", "in the center"), "flag": Thing("three", "large", "red", "at the top left")},
    seed=0,
)
TREE, FLAGS = "One small red tree is in the center.", "Three large red flags are at the top left."
DESCRIBE, TOTAL = "Describe the picture in detail.", "How many trees and flags are there together?"
SAME, SIDE = "Do the trees and the flags have the same color?", "Where are the flags, seen from the trees?"
SHARES = [
    ("What color are the trees?", "red", 1.0),
    ("What color are the trees?", "Red.", 1.0),
    ("What color are the trees?", "green", 0.0),
    ("What color are the trees?", "", 0.0),
    ("What color are the birds?", "blue", 0.0),  # there are none
    ("Are there any birds?", "no", 1.0),
    ("Are there any birds?", "yes", 0.0),
    ("What is this?", "a tree", 0.0),
    # five statements a thing: presence, number, size, color, place
    (DESCRIBE, f"{FLAGS} {TREE}", 1.0),
    ("What does the picture show?", f"{TREE} {FLAGS}", 1.0),  # any order
    (DESCRIBE, TREE, 5 / 10),  # all so, half of what there is
    (DESCRIBE, f"{TREE} {TREE}", 5 / 10),
    (DESCRIBE, f"{FLAGS} One small green tree is in the center.", 9 / 11),  # one of ten wrong: 9 of 10 + 1
    (DESCRIBE, f"{FLAGS} {TREE} Two small blue birds are at the top.", 10 / 15),
    (DESCRIBE, f"{FLAGS} And more.", 0.0),
    (DESCRIBE, "", 0.0),
    # three statements: the sum and both numbers
    (TOTAL, "Four, because there are one tree and three flags.", 1.0),
    (TOTAL, "Five, because there are one tree and three flags.", 2 / 4),
    (TOTAL, "Four, because there are two trees and two flags.", 1 / 5),
    (TOTAL, "Four, because there are one tree and three kites.", 0.0),  # not what was asked for
    (TOTAL, "Four.", 0.0),
    (SIDE, "The flags are above and left of the trees.", 1.0),
    (SIDE, "The flags are above the trees.", 0.0),
    # three statements: the comparison and both colors
    (SAME, "Yes, both are red.", 1.0),
    (SAME, "Yes, both are blue.", 1 / 5),
    (SAME, "No, the trees are green and the flags are red.", 1 / 5),
]


@pytest.mark.parametrize(("question", "answer", "share"), SHARES)
def test_shares_of_right_statements(question: str, answer: str, share: float) -> None:
    assert truthfulness(SCENE, question, answer) == pytest.approx(share)
    pair = AnswerPair("7", "detail", question, f"{FLAGS} {TREE}", answer, answer)
    (review,) = SceneJudge().review([pair])
    assert review.candidate == review.reference == pytest.approx(1 + 9 * share, abs=0.05)


def test_scenes_of_both_worlds_are_judged_together() -> None:
    shapes = corners_world.Scene({"ring": corners_world.Thing("red", "top left", "three")}, seed=0)
    pairs = [
        AnswerPair("1", "detail", "Describe the picture.", corners.caption(shapes), "", "three red rings top left."),
        AnswerPair("2", "detail", DESCRIBE, describe(SCENE.things), "", TREE),
    ]
    assert [review.candidate for review in SceneJudge().review(pairs)] == [10.0, 5.5]


@pytest.mark.parametrize("seed", range(20))
def test_a_description_holds_all_of_a_scene_that_has_a_name(seed: int) -> None:
    scene = sample_scene(seed, 0.3)
    described = scene_described(describe(scene.things))
    assert described is not None
    assert described.things == scene.things


@pytest.mark.parametrize(
    "context",
    ["A dog on a sofa.", "", f"{TREE} Two small red trees are at the top.", f"{TREE} And more.", "three red rings."],
)
def test_what_describes_no_scene_is_refused(context: str) -> None:
    with pytest.raises(JudgeError, match=r"question 7: .* only knows images of the embedded worlds"):
        SceneJudge().review([AnswerPair("7", "conv", "What is it?", context, "a dog", "a cat")])
