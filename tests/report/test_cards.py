"""Cards: ranking and example groups."""

import pytest

from lightning_c3l.records import ScoredCandidate
from lightning_c3l.report.cards import ImageReader, best_and_worst, example_groups
from lightning_c3l.report.page import render_report
from tests.report.dom import Node, parse
from tests.report.samples import NAN, grey, no_image, refused, scored


def test_ranking_drops_what_has_no_score_and_repeats() -> None:
    texts = [scored(0.1), scored(0.1), scored(NAN, "n.png"), refused("x", "no answer"), scored(0.7, "b.png")]
    best, worst = best_and_worst(texts)
    assert [one.scores and one.scores.answer for one in best] == [0.7, 0.1]
    assert not worst


@pytest.mark.parametrize(("count", "best", "worst"), [(0, [], []), (2, [1, 0], []), (5, [4, 3, 2], [0, 1])])
def test_best_and_worst_never_share_a_pair(count: int, best: list[int], worst: list[int]) -> None:
    texts = [scored(float(index), f"{index}.png") for index in range(count)]
    found = best_and_worst(texts, 3)
    assert [[one.scores.answer for one in part if one.scores] for part in found] == [best, worst]


def test_groups_differ_in_image_and_kind() -> None:
    pairs = [("a", "x"), ("a", "y"), ("b", "x"), ("b", "y"), ("c", "z")]
    texts = [
        scored(score, image, reply=str(score), kind=kind, status=status)
        for image, kind in pairs
        for score, status in ((0.1, "negative"), (0.9, "positive"), (0.4, "negative"), (0.2, "duplicate"))
    ]
    lonely = [scored(0.5, "d", kind="w", status="positive")]
    groups = example_groups([*lonely, *texts], 4)
    names = [(best.candidate.image, best.candidate.instruction.kind) for best, _ in groups]
    assert names == [("a", "x"), ("b", "y"), ("c", "z"), ("a", "y")]
    assert [one.candidate.answer for one in groups[0][1]] == ["0.4", "0.1"]
    assert all(best.candidate.answer == "0.9" for best, _ in groups)


def test_a_group_of_a_whole_image_shows_the_negatives_of_all_its_kinds() -> None:
    texts = [
        scored(0.3, "a", reply="0.3", kind="x", status="negative"),
        scored(0.9, "a", reply="0.9", kind="y", status="positive"),
        scored(0.5, "a", reply="0.5", kind="y", status="negative"),
        scored(0.4, "a", reply="0.4", kind="z", status="negative"),
        scored(0.6, "a", reply="0.6", kind="z", status="duplicate"),
        # of no group: no positive of its image
        scored(0.2, "b", reply="0.2", kind="x", status="negative"),
    ]
    ((best, others),) = example_groups(texts)
    assert best.candidate.answer == "0.9"
    assert [one.candidate.answer for one in others] == ["0.5", "0.4", "0.3"]


def card_of(text: ScoredCandidate, read_image: ImageReader) -> Node:
    """The only card of a page."""
    (card,) = parse(render_report({}, {0: [text]}, read_image)).find("article", "card")
    return card


def test_a_card_shows_the_record() -> None:
    card = card_of(scored(0.4321, "p.png", "Why?", "So.", "reasoning", "wrong", "positive"), grey)
    assert card.find("p", "question")[0].text == "Why?"
    assert card.find("p", "answer")[0].text == "So."
    assert [one.text for one in card.find("span", "chip")] == ["reasoning", "\u2717 wrong", "positive"]
    strong = card.find("strong")[0]
    assert (strong.text, strong.attributes["data-value"]) == ("0.432", "0.4321")
    values = dict(zip((one.text for one in card.find("dt")), (one.text for one in card.find("dd")), strict=True))
    assert values["another image"] == "0.010"
    assert values["mean log q"] == "\u22120.500"
    assert values["tokens"] == "6"


def test_a_missing_image_is_said() -> None:
    card = card_of(scored(0.4, "p.png"), no_image)
    assert not card.find("img")
    assert card.find("div", "image")[0].attributes["aria-label"] == "no image p.png"
