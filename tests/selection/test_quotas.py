"""Each rule on sets small enough to work out by hand, and what must hold for any set."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lightning_c3l.selection.columns import Columns, Mask
from lightning_c3l.selection.control import random_control
from lightning_c3l.selection.plan import SelectionPlan, select_records
from lightning_c3l.selection.quotas import (
    apportion,
    balanced_yes_no,
    best_of_each,
    equal_quotas,
    length_bins,
    length_edges,
    ranking,
    top,
)
from tests.selection.sets import columns_of

# few different values, so that ties are common
SCORES = st.integers(-3, 3).map(float)
ROWS = st.lists(
    st.tuples(st.one_of(st.none(), SCORES), st.sampled_from("abc"), st.integers(1, 12), st.integers(1, 4)),
    min_size=1,
    max_size=60,
)


def of_rows(rows: list[tuple[float | None, str, int, int]]) -> Columns:
    scores, kinds, tokens, images = zip(*rows, strict=True)
    return columns_of(scores, kinds, tokens, images)


def numbers(columns: Columns, mask: Mask) -> list[int]:
    return columns.number[mask].tolist()


def test_ranking_breaks_ties_by_number() -> None:
    columns = columns_of([1.0, 3.0, 1.0, 3.0, None])
    assert columns.number[ranking(columns, columns.scored)].tolist() == [2, 4, 1, 3]


def test_the_threshold_itself_stays() -> None:
    columns = columns_of([0.5, 0.25, 0.75, None])
    assert numbers(columns, select_records(columns, SelectionPlan(min_score=0.5)).chosen) == [1, 3]


def test_best_of_each_image() -> None:
    columns = columns_of([1.0, 2.0, 3.0, 9.0, 2.0], images=[7, 7, 7, 8, 7])
    assert numbers(columns, best_of_each(columns, columns.scored, columns.image, 2)) == [2, 3, 4]
    assert numbers(columns, best_of_each(columns, columns.scored, columns.image, 1)) == [3, 4]


def test_best_of_each_of_nothing() -> None:
    columns = columns_of([None, None])
    assert not best_of_each(columns, columns.scored, columns.image, 1).any()


def test_top_of_all() -> None:
    columns = columns_of([1.0, 3.0, 2.0, 3.0])
    assert numbers(columns, top(columns, columns.scored, 2)) == [2, 4]
    assert numbers(columns, top(columns, columns.scored, 9)) == [1, 2, 3, 4]


def test_balanced_top_shares_evenly() -> None:
    # b has one of its share of two, a takes the rest: the three best of a
    columns = columns_of([4.0, 3.0, 2.0, 1.0, -5.0], kinds=["a", "a", "a", "a", "b"])
    assert numbers(columns, top(columns, columns.scored, 4, balance_kinds=True)) == [1, 2, 3, 5]


def test_length_matched_top_takes_from_each_length() -> None:
    # short answers score high throughout; half of each length is asked for
    columns = columns_of([9.0, 8.0, 7.0, 6.0, 1.0, 2.0, 3.0, 4.0], tokens=[1] * 4 + [50] * 4)
    assert numbers(columns, top(columns, columns.scored, 4)) == [1, 2, 3, 4]
    assert numbers(columns, top(columns, columns.scored, 4, length_matched=True)) == [1, 2, 7, 8]


@pytest.mark.parametrize(
    ("answers", "size", "positions"),
    [
        (["yes", "yes", "yes", "yes", "no", "no", "no"], 4, [0, 1, 4, 5]),
        # an odd slot goes to the first
        (["yes", "yes", "yes", "no", "no"], 3, [0, 1, 3]),
        (["no", "no", "no", "yes", "yes"], 3, [0, 1, 3]),
        # one runs out
        (["yes", "yes", "yes", "yes", "no"], 4, [0, 1, 2, 4]),
        (["no", "no", "no", "no"], 3, [0, 1, 2]),
        # other answers keep their slots, and their number
        (["red", "Yes, a dog.", "yes", "blue", "No!", "green"], 4, [0, 1, 3, 4]),
        (["red", "blue", "no", "yes"], 2, [0, 1]),
        # these only begin alike
        (["yesterday", "yes", "none", "no"], 2, [0, 1]),
        (["yes"], 3, [0]),
        (["yes", "no"], 0, []),
        ([], 2, []),
    ],
)
def test_yes_comes_as_often_as_no(answers: list[str], size: int, positions: list[int]) -> None:
    # ranked as they stand
    columns = columns_of([-float(i) for i in range(len(answers))], answers=answers)
    assert sorted(balanced_yes_no(columns.polarity, size)) == positions
    assert np.flatnonzero(top(columns, columns.scored, size, balance_yes_no=True)).tolist() == positions


def test_yes_and_no_are_balanced_within_kinds_and_lengths() -> None:
    # by score alone, kind a gives two times yes, and each length one yes and one no
    answers = ["yes", "yes", "no", "no", "yes", "no"]
    columns = columns_of([6.0, 5.0, 4.0, 3.0, 2.0, 1.0], ["a"] * 4 + ["b"] * 2, [1, 1, 9, 9, 1, 9], answers=answers)
    balanced = top(columns, columns.scored, 4, balance_kinds=True, balance_yes_no=True)
    assert numbers(columns, balanced) == [1, 3, 5, 6]
    matched = top(columns, columns.scored, 4, length_matched=True, balance_yes_no=True)
    assert numbers(columns, matched) == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("available", "size", "expected"),
    [
        ({"a": 10, "b": 10, "c": 10}, 9, {"a": 3, "b": 3, "c": 3}),
        # b gives its rest of 2 to a and c
        ({"a": 10, "b": 1, "c": 10}, 9, {"a": 4, "b": 1, "c": 4}),
        # b gives to c, which then falls short too: a takes it all
        ({"a": 20, "b": 1, "c": 4}, 15, {"a": 10, "b": 1, "c": 4}),
        # what does not divide goes to the kinds first in the alphabet
        ({"c": 5, "b": 5, "a": 5}, 5, {"a": 2, "b": 2, "c": 1}),
        ({"a": 2, "b": 1}, 50, {"a": 2, "b": 1}),
        ({"a": 3, "b": 3}, 0, {"a": 0, "b": 0}),
    ],
)
def test_equal_quotas(available: dict[str, int], size: int, expected: dict[str, int]) -> None:
    assert equal_quotas(available, size) == expected


def test_length_bins_are_quantiles_with_ties_together() -> None:
    tokens = np.arange(1, 21)
    assert length_edges(tokens).tolist() == [2, 4, 6, 8, 10, 12, 14, 16, 18]
    assert length_bins(tokens).tolist() == [place // 2 for place in range(20)]
    # 15 of 20 are equal: they fill the bins up to the quantile 0.7 and share one bin
    assert length_bins(np.array([5] * 15 + [6, 7, 8, 9, 10])).tolist() == [0] * 15 + [1, 2, 2, 3, 3]


@pytest.mark.parametrize(
    ("counts", "size", "shares"),
    [
        ([5, 5], 4, [2, 2]),
        ([5, 5], 5, [3, 2]),  # equal remainders: the first
        ([6, 3, 1], 5, [3, 2, 0]),  # 3, 1.5, 0.5
        ([1, 1, 1], 2, [1, 1, 0]),
        ([2, 1], 9, [2, 1]),
        ([0, 4], 3, [0, 3]),
        ([3, 2], 0, [0, 0]),
        ([0], 0, [0]),
    ],
)
def test_apportion(counts: list[int], size: int, shares: list[int]) -> None:
    assert apportion(np.array(counts), size) == shares


def test_random_control_of_everything_is_everything() -> None:
    columns = columns_of([1.0, 2.0, 3.0, None])
    drawn = random_control(columns, columns.scored, columns.scored, seed=3)
    assert numbers(columns, drawn) == [1, 2, 3]


def test_random_control_needs_the_chosen_among_the_eligible() -> None:
    columns = columns_of([1.0, 2.0])
    with pytest.raises(ValueError, match="drawn from all eligible"):
        random_control(columns, np.array([True, False]), np.array([True, True]), 0)


def test_random_control_is_blind_to_scores() -> None:
    columns = columns_of([float(score) for score in range(1000)])
    chosen = top(columns, columns.scored, 500)
    drawn = random_control(columns, columns.scored, chosen, seed=0)
    # hypergeometric: mean 250, deviation 7.9; six deviations either side
    assert 250 - 48 < (drawn & chosen).sum() < 250 + 48
    other = random_control(columns, columns.scored, chosen, seed=1)
    assert (drawn != other).any()


@settings(deadline=None, max_examples=50)
@given(ROWS, st.integers(1, 5))
def test_quotas_are_never_exceeded_nor_left_open(rows: list[tuple[float | None, str, int, int]], most: int) -> None:
    columns = of_rows(rows)
    kept = best_of_each(columns, columns.scored, columns.image, most)
    available = Counter(columns.image[columns.scored].tolist())
    assert Counter(columns.image[kept].tolist()) == {image: min(most, count) for image, count in available.items()}
    for image in available:
        mine = columns.scored & (columns.image == image)
        if (mine & ~kept).any():
            assert columns.score[mine & kept].min() >= columns.score[mine & ~kept].max()


@settings(deadline=None, max_examples=50)
@given(ROWS, SCORES, SCORES)
def test_the_threshold_is_monotone(rows: list[tuple[float | None, str, int, int]], one: float, two: float) -> None:
    columns = of_rows(rows)
    low, high = (
        select_records(columns, SelectionPlan(min_score=least), allow_empty=True).chosen for least in sorted((one, two))
    )
    assert not (high & ~low).any()


@settings(deadline=None, max_examples=50)
@given(ROWS, st.integers(0, 60))
def test_length_matching_keeps_the_shares_of_bins(rows: list[tuple[float | None, str, int, int]], size: int) -> None:
    columns = of_rows(rows)
    kept = top(columns, columns.scored, size, length_matched=True)
    total = int(columns.scored.sum())
    assert kept.sum() == min(size, total)
    assert not (kept & ~columns.scored).any()
    bins = length_bins(columns.tokens[columns.scored])
    for one in set(bins.tolist()):
        wanted = min(size, total) * (bins == one).sum() / total
        assert abs((kept[columns.scored] & (bins == one)).sum() - wanted) < 1


@settings(deadline=None, max_examples=50)
@given(ROWS, st.integers(1, 60), st.integers(0, 3))
def test_random_control_has_the_very_cells(
    rows: list[tuple[float | None, str, int, int]], size: int, seed: int
) -> None:
    columns = of_rows(rows)
    chosen = top(columns, columns.scored, size)
    drawn = random_control(columns, columns.scored, chosen, seed)
    assert not (drawn & ~columns.scored).any()
    bins = np.zeros(len(chosen), np.int64)
    bins[columns.scored] = length_bins(columns.tokens[columns.scored])
    cells = [list(zip(columns.kind[mask].tolist(), bins[mask].tolist(), strict=True)) for mask in (chosen, drawn)]
    assert Counter(cells[0]) == Counter(cells[1])


@settings(deadline=None, max_examples=50)
@given(ROWS, st.integers(1, 40), st.booleans(), st.booleans(), st.randoms(use_true_random=False))
def test_the_order_of_records_does_not_matter(
    rows: list[tuple[float | None, str, int, int]], size: int, balanced: bool, matched: bool, random: object
) -> None:
    # distinct scores: ties go by number, which changes with the order
    rows = [(None if row[0] is None else row[0] + place / 1000, *row[1:]) for place, row in enumerate(rows)]
    order = list(range(len(rows)))
    random.shuffle(order)  # type: ignore[attr-defined]
    columns, moved = of_rows(rows), of_rows([rows[i] for i in order])
    kept, again = (top(one, one.scored, size, balanced, matched) for one in (columns, moved))
    assert {order[place] for place in np.flatnonzero(again)} == set(np.flatnonzero(kept).tolist())
