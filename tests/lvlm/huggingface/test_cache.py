"""The growing cache against transformers' own, which copies everything for every token."""

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

from lightning_c3l.lvlm.huggingface.cache import GrowingLayer, append_rows, growing_cache

HEADS, SIZE = 2, 3


class States:
    """Random keys and values."""

    def __init__(self) -> None:
        self.generator = torch.Generator().manual_seed(0)

    def __call__(self, rows: int, length: int) -> tuple[Tensor, Tensor]:
        shape = (2, rows, HEADS, length, SIZE)
        keys, values = torch.randn(shape, generator=self.generator)
        return keys, values


def assert_same(one: DynamicLayer, other: DynamicLayer) -> None:
    assert torch.equal(one.keys, other.keys)
    assert torch.equal(one.values, other.values)
    assert one.get_seq_length() == other.get_seq_length()
    assert one.get_mask_sizes(5) == other.get_mask_sizes(5)


@pytest.mark.parametrize("lengths", [[1], [7] + [2] * 300, [40, 200, 1, 1], [3, 128, 1], [1] * 20], ids=str)
def test_it_holds_what_the_other_holds(lengths: Sequence[int]) -> None:
    mine, theirs, states = GrowingLayer(), DynamicLayer(), States()
    for length in lengths:
        new = states(3, length)
        returned, expected = mine.update(*new), theirs.update(*new)
        assert torch.equal(returned[0], expected[0])
        assert torch.equal(returned[1], expected[1])
        assert_same(mine, theirs)


def test_a_new_token_copies_no_old_one() -> None:
    layer, states = GrowingLayer(), States()
    layer.update(*states(2, 10))
    layer.update(*states(2, 1))
    before = layer.keys.data_ptr(), layer.values.data_ptr()
    for _ in range(100):
        layer.update(*states(2, 1))
    assert (layer.keys.data_ptr(), layer.values.data_ptr()) == before


def test_what_the_prompt_was_is_not_written_over() -> None:
    """The states handed in at first are the caller's."""
    layer, states = GrowingLayer(), States()
    keys, values = states(2, 4)
    kept = keys.clone(), values.clone()
    layer.update(keys, values)
    layer.update(*states(2, 1))
    assert torch.equal(keys, kept[0])
    assert torch.equal(values, kept[1])


@pytest.mark.parametrize("rows", [[0], [2, 0], [1, 1, 3], [3, 2, 1, 0]], ids=str)
def test_rows_are_kept_and_go_on_growing(rows: list[int]) -> None:
    mine, theirs, states = GrowingLayer(), DynamicLayer(), States()
    for length in (5, 1, 1):
        new = states(4, length)
        mine.update(*new)
        theirs.update(*new)
    for layer in (mine, theirs):
        layer.batch_select_indices(torch.tensor(rows))
    assert_same(mine, theirs)
    for length in (1, 140):
        new = states(len(rows), length)
        mine.update(*new)
        theirs.update(*new)
        assert_same(mine, theirs)


@pytest.mark.parametrize(("lengths", "more"), [([6], [4]), ([4], [6]), ([5], [5]), ([3, 1, 1], [9]), ([9], [3, 1, 1])])
def test_rows_of_another_length_are_taken_in(lengths: list[int], more: list[int]) -> None:
    """The shorter ones are filled up at the end; every row's own tokens stay where they were."""
    states = States()
    layers = []
    for rows, own in ((2, lengths), (3, more)):
        layer = GrowingLayer()
        for length in own:
            layer.update(*states(rows, length))
        layers.append((layer, layer.keys.clone(), layer.values.clone()))
    (mine, keys, values), (other, other_keys, other_values) = layers
    mine.append_rows(other)
    short, long = keys.shape[2], other_keys.shape[2]
    assert mine.keys.shape == mine.values.shape == (5, HEADS, max(short, long), SIZE)
    for found, first, second in ((mine.keys, keys, other_keys), (mine.values, values, other_values)):
        assert torch.equal(found[:2, :, :short], first)
        assert torch.equal(found[2:, :, :long], second)
        assert not bool(found[:2, :, short:].any())
        assert not bool(found[2:, :, long:].any())
    before, new = mine.keys.clone(), states(5, 2)
    grown, _ = mine.update(*new)
    assert torch.equal(grown, torch.cat([before, new[0]], dim=2))


def test_a_whole_cache_of_layers() -> None:
    mine, theirs, states = growing_cache(), DynamicCache(), States()
    for length in (4, 1, 1):
        for layer in range(3):
            new = states(3, length)
            mine.update(*new, layer)
            theirs.update(*new, layer)
    mine.batch_select_indices(torch.tensor([2, 0]))
    theirs.batch_select_indices(torch.tensor([2, 0]))
    assert len(mine.layers) == 3
    other, kept = growing_cache(), [layer.keys.clone() for layer in mine.layers]
    for layer in range(3):
        assert_same(mine.layers[layer], theirs.layers[layer])
        other.update(*states(1, 8), layer)
    append_rows(mine, other)
    for layer in range(3):
        assert torch.equal(mine.layers[layer].keys[:2, :, :6], kept[layer])
        assert torch.equal(mine.layers[layer].keys[2:], other.layers[layer].keys)
