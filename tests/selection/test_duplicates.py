"""Duplicates against a comparison of all pairs."""

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lightning_c3l.selection.columns import Columns, Mask
from lightning_c3l.selection.duplicates import NearDuplicateRule, bands, drop_exact, drop_near
from tests.selection.sets import columns_of

WORDS = [f"w{place}" for place in range(8)]
TEXTS = st.lists(st.sampled_from(WORDS), min_size=0, max_size=7).map(" ".join)
ROWS = st.lists(st.tuples(st.integers(-3, 3).map(float), TEXTS, st.integers(1, 2)), min_size=1, max_size=40)


def pairs_of(text: str) -> set[tuple[str, ...]]:
    parts = text.split()
    return {tuple(parts)} if len(parts) == 1 else {(parts[i], parts[i + 1]) for i in range(len(parts) - 1)}


def alike(one: str, two: str, threshold: float) -> bool:
    first, second = pairs_of(one), pairs_of(two)
    # exact: no rounding where the index is at the threshold
    return bool(first) and bool(second) and len(first & second) >= threshold * len(first | second) - 1e-12


def brute_force(rows: list[tuple[float, str, int]], threshold: float, over_set: bool) -> list[bool]:
    stayed: list[int] = []
    for i in sorted(range(len(rows)), key=lambda i: (-rows[i][0], i)):
        rivals = [j for j in stayed if over_set or rows[j][2] == rows[i][2]]
        if not any(alike(rows[i][1], rows[j][1], threshold) for j in rivals):
            stayed.append(i)
    return [i in stayed for i in range(len(rows))]


def of_rows(rows: list[tuple[float, str, int]]) -> Columns:
    scores, texts, images = zip(*rows, strict=True)
    return columns_of(scores, images=images, texts=[[text] for text in texts])


def numbers(columns: Columns, mask: Mask) -> list[int]:
    return columns.number[mask].tolist()


def test_the_best_of_exact_duplicates_stays() -> None:
    texts = [["What is it?", "A cat"], ["what  is it", "a cat."], ["What is it?", "A dog"], ["What is it? A", "cat"]]
    columns = columns_of([1.0, 2.0, 0.0, 0.0], texts=texts)
    assert numbers(columns, drop_exact(columns, columns.scored)) == [2, 3, 4]


def test_exact_duplicates_are_looked_for_by_images_or_over_the_set() -> None:
    columns = columns_of([1.0, 2.0, 2.0], images=[1, 2, 2], texts=[["x"]] * 3)
    assert numbers(columns, drop_exact(columns, columns.scored)) == [1, 2]
    assert numbers(columns, drop_exact(columns, columns.scored, "set")) == [2]


def test_near_duplicates_by_hand() -> None:
    # pairs: 5 of record 1; record 2 shares 4 of 6 in all; record 3 shares 4 of 5 in all
    texts = [["a b c", "d e f"], ["a b c d e g", ""], ["a b c d e"]]
    columns = columns_of([3.0, 2.0, 1.0], texts=texts)
    assert numbers(columns, drop_near(columns, columns.scored, NearDuplicateRule(0.8))) == [1, 2]
    assert numbers(columns, drop_near(columns, columns.scored, NearDuplicateRule(4 / 6))) == [1]
    assert numbers(columns, drop_near(columns, columns.scored, NearDuplicateRule(0.81))) == [1, 2, 3]


def test_one_record_a_question_whatever_it_answers() -> None:
    texts = [["is it red?", "yes"], ["Is it  red", "no indeed not"], ["?", "a"], ["!", "b"], ["is it blue?", "no"]]
    columns = columns_of([1.0, 2.0, 3.0, 2.0, 1.0], images=[1, 1, 1, 1, 1], texts=texts)
    rule = NearDuplicateRule(1.0, one_per_question=True)
    assert numbers(columns, drop_near(columns, columns.scored, rule)) == [2, 3, 5]
    elsewhere = columns_of([1.0, 2.0], images=[1, 2], texts=texts[:2])
    assert drop_near(elsewhere, elsewhere.scored, rule).all()
    # a question that fell takes none of its like with it: 2 is like 1, and 3 asks what 2 asks
    chain = columns_of([3.0, 2.0, 1.0], texts=[["a b c d", "e f"], ["a b c", "d e f"], ["a b c", "x y z"]])
    kept = drop_near(chain, chain.scored, NearDuplicateRule(0.9, one_per_question=True))
    assert numbers(chain, kept) == [1, 3]


def test_what_fell_takes_nobody_with_it() -> None:
    # 2 is like 1 and 3 is like 2, but 3 is not like 1: 5/7, 5/7 and 4/8
    texts = [["a b c d e f g"], ["b c d e f g h"], ["c d e f g h i"]]
    columns = columns_of([3.0, 2.0, 1.0], texts=texts)
    assert numbers(columns, drop_near(columns, columns.scored, NearDuplicateRule(0.7))) == [1, 3]


def test_records_without_words_stay() -> None:
    columns = columns_of([1.0, 1.0], texts=[["?"], ["?"]])
    assert drop_near(columns, columns.scored, NearDuplicateRule(0.5)).all()


def test_those_that_are_out_drop_nobody() -> None:
    columns = columns_of([None, 1.0], texts=[["a b c"]] * 2)
    assert numbers(columns, drop_near(columns, columns.scored, NearDuplicateRule(0.5))) == [2]


@settings(deadline=None, max_examples=50)
@given(ROWS, st.sampled_from([0.2, 0.5, 0.8, 1.0]), st.booleans())
def test_small_groups_are_as_brute_force_has_them(
    rows: list[tuple[float, str, int]], threshold: float, over_set: bool
) -> None:
    columns = of_rows(rows)
    kept = drop_near(columns, columns.scored, NearDuplicateRule(threshold, "set" if over_set else "images"))
    assert kept.tolist() == brute_force(rows, threshold, over_set)


def planted(count: int) -> list[tuple[float, str, int]]:
    """Texts of 40 words, and for each a twin with one word changed: Jaccard 37/41 of the pairs, or 38/40 at an end."""
    draw = random.Random(0)
    rows = []
    for _ in range(count):
        text = [f"w{draw.randrange(5000)}" for _ in range(40)]
        twin = list(text)
        twin[draw.randrange(40)] = "other"
        rows += [(draw.random(), " ".join(text), 1), (draw.random(), " ".join(twin), 1)]
    return rows


def test_signatures_find_what_brute_force_finds() -> None:
    rows = planted(150)
    columns = of_rows(rows)
    kept = drop_near(columns, columns.scored, NearDuplicateRule(0.8, all_pairs_up_to=0))
    assert kept.sum() == 150
    assert kept.tolist() == brute_force(rows, 0.8, over_set=True)


def test_signatures_keep_scopes_apart() -> None:
    rows = [(1.0, "a b c d", image) for image in range(1, 101) for _ in range(2)]
    columns = of_rows(rows)
    assert drop_near(columns, columns.scored, NearDuplicateRule(0.8, "images", all_pairs_up_to=0)).sum() == 100
    assert drop_near(columns, columns.scored, NearDuplicateRule(0.8, "set", all_pairs_up_to=0)).sum() == 1


@settings(deadline=None, max_examples=50)
@given(ROWS)
def test_signatures_never_drop_what_is_not_alike(rows: list[tuple[float, str, int]]) -> None:
    columns = of_rows(rows)
    kept = drop_near(columns, columns.scored, NearDuplicateRule(0.6, all_pairs_up_to=0))
    for i in np.flatnonzero(~kept):
        better = [j for j in np.flatnonzero(kept) if (-rows[j][0], j) < (-rows[i][0], i) and rows[j][2] == rows[i][2]]
        assert any(alike(rows[i][1], rows[j][1], 0.6) for j in better)


@pytest.mark.parametrize("threshold", [0.05, 0.3, 0.5, 0.8, 0.95, 1.0])
def test_bands_find_pairs_at_the_threshold(threshold: float) -> None:
    count, rows = bands(threshold)
    assert count * rows <= 128
    assert 1 - (1 - threshold**rows) ** count >= 0.99
