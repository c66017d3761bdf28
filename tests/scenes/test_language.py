"""What is said about scenes, and the judge of it, against tables written by hand."""

import re
from random import Random

import pytest

from lightning_c3l.scenes.language import (
    KINDS,
    Query,
    ask,
    caption,
    normalise,
    queries,
    true_answer,
    truth,
    understand,
    usual_answer,
)
from lightning_c3l.scenes.world import PRIOR, SHAPES, Scene, Thing, sample_scene

SCENE = Scene(
    {
        "cross": Thing("gray", "bottom right", "one"),
        "ring": Thing("red", "top left", "three"),
        "square": Thing("yellow", "top right", "two"),
    },
    seed=0,
)
VERDICTS = [
    ("What color are the rings?", "red", "right"),
    ("What color are the rings?", "yellow", "wrong"),
    ("what colour is the ring", "Red.", "right"),
    ("Which color do the squares have?", "YELLOW!", "right"),
    ("Where are the crosses?", "bottom right", "right"),
    ("Where is the cross?", " Bottom   Right ", "right"),
    ("In which corner are the rings?", "bottom left", "wrong"),
    ("How many rings are there?", "three", "right"),
    ("How many rings do you see?", "3", "right"),
    ("How many rings do you see?", "3.", "right"),
    ("How many squares are there?", "Two", "right"),
    ("How many squares are there?", "1", "wrong"),
    ("Are there any crosses?", "yes", "right"),
    ("Are there any circles?", "no", "right"),
    ("Does the picture show circles?", "Yes", "wrong"),
    ("Is there a ring?", "no", "wrong"),
    # asked for what is not there
    ("What color are the circles?", "red", "unanswerable"),
    ("How many diamonds are there?", "one", "unanswerable"),
    ("Where are the triangles?", "top left", "unanswerable"),
    # no question, or no answer, of this world
    ("What color are the rings?", "pink", "unparsable"),
    ("What color are the rings?", "three", "unparsable"),
    ("How many rings are there?", "5", "unparsable"),
    ("How many rings are there?", "0", "unparsable"),
    ("Are there any crosses?", "maybe", "unparsable"),
    ("What color are the stars?", "red", "unparsable"),
    ("What color are the rings and squares?", "red", "unparsable"),
    ("Why are the rings red?", "red", "unparsable"),
    ("rings", "red", "unparsable"),
    ("", "", "unparsable"),
    ("Tell me what color the rings are", "red", "unparsable"),
    ("What color are the rings?", "", "unparsable"),
]


@pytest.mark.parametrize(("question", "answer", "verdict"), VERDICTS)
def test_truth(question: str, answer: str, verdict: str) -> None:
    assert truth(SCENE, question, answer) == verdict


def test_every_wording_is_understood() -> None:
    for kind in KINDS:
        for shape in SHAPES:
            wordings = {ask(Query(kind, shape), Random(seed)) for seed in range(20)}
            assert len(wordings) == 2
            assert {understand(wording) for wording in wordings} == {Query(kind, shape)}


@pytest.mark.parametrize(
    ("said", "meant"), [(" Two. ", "two"), ("2", "two"), ("4!", "four"), ("TOP  left", "top left"), ("5", "5")]
)
def test_normalise(said: str, meant: str) -> None:
    assert normalise(said) == meant


def test_questions_that_a_scene_can_answer() -> None:
    found = queries(SCENE)
    assert {q.shape for q in found if q.kind == "presence"} == set(SHAPES)
    for kind in ("color", "place", "number"):
        assert {q.shape for q in queries(SCENE, kind)} == {"cross", "ring", "square"}
    assert len(found) == 6 + 3 * 3


def test_the_prior_answers_without_looking() -> None:
    said = {(kind, shape): usual_answer(Query(kind, shape)) for kind in KINDS for shape in SHAPES}
    assert said["color", "circle"] == "red"
    assert said["presence", "circle"] == "yes"
    assert said["presence", "ring"] == "no"
    assert said["number", "cross"] == "four"
    assert said["place", "square"] == "bottom right"


def test_the_prior_is_always_wrong_on_fully_unusual_scenes_and_right_on_usual_ones() -> None:
    for seed in range(20):
        for follow, agrees in ((0.0, False), (1.0, True)):
            scene = sample_scene(seed, follow)
            for query in queries(scene):
                assert (true_answer(scene, query) == usual_answer(query)) is agrees


def test_captions_name_every_thing_in_reading_order() -> None:
    assert caption(SCENE) == "three red rings top left, two yellow squares top right, one gray cross bottom right."


@pytest.mark.parametrize("seed", range(20))
def test_a_caption_says_the_whole_scene(seed: int) -> None:
    scene = sample_scene(seed, 0.5)
    said = {}
    for part in caption(scene).removesuffix(".").split(", "):
        number, color, shape, place = re.fullmatch(r"(\w+) (\w+) (\w+) (\w+ \w+)", part).groups()  # type: ignore[union-attr]
        assert shape.endswith("s") == (number != "one") or shape == "cross"
        name = {"crosses": "cross", "cross": "cross"}.get(shape, shape.removesuffix("s"))
        said[name] = Thing(color, place, number)
    assert said == dict(scene.things)


def test_the_prior_is_a_scene() -> None:
    there = [habit.thing.place for habit in PRIOR.values() if habit.present]
    assert len(set(there)) == len(there)
