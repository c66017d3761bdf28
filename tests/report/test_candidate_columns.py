"""The columns that a page holds of candidates, and that it reads a file of them once."""

import math
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from random import Random
from zlib import crc32

import numpy as np
import pytest

from lightning_c3l.records import ScoredCandidate
from lightning_c3l.report.candidate_columns import OTHER_VERDICT, CandidateColumns
from lightning_c3l.report.distributions import split_scores, tail_quantiles
from lightning_c3l.report.gallery import exported_pairs, gallery_pairs, shown_pairs
from lightning_c3l.rounds.candidate_rows import CandidateRows, write_candidate_rows
from tests.report.samples import NAN, refused, scored

STATUSES = ("duplicate", "positive", "negative", "margin", "negative")


def test_columns_hold_what_came_in() -> None:
    texts = [
        scored(0.5, "a", "Why?", "So.", "why", "right", "positive"),
        scored(NAN, "a", "Why?", "No.", "why", "wrong", "negative"),
        refused("junk", "no question"),
        scored(0.25, "b", "Why?", "So.", "what", None, "positive"),
        scored(0.75, "a", "Why?", "So.", "why", "right", "duplicate"),
    ]
    columns = CandidateColumns.of(texts)
    np.testing.assert_array_equal(columns.answer, [0.5, math.nan, math.nan, 0.25, 0.75])
    np.testing.assert_array_equal(columns.score, columns.answer)
    assert columns.verdict.tolist() == [1, OTHER_VERDICT, 0, 0, 1]
    # the last one repeats the first, the second has no score
    assert columns.first.tolist() == [2, 0, 0, 2, 0]
    assert columns.with_status("positive", "duplicate").tolist() == [True, False, False, True, True]
    assert not columns.with_status("kept").any()
    assert columns.statuses["positive"] == 2
    assert list(columns.statuses)[:2] == ["positive", "negative"]
    assert dict(columns.rejected) == {"no question": 1}
    assert columns.examples["no question"] == [2]
    found = {kind: own.tolist() for kind, own in columns.scores_by_kind()}
    assert found == {"why": [0.5, 0.75], "what": [0.25]}


def test_what_a_duplicate_said_first_is_still_first_among_the_others() -> None:
    texts = [scored(0.5, reply=reply, status=status) for reply, status in zip("aabab", STATUSES, strict=True)]
    columns = CandidateColumns.of([*texts, scored(0.5, "b.png", reply="a", status="unused")])
    assert columns.first.tolist() == [2, 1, 2, 0, 0, 2]


def test_the_best_and_the_worst_are_those_of_a_sorted_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lightning_c3l.report.candidate_columns._PART", 7)
    draw = Random(0)
    # so few values that many are equal
    scores = [draw.randint(0, 9) / 10 for _ in range(60)]
    columns = CandidateColumns.of([scored(score) for score in scores])
    usable = np.array([draw.random() < 0.7 for _ in scores])
    ordered = sorted(np.flatnonzero(usable).tolist(), key=lambda position: -scores[position])
    for count in (0, 1, 8, 60):
        best, worst = columns.best_and_worst(usable, count)
        assert best.tolist() == ordered[:count]
        assert worst.tolist() == ordered[max(len(ordered) - count, 0) :]


def test_decisions_are_found_within_images_and_the_closest_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lightning_c3l.report.candidate_columns._CHUNK", 5)
    monkeypatch.setattr("lightning_c3l.report.close_decisions._KEPT", 3)
    # a pair of candidates an image; differences of 10 to 1 hundredths, and one that was not decided by the score
    texts = list[ScoredCandidate]()
    for number in range(10):
        texts.append(scored(0.5, f"{number}", reply="x", status="positive"))
        worse = "duplicate" if number == 8 else "negative"
        texts.append(scored(0.5 - (10 - number) / 100, f"{number}", reply="y", status=worse))
    columns = CandidateColumns.of(texts)
    assert columns.close.tolist() == [[18, 19], [14, 15], [12, 13]]
    # as one kind: the worst positive beside the best negative
    assert columns.close_of_kinds().tolist() == [[18, 19]]


def test_memory_of_a_page_is_a_few_bytes_a_candidate(monkeypatch: pytest.MonkeyPatch) -> None:
    # buffers of a size that does not depend on the candidates
    monkeypatch.setattr("lightning_c3l.report.candidate_columns._PART", 256)
    monkeypatch.setattr("lightning_c3l.report.candidate_columns._CHUNK", 256)

    def peak(count: int) -> int:
        scores = [crc32(b"%d" % number) / 2**32 for number in range(count)]
        # of four candidates of an image, one of each status
        texts = [
            scored(score, f"{number // 4}.png", reply=str(number), kind=str(number % 5), status=STATUSES[number % 4])
            for number, score in enumerate(scores)
        ]
        tracemalloc.start()
        exported = exported_pairs(texts, "answer")
        rounds = {0: CandidateColumns.of(texts)}
        assert len(shown_pairs(rounds, exported)) == 2 * (8 + 8 + 8)
        assert tail_quantiles(lambda: (own for _, _, own in split_scores(rounds[0])), 0.002) is not None
        assert len(list(rounds[0].scores_by_kind())) == 5
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    # the columns hold 22 bytes; on top come copies of one of them
    assert peak(8_000) - peak(2_000) < 50 * 6_000


def test_no_candidates() -> None:
    columns = CandidateColumns.of([])
    assert len(columns.score) == 0
    assert columns.close.shape == columns.close_of_kinds().shape == (0, 2)
    assert list(columns.scores_by_kind()) == []
    assert gallery_pairs(columns, 0) == []


class Counted(CandidateRows):
    """Rows that count how often all of them, and single ones, are read."""

    whole = single = 0

    def __iter__(self) -> Iterator[ScoredCandidate]:
        self.whole += 1
        return super().__iter__()

    def __getitem__(self, index):  # type: ignore[no-untyped-def]
        self.single += 1
        return super().__getitem__(index)


def test_a_file_is_read_once_and_of_it_the_rows_that_are_shown(tmp_path: Path) -> None:
    texts = [scored(number / 1000, f"{number}.png", reply=str(number), status="positive") for number in range(500)]
    write_candidate_rows(tmp_path / "x.jsonl", texts)
    rows = Counted(tmp_path / "x.jsonl")
    shown = gallery_pairs(CandidateColumns.of(rows), 0)
    assert [one.answer for one in shown] == [*map(str, range(499, 491, -1)), *map(str, range(8))]
    assert (rows.whole, rows.single) == (1, 16)
