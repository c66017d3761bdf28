"""Scores from a judge's reviews, by hand."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from lightning_c3l.evaluation.benchmarks import load
from lightning_c3l.evaluation.benchmarks.review_scores import evaluate_reviews
from tests.evaluation.benchmarks import files

KINDS = ("conv", "detail", "complex")


def _reviews(path: Path, marks: Sequence[Sequence[float]], **fields: Any) -> Path:
    """Marks of reference and candidate for questions 0, 1, ..."""
    rows = [
        {"question_id": place, "category": f"llava_bench_{KINDS[place]}", "content": "", "tuple": list(two), **fields}
        for place, two in enumerate(marks)
    ]
    return files.write_lines(path, rows)


def test_both_protocols_and_kinds(tmp_path: Path) -> None:
    path = _reviews(tmp_path / "r.jsonl", [(8, 6), (-1, -1), (10, 9)], judge="J")
    found = evaluate_reviews(None, [path])
    reference, strict = found.protocols["reference"], found.protocols["strict"]
    assert reference.headline == pytest.approx(100 * (6 - 1 + 9) / (8 - 1 + 10))
    assert strict.headline == pytest.approx(100 * 15 / 18)
    assert (reference.parse_failures, strict.parse_failures) == (1, 1)
    assert (reference.n, strict.n) == (3, 2)
    assert strict.tables["kind"]["complex"] == {"score": pytest.approx(90), "n": 1}
    assert "detail" not in strict.tables["kind"]
    assert found.as_json()["protocols"]["reference"]["tables"]["kind"]["detail"]["score"] is None
    assert strict.figures["judge"] == "J"
    assert strict.tables["file"]["r.jsonl"] == {
        "score": pytest.approx(100 * 15 / 18),
        "n": 2,
        "parse_failures": 1,
        "judge": "J",
    }


def test_several_rounds_and_their_mean(tmp_path: Path) -> None:
    marks = [[(9, 6), (9, 5), (9, 9)], [(7, 6), (9, 5), (9, 9)]]  # 74.07... and 80
    paths = [_reviews(tmp_path / f"{place}.jsonl", one) for place, one in enumerate(marks)]
    found = evaluate_reviews(None, paths)
    assert found.protocols["strict"].headline == pytest.approx((2000 / 27 + 80) / 2)
    assert found.protocols["reference"].headline == pytest.approx((74.1 + 80.0) / 2)
    assert found.protocols["reference"].figures["unrounded"] == pytest.approx((2000 / 27 + 80) / 2)
    assert [row["score"] for row in found.protocols["strict"].tables["file"].values()] == pytest.approx([2000 / 27, 80])
    assert found.protocols["strict"].tables["kind"]["conv"]["score"] == pytest.approx((100 * 6 / 9 + 100 * 6 / 7) / 2)


def test_judges_are_never_mixed(tmp_path: Path) -> None:
    one = _reviews(tmp_path / "1.jsonl", [(9, 6), (9, 5)], judge="J")
    other = _reviews(tmp_path / "2.jsonl", [(9, 9), (9, 9)], judge="K")
    apart = evaluate_reviews(None, [one, other]).protocols["strict"]
    assert apart.headline is None
    assert apart.interval is None
    assert [row["score"] for row in apart.tables["file"].values()] == pytest.approx([100 * 11 / 18, 100])
    assert apart.tables["kind in " + str(other)]["conv"]["score"] == 100
    for role in ("blind", "against"):
        with pytest.raises(ValueError, match="different judges cannot be compared: J, K"):
            evaluate_reviews(None, [one], **{role: [other]})
    mixed = tmp_path / "mixed.jsonl"
    rows = [json.loads(path.read_text().splitlines()[place]) for place, path in enumerate((one, other))]
    files.write_lines(mixed, rows)
    with pytest.raises(ValueError, match=r"mixed\.jsonl: contains reviews by several judges"):
        evaluate_reviews(None, [mixed])


def test_both_orders_count_together_and_stand_apart(tmp_path: Path) -> None:
    path = tmp_path / "both.jsonl"
    first = _reviews(tmp_path / "1", [(8, 6), (8, 8)], order="reference first").read_text()
    second = _reviews(tmp_path / "2", [(8, 8), (6, 8)], order="candidate first").read_text()
    path.write_text(first + second)
    strict = evaluate_reviews(None, [path]).protocols["strict"]
    assert strict.headline == pytest.approx(100 * 30 / 30)
    assert strict.tables["order"]["reference first"]["score"] == pytest.approx(100 * 14 / 16)
    assert strict.tables["order"]["candidate first"]["score"] == pytest.approx(100 * 16 / 14)
    assert strict.n == 4


def test_beside_a_blind_run(tmp_path: Path) -> None:
    ours = _reviews(tmp_path / "a", [(10, 8), (10, 6), (10, 7)])
    blind = _reviews(tmp_path / "b", [(10, 5), (10, 3), (10, 4)])
    found = evaluate_reviews(None, [ours], blind=[blind]).protocols["strict"].others["blind"]
    assert (found.headline, found.difference) == (pytest.approx(40), pytest.approx(30))
    assert found.interval == pytest.approx((30, 30))  # three marks less in every question
    assert found.p is None


def test_reviews_must_fit_the_questions(tmp_path: Path) -> None:
    questions = load("llava_w").read_questions([files.llava_w(tmp_path / "bench")])
    whole = _reviews(tmp_path / "whole.jsonl", [(9, 6), (9, 5), (9, 9)])
    assert evaluate_reviews(questions, [whole]).version == questions.digest
    short = _reviews(tmp_path / "short.jsonl", [(9, 6), (9, 5)])
    for asked, reviews in ((questions, [short]), (None, [whole, short])):
        with pytest.raises(ValueError, match=r"short\.jsonl: 1 of 3 questions are not reviewed, the first is '2'"):
            evaluate_reviews(asked, reviews)
        found = evaluate_reviews(asked, reviews, partial=True)
        assert found.protocols["strict"].headline == pytest.approx(100 * 11 / 18)
    files.write_lines(tmp_path / "odd.jsonl", [{"question_id": 7, "category": "conv", "content": "", "tuple": [1, 1]}])
    with pytest.raises(ValueError, match=r"odd\.jsonl reviews question '7', which is not in .*another version"):
        evaluate_reviews(questions, [tmp_path / "odd.jsonl"])
    with pytest.raises(ValueError, match="llava_w has no protocol 'rank'"):
        evaluate_reviews(questions, [whole], protocols=["rank"])


def test_what_one_side_cannot_read_is_left_out_on_both(tmp_path: Path) -> None:
    ours = _reviews(tmp_path / "a", [(10, 8), (10, 6), (-1, -1)])
    theirs = _reviews(tmp_path / "b", [(10, 5), (-1, -1), (10, 4)])
    found = evaluate_reviews(None, [ours], against=[theirs])
    strict = found.protocols["strict"]
    assert strict.headline == pytest.approx(70)  # of itself, on what it has
    against = strict.others["against"]
    assert (against.headline, against.difference, against.n) == (pytest.approx(50), pytest.approx(30), 1)
    assert against.interval == pytest.approx((30, 30))
    reference = found.protocols["reference"].others["against"]
    assert (reference.headline, reference.n) == (pytest.approx(100 * 8 / 19), 3)
    assert reference.difference == pytest.approx(100 * 13 / 19 - 100 * 8 / 19)


def test_sides_that_share_nothing_readable_have_no_difference(tmp_path: Path) -> None:
    ours, theirs = _reviews(tmp_path / "a", [(10, 8), (-1, -1)]), _reviews(tmp_path / "b", [(-1, -1), (10, 4)])
    document = evaluate_reviews(None, [ours], protocols=["strict"], against=[theirs]).as_json()
    assert document["headline"]["value"] == pytest.approx(80)
    against = document["protocols"]["strict"]["others"]["against"]
    assert (against["difference"], against["interval"], against["n"]) == (None, [None, None], 0)


def test_marks_that_no_float_can_hold_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="record 1: tuple is"):
        evaluate_reviews(None, [_reviews(tmp_path / "a", [(10**400, 5)])])


def test_a_rival_is_compared_on_the_questions_that_both_review(tmp_path: Path) -> None:
    """Ours reviews 0 and 1, theirs 1 and 2: question 1 alone is shared, 80 against 50."""

    def reviews(name: str, marks: dict[int, int]) -> Path:
        rows = [{"question_id": n, "category": "conv", "content": "", "tuple": [10, mark]} for n, mark in marks.items()]
        return files.write_lines(tmp_path / name, rows)

    ours = reviews("ours", {0: 4, 1: 8})
    found = evaluate_reviews(None, [ours], against=[reviews("theirs", {1: 5, 2: 9})])
    one = found.protocols["strict"]
    assert one.headline == pytest.approx(60)
    rival = one.others["against"]
    assert (rival.headline, rival.difference, rival.n) == (pytest.approx(50), pytest.approx(30), 1)
    assert "against: compared on the 1 questions that both review, of 2 here and 2 there" in found.notes
    with pytest.raises(ValueError, match=r"ours and .*other review no question in common"):
        evaluate_reviews(None, [ours], against=[reviews("other", {7: 5})])
