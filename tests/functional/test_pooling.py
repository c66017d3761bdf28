"""Poolings against closed forms and plain loops."""

import math
import random
from statistics import fmean

import pytest
import torch

from lightning_c3l.functional.pooling import lowest_quarter, min_sentence, pool_of


def test_poolings_equal_plain_loops_whatever_is_in_the_padding() -> None:
    draw = random.Random(0)
    rows = [[draw.uniform(-3, 3) for _ in range(length)] for length in (1, 4, 5, 12)]
    numbers = [sorted(draw.randrange(3) for _ in row) for row in rows]
    width = 14
    values = torch.tensor([row + [math.nan] * (width - len(row)) for row in rows], dtype=torch.float64)
    sentences = torch.tensor([own + [77] * (width - len(own)) for own in numbers])
    mask = torch.tensor([[place < len(row) for place in range(width)] for row in rows])

    def by_sentence(row: list[float], own: list[int]) -> float:
        return min(fmean(value for value, one in zip(row, own, strict=True) if one == number) for number in set(own))

    expected = {
        "mean": [fmean(row) for row in rows],
        "min_sentence": [by_sentence(*pair) for pair in zip(rows, numbers, strict=True)],
        "lowest_quarter": [fmean(sorted(row)[: math.ceil(len(row) / 4)]) for row in rows],
    }
    for pooling, found in expected.items():
        pool = pool_of(pooling, sentences)  # type: ignore[arg-type]
        assert pool(values, mask).tolist() == pytest.approx(found, abs=1e-12)


@pytest.mark.parametrize("pooling", ["mean", "min_sentence", "lowest_quarter"])
def test_a_token_that_is_no_number_shows(pooling: str) -> None:
    values, mask = torch.tensor([[1.0, math.nan, 0.0, 2.0, 3.0]]), torch.ones(1, 5, dtype=torch.bool)
    pool = pool_of(pooling, torch.tensor([[0, 1, 2, 2, 2]]))  # type: ignore[arg-type]
    assert pool(values, mask).isnan().all()


def test_one_sentence_is_its_mean() -> None:
    values, mask = torch.tensor([[1.0, 2.0, 6.0]]), torch.ones(1, 3, dtype=torch.bool)
    assert min_sentence(values, mask, torch.zeros(1, 3, dtype=torch.int64)).item() == 3.0
    assert lowest_quarter(values, mask).item() == 1.0


def test_wrong_poolings_are_refused() -> None:
    with pytest.raises(ValueError, match="pooling must be one of mean, min_sentence, lowest_quarter, not 'max'"):
        pool_of("max")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="needs the sentence of each token"):
        pool_of("min_sentence")
    with pytest.raises(ValueError, match="sentences has shape"):
        min_sentence(torch.zeros(1, 2), torch.ones(1, 2, dtype=torch.bool), torch.zeros(1, 3, dtype=torch.int64))
