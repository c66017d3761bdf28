"""Token rows as tensors."""

import pytest
import torch

from lightning_c3l.lvlm.huggingface.batching import common_prefix, pad, pad_mask


@pytest.mark.parametrize(
    ("rows", "limit", "expected"),
    [
        ([(1, 2, 3)], 9, 3),
        ([(1, 2, 3)], 2, 2),
        ([(1, 2, 3), (1, 2, 4)], 9, 2),
        ([(1, 2, 3, 4), (1, 2, 3), (1, 9)], 9, 1),
        ([(1,), (2,)], 9, 0),
    ],
)
def test_common_prefix(rows: list[tuple[int, ...]], limit: int, expected: int) -> None:
    assert common_prefix(rows, limit) == expected


def test_padding_stands_on_the_right() -> None:
    assert pad([[1, 2], [3]]).tolist() == [[1, 2], [3, 0]]
    assert pad([[1, 2], [3]], fill=7).tolist() == [[1, 2], [3, 7]]
    assert pad_mask([1, 2]).tolist() == [[True, False], [True, True]]
    assert pad([(True, False), (True,)]).dtype == torch.bool


def test_a_mask_is_a_mask_even_where_the_first_row_is_empty() -> None:
    mask = pad_mask([0, 2])
    assert mask.dtype == torch.bool
    assert mask.tolist() == [[False, False], [True, True]]
