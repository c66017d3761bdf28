"""The selection of a round as a stream: groups as positions, and figures from columns."""

import math
from random import Random

import pytest

from lightning_c3l.functional.sums import ExactSum
from lightning_c3l.records import ScoredCandidate
from lightning_c3l.rounds.group_rows import GroupColumns, GroupRows
from lightning_c3l.rounds.round_selection import RoundSelection
from lightning_c3l.selection.pseudo_labels import grouped, select_group
from tests.helpers.scored import scored

CANDIDATES = [
    scored(0.1, 0, image="a"),
    scored(0.5, 1, image="a"),
    scored(None, 2, image="a"),
    scored(0.9, 0, image="a", kind="long"),
    scored(None, 0, image="b"),
    scored(0.2, 0, image="c"),
    scored(0.3, 1, image="c"),
    scored(0.7, 2, image="c"),
]


@pytest.fixture
def selection() -> RoundSelection:
    return RoundSelection("answer", 0.0, 3.0, "instruction")


def test_groups_are_positions_in_what_was_selected(selection: RoundSelection) -> None:
    selected = list(selection.select(iter(CANDIDATES)))
    assert [one.status for one in selected] == [
        *("negative", "positive", "rejected", "positive", "rejected"),
        *("negative", "negative", "positive"),
    ]
    rows = list(selection.groups().rows())
    assert [(row["positive"], row["negatives"]) for row in rows] == [(1, [0]), (3, []), (7, [5, 6])]
    # w = (10/12, 14/12) within the first kind, 1 in the other; the weight is its root over the mean root
    roots = [math.sqrt(10 / 12), 1.0, math.sqrt(14 / 12)]
    expected = [3 * root / sum(roots) for root in roots]
    assert [row["weight"] for row in rows] == pytest.approx(expected)
    assert [row["sampling_weight"] for row in rows] == pytest.approx(expected)


def test_figures_of_a_stream(selection: RoundSelection) -> None:
    list(selection.select(iter(CANDIDATES)))
    figures = selection.figures(0)
    assert (figures["images"], figures["groups"], figures["candidates"]) == (3, 3, 8)
    assert figures["i2c_mean"] == pytest.approx((0.1 + 0.5 + 0.9 + 0.2 + 0.3 + 0.7) / 6)
    assert figures["i2c_positive_mean"] == pytest.approx((0.5 + 0.9 + 0.7) / 3)
    assert "truth_rate" not in figures


def test_a_round_without_candidates(selection: RoundSelection) -> None:
    assert list(selection.select([])) == []
    assert list(selection.groups().rows()) == []
    figures = selection.figures(0)
    assert (figures["candidates"], figures["i2c_mean"], figures["length_correlation"]) == (0, None, None)


def test_groups_are_read_from_their_candidates(selection: RoundSelection) -> None:
    selected: list[ScoredCandidate] = list(selection.select(CANDIDATES))
    groups = GroupRows(selected, GroupColumns.of(selection.groups().rows()))
    chosen = [select_group(own)[0] for own in grouped(CANDIDATES)]
    expected = [(one.positive, one.negatives) for one in chosen if one is not None]
    assert [(one.positive, one.negatives) for one in groups] == expected
    assert [one.sampling_weight for one in groups] == groups.sampling_weights.tolist()
    assert list(groups.images()) == ["a", "a", "c"]
    some = groups.kept(groups.sampling_weights > 0.95)
    assert some == [one for one in groups if one.sampling_weight > 0.95]
    assert len(some) == 2


def test_exact_sums_are_those_of_the_standard_library() -> None:
    random = Random(0)
    values = [random.uniform(-1, 1) * 10 ** random.randint(-200, 200) for _ in range(300)]
    total = ExactSum()
    assert total.mean() is None
    for number, value in enumerate(values, start=1):
        total.add(value)
        assert total.mean() == math.fsum(values[:number]) / number
