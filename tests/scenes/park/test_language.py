"""What is said in the park, and the judge of it, against tables written by hand."""

from itertools import permutations
from random import Random

import pytest

from lightning_c3l.scenes.park.language import KINDS, Query, answer, caption, queries, side, understand, wordings
from lightning_c3l.scenes.park.statements import claims, is_invented, is_true, truth
from lightning_c3l.scenes.park.world import PRIOR, USUAL, Scene, Thing, expected_presence, imagine, sample_scene

SCENE = Scene(
    {
        # the prior: three large green trees on the left; a bird beside them
        "tree": Thing("one", "small", "red", "in the center"),
        "flag": Thing("three", "large", "red", "at the top left"),
        "ball": Thing("four", "small", "blue", "at the bottom"),
    },
    seed=0,
)
PAIRS = [
    ("How many flags are there?", "three", "right"),
    ("how many flags do you see", " Three. ", "right"),
    ("How many flags do you see?", "two", "wrong"),
    ("What size are the balls?", "small", "right"),
    ("How big are the balls?", "large", "wrong"),
    ("What color are the trees?", "red", "right"),
    ("Which color do the trees have?", "green", "wrong"),
    ("Where are the balls?", "at the bottom", "right"),
    ("Where are the balls?", "at the bottom left", "wrong"),
    ("In which part of the picture are the trees?", "in the center", "right"),
    ("Are there any balls?", "yes", "right"),
    ("Does the picture show birds?", "no", "right"),
    ("Does the picture show birds?", "Yes.", "wrong"),
    ("What color are the birds?", "blue", "unanswerable"),
    ("Are there more flags than trees?", "Yes, because there are three flags and one tree.", "right"),
    ("Do the trees outnumber the flags?", "No, because there are one tree and three flags.", "right"),
    ("Do the trees outnumber the flags?", "No, because there are two trees and three flags.", "wrong"),
    # a wrong conclusion from right numbers
    ("Are there more flags than trees?", "No, because there are three flags and one tree.", "wrong"),
    ("How many trees and balls are there together?", "Five, because there are one tree and four balls.", "right"),
    ("How many trees and balls are there together?", "Six, because there are one tree and four balls.", "wrong"),
    # a reason about other things than those asked for
    ("How many trees and balls are there together?", "Five, because there are one tree and four kites.", "unparsable"),
    ("Where are the flags, seen from the trees?", "The flags are above and left of the trees.", "right"),
    ("Where are the balls, seen from the trees?", "The balls are below the trees.", "right"),
    ("Where are the balls, seen from the trees?", "The balls are above the trees.", "wrong"),
    ("Do the trees and the flags have the same color?", "Yes, both are red.", "right"),
    ("Do the trees and the balls have the same color?", "No, the trees are red and the balls are blue.", "right"),
    ("Do the trees and the balls have the same color?", "No, the trees are green and the balls are blue.", "wrong"),
    ("Do the trees and the birds have the same color?", "Yes, both are red.", "unanswerable"),
    (
        "What does the picture show?",
        "Three large red flags are at the top left. One small red tree is in the center. "
        "Four small blue balls are at the bottom.",
        "right",
    ),
    ("Describe the picture in detail.", "One small red tree is in the center.", "right"),
    ("Describe the picture in detail.", "One small green tree is in the center.", "wrong"),
    ("Describe the picture in detail.", "One small red tree is in the center. And more.", "unparsable"),
    ("Describe the picture in detail.", "", "unparsable"),
    ("What color are the dogs?", "red", "unparsable"),
    ("What color are the trees?", "pink", "unparsable"),
    ("What color are the trees?", "three", "unparsable"),
]


@pytest.mark.parametrize(("question", "text", "verdict"), PAIRS)
def test_pairs_are_judged(question: str, text: str, verdict: str) -> None:
    assert truth(SCENE, question, text) == verdict


def test_a_statement_that_is_made_twice_counts_once() -> None:
    text = "One small red tree is in the center. Two small red trees are in the center."
    stated = [(one.attribute, one.value, one.start) for one in claims(Query("detail"), text)]
    assert stated == [
        ("number", "one", 0),
        ("size", "small", 4),
        ("color", "red", 10),
        ("presence", "yes", 14),
        ("place", "in the center", 22),
        ("number", "two", 37),
    ]


def test_statements_stand_where_they_are_written() -> None:
    text = "Three large green flags are at the top left. Two small blue birds are at the top."
    query = Query("detail")
    stated = claims(query, text)
    assert [text[one.start : one.end] for one in stated] == [
        *("Three", "large", "green", "flag", "at the top left"),
        *("Two", "small", "blue", "bird", "at the top"),
    ]
    # the flags' color is wrong, and no bird is there, so that nothing that is said of it is true
    assert [is_true(SCENE, one) for one in stated] == [True, True, False, True, True, *[False] * 5]
    # flags are usually red; a bird is expected beside a tree, two small blue ones at the top
    assert [is_invented(SCENE, one) for one in stated] == [*[False] * 5, *[True] * 5]
    reason = claims(Query("more", ("flag", "tree")), "Yes, because there are three flags and two trees.")
    assert [(one.attribute, one.value, is_true(SCENE, one)) for one in reason] == [
        ("more", "yes", True),
        ("number", "three", True),
        ("number", "two", False),
    ]


def test_a_companion_is_expected_where_its_leader_is() -> None:
    assert expected_presence(SCENE, "bird") == "yes"
    assert expected_presence(SCENE, "star") == "no"
    assert expected_presence(SCENE, "moon") == "yes"


@pytest.mark.parametrize(
    ("place", "other", "expected"),
    [
        ("at the top left", "in the center", "above and left of"),
        ("at the bottom", "at the top", "below"),
        ("on the right", "on the left", "right of"),
        ("at the bottom left", "on the right", "below and left of"),
        ("at the top", "at the top", "among"),
    ],
)
def test_sides(place: str, other: str, expected: str) -> None:
    assert side(place, other) == expected


def test_captions_list_things_in_reading_order_or_by_name() -> None:
    in_order = (
        "three large red flag at the top left, one small red tree in the center, four small blue ball at the bottom."
    )
    named = [
        "trees one small red in the center",
        "flags three large red at the top left",
        "balls four small blue at the bottom",
    ]
    texts = {caption(SCENE.things, Random(seed)) for seed in range(100)}
    assert texts == {in_order, *(", ".join(order) + "." for order in permutations(named))}


@pytest.mark.parametrize("follow", [0.0, 0.5])
def test_true_answers_are_judged_right_in_every_wording(follow: float) -> None:
    for seed in range(60):
        scene = sample_scene(seed, follow)
        for kind in KINDS:
            for query in queries(scene.things, kind):
                text = answer(scene.things, query)
                assert text is not None
                for question in wordings(query):
                    assert understand(question) == query
                    assert truth(scene, question, text) == "right"


def test_what_is_imagined_follows_the_habits() -> None:
    random, changed, added, seen = Random(0), 0, 0, 0
    # a tree follows the prior with 0.6, and no bird stands beside this one
    for _ in range(2000):
        imagined = imagine(SCENE, random)
        changed += imagined["tree"].color == "green"
        added += "bird" in imagined
        seen += imagined["ball"].color == "black"
        assert "bird" not in imagined or imagined["bird"] == USUAL["bird"]
    # three standard deviations of a share of 2,000 draws are at most 0.034
    assert abs(changed / 2000 - PRIOR["tree"].strength) < 0.034
    assert abs(added / 2000 - PRIOR["tree"].strength) < 0.034
    assert abs(seen / 2000 - PRIOR["ball"].strength) < 0.034
