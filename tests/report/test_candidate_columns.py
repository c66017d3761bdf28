"""The columns that a page holds of candidates, and that it reads a file of them once."""

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from lightning_c3l.records import ScoredCandidate
from lightning_c3l.report.candidate_columns import OTHER_VERDICT, CandidateColumns
from lightning_c3l.report.gallery import gallery_pairs
from lightning_c3l.rounds.candidate_rows import CandidateRows, write_candidate_rows
from tests.report.samples import NAN, refused, scored


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
    assert [columns.pair[0] == other for other in columns.pair] == [True, False, False, False, True]
    assert [columns.image[0] == other for other in columns.image[[1, 3, 4]]] == [True, False, True]
    assert columns.with_status("positive", "duplicate").tolist() == [True, False, False, True, True]
    assert not columns.with_status("kept").any()
    assert columns.statuses["positive"] == 2
    assert list(columns.statuses)[:2] == ["positive", "negative"]
    assert dict(columns.rejected) == {"no question": 1}
    assert columns.examples["no question"] == [2]
    found = {kind: own.tolist() for kind, own in columns.scores_by_kind()}
    assert found == {"why": [0.5, 0.75], "what": [0.25]}


def test_no_candidates() -> None:
    columns = CandidateColumns.of([])
    assert len(columns.score) == 0
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
