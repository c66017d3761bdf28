"""Candidate files: what is written as a stream is read row by row."""

import json
import math
from copy import deepcopy
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from lightning_c3l.records import Candidate, Instruction, ScoredCandidate, Scores
from lightning_c3l.rounds.candidate_rows import CandidateRows, line_offsets, read_rows, write_candidate_rows, write_rows


def some(count: int) -> list[ScoredCandidate]:
    """Texts of unlike lengths, with characters of one to four bytes."""
    return [
        ScoredCandidate(
            Candidate(f"{n}.png", Instruction("kind", "Ask."), n, "aé\u2028🙂"[: n % 5] * n),
            Scores(n / 3, 2, 3, 4, 5, 6, n) if n % 2 else None,
            status="positive" if n % 3 else "",
        )
        for n in range(count)
    ]


def test_rows_are_read_by_number_and_in_order(tmp_path: Path) -> None:
    expected = some(40)
    rows = write_candidate_rows(tmp_path / "some.jsonl", iter(expected))
    assert len(rows) == 40
    assert [rows[n] for n in (39, 0, 17, -1, -40)] == [expected[n] for n in (39, 0, 17, 39, 0)]
    assert list(rows) == expected
    assert rows[3:20:4] == expected[3:20:4]
    assert rows[::-1] == expected[::-1]
    for number in (40, -41):
        with pytest.raises(IndexError):
            rows[number]


def test_rows_are_the_fields_in_their_order(tmp_path: Path) -> None:
    answer = some(1)[0]
    prior = replace(answer, candidate=replace(answer.candidate, origin="blind"))
    for one in (*some(4), prior, replace(answer, dropped=("A sentence.",))):
        expected = asdict(one)
        if expected["scores"] is not None:  # further readings stand beside the four
            assert expected["scores"].pop("more") == ()
        expected["fate"] = expected.pop("status")
        if not one.candidate.origin:  # rows of candidates are those of all versions
            del expected["candidate"]["origin"]
        if not one.dropped:
            del expected["dropped"]
        assert json.dumps(one.to_row()) == json.dumps(expected)
        one.to_row()["candidate"]["instruction"]["kind"] = "other"
        assert one.candidate.instruction.kind == "kind"


def test_written_rows_are_counted_and_read_without_offsets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lightning_c3l.rounds.candidate_rows.line_offsets", None)
    rows = write_candidate_rows(tmp_path / "some.jsonl", some(3))
    assert len(rows) == 3
    assert list(rows) == some(3)


def test_rows_equal_sequences_of_the_same_candidates(tmp_path: Path) -> None:
    expected = some(5)
    rows = write_candidate_rows(tmp_path / "some.jsonl", expected)
    assert rows == expected
    assert expected == rows
    assert rows == CandidateRows(tmp_path / "some.jsonl")
    assert rows != expected[:4]
    assert rows != [*expected[:4], expected[0]]


def test_a_file_without_rows(tmp_path: Path) -> None:
    rows = write_candidate_rows(tmp_path / "none.jsonl", [])
    assert len(rows) == 0
    assert list(rows) == []
    assert rows == []


def test_a_copy_reads_the_same(tmp_path: Path) -> None:
    expected = some(6)
    rows = write_candidate_rows(tmp_path / "some.jsonl", expected)
    assert rows[2] == expected[2]
    assert deepcopy(rows)[4] == expected[4]
    assert rows[5] == expected[5]


def test_offsets_are_those_of_the_lines(tmp_path: Path) -> None:
    file = tmp_path / "lines"
    file.write_bytes(b"ab\n\xc3\xa9\r\n\nlast")
    assert line_offsets(file).tolist() == [0, 3, 7, 8, 12]
    file.write_bytes(b"")
    assert line_offsets(file).tolist() == [0]


def test_offsets_across_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lightning_c3l.rounds.candidate_rows._BLOCK", 7)
    lengths = np.arange(1, 30)
    (tmp_path / "lines").write_bytes(b"".join(b"x" * (n - 1) + b"\n" for n in lengths.tolist()))
    assert line_offsets(tmp_path / "lines").tolist() == [0, *np.cumsum(lengths).tolist()]


def test_an_interrupted_stream_leaves_the_old_file(tmp_path: Path) -> None:
    file = tmp_path / "some.jsonl"
    write_rows(file, [{"a": 1}])

    def broken():
        yield {"a": 2}
        raise RuntimeError("interrupted")

    with pytest.raises(RuntimeError, match="interrupted"):
        write_rows(file, broken())
    assert list(read_rows(file)) == [{"a": 1}]
    assert list(tmp_path.iterdir()) == [file]


def test_readings_of_the_users_own_stand_beside_the_others() -> None:
    answer = next(one for one in some(4) if one.scores is not None)
    assert answer.scores is not None
    own = replace(answer, scores=replace(answer.scores, more=(("my_reading.surprise", 0.5), ("theirs.x", -1.0))))
    row = own.to_row()["scores"]
    assert list(row)[-3:] == ["tokens", "my_reading.surprise", "theirs.x"]
    assert ScoredCandidate.from_row(json.loads(json.dumps(own.to_row()))) == own
    assert own.scores is not None
    assert (own.scores.value("theirs.x"), own.scores.value("gap")) == (-1.0, answer.scores.gap)
    assert math.isnan(answer.scores.value("theirs.x"))
