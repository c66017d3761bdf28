"""Rows of a chunk: which turns are scored, which are text alone, and why others are not."""

import math
from typing import Any

import pytest

from lightning_c3l.lvlm.batch_size import BatchSize
from lightning_c3l.lvlm.samples import ScoringChunk, ScoringItem
from lightning_c3l.modules.dataset_scoring import score_chunk
from lightning_c3l.records import Conversation, Turn, exchange
from lightning_c3l.selection.scoring_config import ScoringConfig
from tests.helpers.doubles import TableLVLM

BLIND = {"red": [0.25], "two": [0.5], "hi": [0.5]}
SEEN = {
    (image, answer): [p] for image, p in (("x", 0.5), ("y", 0.125), ("x+y", 0.25), ("y+x", 0.75)) for answer in BLIND
}
LN2 = math.log(2)


def item(number: int, turns: tuple[Turn, ...], *images: str) -> ScoringItem:
    answers = tuple(place for place, turn in enumerate(turns) if turn.role == "assistant")
    return ScoringItem(number, answers, Conversation(str(number), images or None, turns), images)


def rows(
    items: list[ScoringItem], lvlm: Any = None, shuffle: bool = True, **options: Any
) -> dict[int, list[dict[str, Any]]]:
    chunk = ScoringChunk(3, items, {key: key for one in items for key in one.images})  # type: ignore[misc]
    config = ScoringConfig(0 if shuffle else None, **options)
    found = score_chunk(lvlm or TableLVLM(SEEN, BLIND), chunk, BatchSize(2, "size"), config)
    assert [row["record"] for row in found] == [one.number for one in items]
    return {row["record"]: row["turns"] for row in found}


def test_each_answer_has_its_scores_and_its_place() -> None:
    system = Turn("system", "Be brief.")
    found = rows(
        [item(7, (system, *exchange("a", "red"), *exchange("b", "two")), "x"), item(8, exchange("a", "red"), "y")]
    )
    first, second = found[7]
    assert (first["turn"], second["turn"]) == (2, 4)
    assert first["answer"] == pytest.approx(0.5 * LN2)  # p = 1/2, q = 1/4
    assert first["shuffled"] == pytest.approx(-0.125 * LN2)  # p = 1/8 with the other image
    assert second["answer"] == pytest.approx(0.0)
    assert {turn["status"] for turn in (first, second, *found[8])} == {"scored"}
    assert found[8][0]["gap"] == pytest.approx(-LN2)
    assert found[8][0]["mean_logq"] == pytest.approx(-2 * LN2)
    assert found[8][0]["tokens"] == 1


def test_turns_without_a_picture_before_them_are_marked() -> None:
    late = (*exchange("a", "hi"), Turn("user", "b", (0,)), Turn("assistant", "red"))
    found = rows([item(1, exchange("a", "hi")), item(2, late, "x"), item(3, exchange("c", "two"), "y")])
    assert found[1] == [{"turn": 1, "status": "text_only"}]
    assert [turn["status"] for turn in found[2]] == ["text_only", "scored"]
    assert found[2][1]["answer"] == pytest.approx(0.5 * LN2)


def test_several_pictures_are_one_context() -> None:
    two = (Turn("user", "a", (0, 0)), Turn("assistant", "red"))
    found = rows([item(1, two, "x", "y"), item(2, two, "y", "x")])
    assert found[1][0]["gap"] == pytest.approx(0.0, abs=1e-6)
    assert found[2][0]["gap"] == pytest.approx(math.log(3))
    assert found[1][0]["shuffled"] == pytest.approx(0.75 * math.log(3))


def test_what_cannot_be_scored_keeps_its_reason() -> None:
    lvlm = TableLVLM(SEEN, BLIND, refused=["y"], too_long=["long"])
    broken = ScoringItem(1, (1, 3), None, (), "image 1: not an image")
    found = rows([broken, item(2, exchange("a", "red"), "y"), item(3, exchange("long", "red"), "x")], lvlm)
    assert found[1] == [{"turn": n, "status": "rejected", "reason": "image 1: not an image"} for n in (1, 3)]
    assert found[2] == [{"turn": 1, "status": "rejected", "reason": "image 1: too narrow"}]
    assert found[3][0]["status"] == "rejected"
    assert found[3][0]["reason"].startswith("too long")


def test_records_about_one_picture_share_its_pass() -> None:
    lvlm = TableLVLM(SEEN, BLIND)
    rows([item(1, exchange("a", "red"), "x"), item(2, exchange("b", "two"), "x")], lvlm)
    assert lvlm.batches == [["x"]]
    assert lvlm.remembered == [True]


def test_without_the_control() -> None:
    found = rows([item(1, exchange("a", "red"), "x"), item(2, exchange("a", "red"), "y")], shuffle=False)
    assert [turns[0]["shuffled"] for turns in found.values()] == [None, None]
