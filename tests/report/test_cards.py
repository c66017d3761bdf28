"""Cards: pictures, ranking and example groups."""

import base64
import io

import pytest
from PIL import Image

from lightning_c3l.report.cards import best_and_worst, card, data_uri, example_groups, ranked, resized
from tests.report.dom import parse
from tests.report.samples import NAN, grey, no_picture, refused, scored


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((32, 16), (96, 48)),
        ((50, 50), (100, 100)),
        ((1, 1), (96, 96)),
        ((96, 20), (96, 20)),
        ((256, 200), (256, 200)),
        ((1024, 512), (256, 128)),
        ((3, 3000), (1, 256)),
    ],
)
def test_sizes(size: tuple[int, int], expected: tuple[int, int]) -> None:
    assert resized(Image.new("RGB", size)).size == expected


def test_tiny_pictures_keep_their_pixels() -> None:
    tiny = Image.new("L", (2, 1))
    tiny.putpixel((1, 0), 255)
    head, _, body = data_uri(tiny).partition(",")
    assert head == "data:image/png;base64"
    shown = Image.open(io.BytesIO(base64.b64decode(body)))
    assert (shown.format, shown.mode, shown.size) == ("PNG", "RGB", (96, 48))
    assert [shown.getpixel((x, 20)) for x in (0, 47, 48, 95)] == [(0, 0, 0)] * 2 + [(255, 255, 255)] * 2


def test_ranking_drops_what_has_no_score_and_repeats() -> None:
    texts = [scored(0.1), scored(0.1), scored(NAN, "n.png"), refused("x", "no answer"), scored(0.7, "b.png")]
    assert [one.scores and one.scores.answer for one in ranked(texts)] == [0.7, 0.1]


@pytest.mark.parametrize(("count", "best", "worst"), [(0, [], []), (2, [1, 0], []), (5, [4, 3, 2], [0, 1])])
def test_best_and_worst_never_share_a_pair(count: int, best: list[int], worst: list[int]) -> None:
    texts = [scored(float(place), f"{place}.png") for place in range(count)]
    found = best_and_worst(texts, 3)
    assert [[one.scores.answer for one in part if one.scores] for part in found] == [best, worst]


def test_groups_differ_in_picture_and_kind() -> None:
    asked = [("a", "x"), ("a", "y"), ("b", "x"), ("b", "y"), ("c", "z")]
    texts = [
        scored(score, image, reply=str(score), kind=kind, status=status)
        for image, kind in asked
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
        # nobody's: no positive of its image
        scored(0.2, "b", reply="0.2", kind="x", status="negative"),
    ]
    ((best, others),) = example_groups(texts)
    assert best.candidate.answer == "0.9"
    assert [one.candidate.answer for one in others] == ["0.5", "0.4", "0.3"]


def test_card_shows_the_record() -> None:
    root = parse(card(scored(0.4321, "p.png", "Why?", "So.", "reasoning", "wrong", "positive"), grey))
    assert root.find("p", "question")[0].text == "Why?"
    assert root.find("p", "answer")[0].text == "So."
    assert [one.text for one in root.find("span", "chip")] == ["reasoning", "\u2717 wrong", "positive"]
    strong = root.find("strong")[0]
    assert (strong.text, strong.attributes["data-value"]) == ("0.432", "0.4321")
    values = dict(zip((one.text for one in root.find("dt")), (one.text for one in root.find("dd")), strict=True))
    assert values["another image"] == "0.010"
    assert values["mean log q"] == "\u22120.500"
    assert values["tokens"] == "6"


def test_missing_picture_is_said() -> None:
    root = parse(card(scored(0.4, "p.png"), no_picture))
    assert not root.find("img")
    assert root.find("div", "picture")[0].attributes["aria-label"] == "no picture of p.png"
