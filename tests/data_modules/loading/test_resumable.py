"""Batches of an epoch: shares of processes, and going on in its middle with the same or other processes."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lightning.fabric.utilities.types import _Stateful

from data_modules.loading.resumable import ResumableLoader

COUNTS, SIZES = st.integers(1, 40), st.integers(1, 5)


def mixed(epoch: int, count: int = 20) -> list[int]:
    """Another order each epoch, of numbers that none of them share."""
    return [100 * epoch + (7 * number + 3 * epoch) % count for number in range(count)]


class Numbers:
    """Samples that are their own numbers."""

    def __getitem__(self, number: int) -> int:
        return number


def loader(
    count: int = 20, size: int = 2, rank: int = 0, world: int = 1, workers: int = 0, epoch: int = 0
) -> ResumableLoader:
    numbers: Any = Numbers()
    return ResumableLoader(numbers, lambda epoch: range(count), size, workers, list, (rank, world), epoch)


def ranks(count: int, size: int, world: int) -> list[ResumableLoader]:
    return [loader(count, size, rank, world) for rank in range(world)]


def take(loaders: Sequence[ResumableLoader], batches: int) -> list[list[int]]:
    """What all of them hand out together in so many batches: one list a batch, ranks one after the other."""
    iterators = [iter(own) for own in loaders]
    return [[number for iterator in iterators for number in next(iterator)] for _ in range(batches)]


@given(COUNTS, SIZES, st.integers(1, 4))
def test_ranks_share_every_batch_of_one_process(count: int, size: int, world: int) -> None:
    alone = list(loader(count, size * world))
    together = ranks(count, size, world)
    assert {len(own) for own in together} == {len(alone)}
    batches = [list(own) for own in together]
    assert {len(own) for own in batches} == {len(alone)}
    for whole, *shares in zip(alone, *batches, strict=True):
        assert all(shares)  # a rank without a batch would leave the others waiting
        drawn = [number for own in shares for number in own]
        if len(whole) >= world:
            assert sorted(drawn) == whole
        else:
            assert set(drawn) == set(whole)
            assert len(drawn) == world
        assert max(map(len, shares)) - min(map(len, shares)) <= 1
    assert sorted(own_draws(together, batches)) == list(range(count))


def own_draws(loaders: Sequence[ResumableLoader], batches: Sequence[list[list[int]]], first: int = 0) -> list[int]:
    """Draws of all ranks that they do not only repeat, from batch `first` of the epoch on."""
    numbered = [(own, *each) for own, shares in zip(loaders, batches, strict=True) for each in enumerate(shares, first)]
    return [number for own, place, batch in numbered if not own.repeats(place) for number in batch]


def test_ranks_take_turns() -> None:
    assert take(ranks(8, 2, 2), 2) == [[0, 2, 1, 3], [4, 6, 5, 7]]


@given(COUNTS, st.tuples(SIZES, SIZES), st.tuples(st.integers(1, 4), st.integers(1, 4)), st.data())
def test_another_number_of_processes_goes_on_at_the_same_draw(
    count: int, size: tuple[int, int], world: tuple[int, int], data: st.DataObject
) -> None:
    before = ranks(count, size[0], world[0])
    done = data.draw(st.integers(0, len(before[0]) - 1))
    first = [number for batch in take(before, done) for number in batch]
    states = [own.state_dict() for own in before]
    assert all(state == states[0] for state in states)
    after = ranks(count, size[1], world[1])
    for own in after:
        own.load_state_dict(states[0])
    rest = [list(own) for own in after]
    assert {len(own) for own in after} == {done + len(rest[0])}
    assert len({len(own) for own in rest}) == 1
    counts = Counter(first + [number for own in rest for batch in own for number in batch])
    assert set(counts) == set(range(count))
    repeated = sum(counts.values()) - count
    assert repeated < world[1]
    assert not repeated or (count - len(first)) % (size[1] * world[1]) < world[1]
    assert sorted(first + own_draws(after, rest, done)) == list(range(count))


@pytest.mark.parametrize("workers", [0, 2])
def test_what_workers_have_prepared_is_not_counted(workers: int) -> None:
    before = loader(workers=workers)
    assert take([before], 3) == [[0, 1], [2, 3], [4, 5]]
    state = before.state_dict()
    assert (state["drawn"], state["left"], state["batches"]) == (6, 14, 3)
    after = loader(workers=workers)
    after.load_state_dict(state)
    assert len(after) == 10
    assert next(iter(after)) == [6, 7]


def orders(epoch: int = 0) -> ResumableLoader:
    numbers: Any = Numbers()
    return ResumableLoader(numbers, mixed, 8, 0, list, (0, 1), epoch)


def test_each_epoch_has_its_order_and_begins_at_its_beginning() -> None:
    epochs = orders()
    assert [number for batch in epochs for number in batch] == mixed(0)
    take([epochs], 1)
    epochs.sampler.set_epoch(0)  # as Lightning does before the first batch of a resumed epoch
    assert epochs.state_dict()["drawn"] == 8
    epochs.sampler.set_epoch(1)
    assert [number for batch in epochs for number in batch] == mixed(1)
    assert [number for batch in orders(3) for number in batch] == mixed(3)


def test_asking_for_an_iterator_changes_nothing() -> None:
    one = loader()
    iter(one), iter(one)
    assert take([one], 1) == [[0, 1]]
    assert one.state_dict()["drawn"] == 2


def test_a_finished_epoch_is_not_resumed() -> None:
    done = orders()
    assert len(list(done)) == len(done) == 3
    assert done.state_dict()["left"] == 0
    for epoch in (0, 1):
        after = orders(epoch)
        after.load_state_dict(done.state_dict())
        assert len(after) == 3
        assert [number for batch in after for number in batch] == mixed(epoch)


def test_the_position_of_another_epoch_is_ignored() -> None:
    before = orders()
    take([before], 1)
    after = orders(1)
    after.load_state_dict(before.state_dict())
    assert [number for batch in after for number in batch] == mixed(1)


def test_other_draws_begin_again_with_a_warning() -> None:
    before = loader(count=20)
    take([before], 3)
    after = loader(count=12)
    with pytest.warns(UserWarning, match="epoch 0 draws other samples"):
        after.load_state_dict(before.state_dict())
    # the three batches that Lightning has counted, and all six of these
    assert len(after) == 9
    assert [number for batch in after for number in batch] == list(range(12))


def test_lightning_takes_it_for_resumable() -> None:
    assert isinstance(loader(), _Stateful)
