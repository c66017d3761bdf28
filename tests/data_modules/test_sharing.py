"""Parts of a set: all of it, once, evenly."""

from itertools import chain, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_modules.sharing import share


def test_by_hand() -> None:
    assert [list(share(7, rank, 3)) for rank in range(3)] == [[0, 1, 2], [3, 4], [5, 6]]
    assert [list(share(7, 0, 3, worker, 2)) for worker in range(2)] == [[0, 1], [2]]
    assert [list(share(2, rank, 4)) for rank in range(4)] == [[0], [1], [], []]


@given(st.integers(0, 300), st.integers(1, 9), st.integers(1, 9))
def test_nothing_is_lost_or_taken_twice(count: int, world: int, workers: int) -> None:
    ranks = [[list(share(count, rank, world, worker, workers)) for worker in range(workers)] for rank in range(world)]
    parts = [part for rank in ranks for part in rank]
    assert list(chain(*parts)) == list(range(count))  # in order, so also disjoint
    for part in parts:
        assert all(after == before + 1 for before, after in pairwise(part))
    for sizes in ([len(part) for part in parts], [sum(map(len, rank)) for rank in ranks]):
        assert max(sizes) - min(sizes) <= 1
    assert [list(share(count, rank, world)) for rank in range(world)] == [list(chain(*rank)) for rank in ranks]


def test_a_million_images_on_many_nodes() -> None:
    sizes = [len(share(1_000_003, rank, 64, worker, 8)) for rank in range(64) for worker in range(8)]
    assert sum(sizes) == 1_000_003
    assert {*sizes} == {1953, 1954}


@pytest.mark.parametrize("numbers", [(5, 2, 2), (5, -1, 2), (5, 0, 0), (-1, 0, 1), (5, 0, 1, 2, 2), (5, 0, 1, 0, 0)])
def test_no_such_share(numbers: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="no such share"):
        share(*numbers)
