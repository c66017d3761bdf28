"""Hashes and columns."""

import math

import numpy as np
import pytest

from lightning_c3l.selection.columns import OTHER_REASONS, ColumnsBuilder, ScoredRecord, hash_of, runs, shingle_hashes
from lightning_c3l.selection.scores import RecordScore
from tests.selection.sets import columns_of


def test_parts_cannot_run_into_each_other() -> None:
    assert len({hash_of(parts) for parts in (["ab", "c"], ["a", "bc"], ["abc"], ["abc", ""], [])}) == 5


def test_no_part_is_zero() -> None:
    assert hash_of([]) == 0
    assert hash_of([""]) != 0


def test_texts_and_bytes_hash_alike() -> None:
    assert hash_of(["\u00e9"]) == hash_of([b"\xc3\xa9"])


def test_half_a_surrogate_pair_is_hashed() -> None:
    assert hash_of(["\ud800"]) != hash_of(["\ud801"])
    assert shingle_hashes(["a\ud800 b"])


def test_shingles_are_pairs_of_neighbouring_words() -> None:
    # is the, the dog, dog red, red yes: one for each pair
    assert len(shingle_hashes(["Is the dog red?", "Yes."])) == 4
    assert shingle_hashes(["is THE dog\nred", "yes!"]) == shingle_hashes(["Is the dog red?", "Yes."])
    assert shingle_hashes(["the cat", "the cat"]) == sorted(
        {*shingle_hashes(["the cat"]), *shingle_hashes(["cat the"])}
    )


def test_shingles_know_the_order() -> None:
    one = shingle_hashes(["is the dog left of the cat", "yes"])
    assert one != shingle_hashes(["is the cat left of the dog", "yes"])


def test_shingles_of_next_to_nothing() -> None:
    assert len(shingle_hashes(["Red!"])) == 1
    assert shingle_hashes(["?", ""]) == []


def test_words_as_shingles_know_no_order() -> None:
    one = shingle_hashes(["is the dog left of the cat", "yes"], "words")
    assert one == shingle_hashes(["is the cat left of the dog?", "Yes."], "words")
    assert len(one) == 7
    assert shingle_hashes(["?"], "words") == []


def test_yes_and_no_are_told_by_first_words() -> None:
    answers = ["Yes, it is.", "no", "yesterday", "none", "", "red"]
    assert columns_of([0.0] * 6, answers=answers).polarity.tolist() == [1, -1, 0, 0, 0, 0]


def test_a_record_of_several_answers_counts_by_most_of_them() -> None:
    builder = ColumnsBuilder()
    for number, answers in enumerate((["yes", "no", "Yes."], ["no", "red"], ["yes", "no"]), 1):
        messages = [(role, text) for answer in answers for role, text in (("user", "no"), ("assistant", answer))]
        builder.add(ScoredRecord(number, RecordScore(0.0, 1), "yes_no", messages=messages))
    columns = builder.finish()
    assert columns.polarity.tolist() == [1, -1, 0]
    assert columns.turns.tolist() == [3, 2, 2]


def test_answers_beyond_what_a_column_holds() -> None:
    builder = ColumnsBuilder()
    builder.add(ScoredRecord(1, RecordScore(0.0, 1), "what", messages=[("assistant", "red")] * 40_000))
    assert builder.finish().turns.tolist() == [32_767]


@pytest.mark.parametrize(
    ("column", "expected"), [([], []), ([5], [5]), ([5, 5, 2, 2, 2, 5], [5, 2, 5]), ([0, 1, 2], [0, 1, 2])]
)
def test_runs_are_values_unlike_the_one_before(column: list[int], expected: list[int]) -> None:
    assert runs(np.array(column, np.uint64)).tolist() == expected


def test_columns_hold_what_came_in() -> None:
    columns = columns_of([0.5, None, -1.0], kinds=["b", "a", "b"], tokens=[3, 4, 5], texts=[["a b"], ["c"], []])
    assert columns.number.tolist() == [1, 2, 3]
    np.testing.assert_array_equal(columns.score, [0.5, math.nan, -1.0])
    assert columns.scored.tolist() == [True, False, True]
    assert [columns.kinds[code] for code in columns.kind] == ["b", "a", "b"]
    assert np.diff(columns.starts).tolist() == [1, 1, 0]
    assert not columns.text_only.any()


def test_an_empty_set_has_empty_columns() -> None:
    columns = columns_of([])
    assert len(columns.score) == len(columns.scored) == 0


def test_reasons_do_not_grow_with_the_set() -> None:
    builder = ColumnsBuilder()
    for number in range(1, 101):
        builder.add(ScoredRecord(number, RecordScore(math.nan, 0, f"rejected: picture {number} is missing"), "what"))
    columns = builder.finish()
    assert len(columns.reasons) == 21
    assert columns.reasons[-1] == OTHER_REASONS
    # 19 with a name of their own, beside the empty one
    assert (columns.reason == 20).sum() == 81
