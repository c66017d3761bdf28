"""How the values of an answer's tokens become the answer's value.

Letters of the shapes: B answers, T answer tokens. A wrong detail of a long answer lowers the mean over all of its
tokens by little; the other two poolings look at the part of the answer that the image supports least.
"""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from lightning_c3l.functional.checks import masked_mean, require_shape
from lightning_c3l.records import POOLINGS, Pooling

# values and mask, both `[B, T]`, to `[B]`
Pool = Callable[[Tensor, Tensor], Tensor]


def pool_of(pooling: Pooling, sentences: Tensor | None = None) -> Pool:
    """The function of a pooling, which takes values and their mask.

    Args:
        pooling: mean over the tokens, lowest mean of a sentence, or mean of the lowest quarter of the tokens.
        sentences: number of the sentence of each token, `[B, T]`; needed by `min_sentence` alone.

    Raises:
        ValueError: the pooling is unknown, or its sentences are missing.
    """
    if pooling == "mean":
        return masked_mean
    if pooling == "lowest_quarter":
        return lowest_quarter
    if pooling != "min_sentence":
        raise ValueError(f"pooling must be one of {', '.join(POOLINGS)}, not {pooling!r}")
    if sentences is None:
        raise ValueError("pooling min_sentence needs the sentence of each token")
    return partial(min_sentence, sentences=sentences)


def min_sentence(values: Tensor, mask: Tensor, sentences: Tensor) -> Tensor:
    """Lowest of the means over the tokens of each sentence.

    Args:
        values: one value a token, `[B, T]`.
        mask: true on answer tokens, at least one a row, `[B, T]`; other positions may hold anything.
        sentences: number of the sentence of each token, from 0, int64, `[B, T]`; any number outside the mask.

    Returns:
        The value of each row, `[B]`, nan where one of its tokens is nan.

    Raises:
        ValueError: shapes differ.

    Examples:
        Two sentences with means 2 and 1; the last position is padding.

        >>> mask = torch.tensor([[True, True, True, False]])
        >>> min_sentence(torch.tensor([[1.0, 3.0, 1.0, -9.0]]), mask, torch.tensor([[0, 0, 1, 1]]))
        tensor([1.])
    """
    require_shape("mask", mask, tuple(values.shape))
    require_shape("sentences", sentences, tuple(values.shape))
    own = sentences.masked_fill(~mask, 0)
    sums = values.new_zeros(len(values), int(own.max()) + 1 if own.numel() else 1)
    counts = sums.scatter_add(1, own, mask.to(values.dtype))
    sums = sums.scatter_add(1, own, values.masked_fill(~mask, 0.0))
    return (sums / counts).masked_fill(counts == 0, torch.inf).amin(dim=1)


def lowest_quarter(values: Tensor, mask: Tensor) -> Tensor:
    """Mean of the lowest quarter of the tokens, rounded up: of one token of up to four, of two of up to eight.

    Args:
        values: one value a token, `[B, T]`.
        mask: true on answer tokens, at least one a row, `[B, T]`; other positions may hold anything.

    Returns:
        The value of each row, `[B]`, nan where one of its tokens is nan.

    Raises:
        ValueError: shapes differ.

    Examples:
        The two lowest of five tokens.

        >>> lowest_quarter(torch.tensor([[5.0, 1.0, 4.0, 2.0, 3.0]]), torch.ones(1, 5, dtype=torch.bool))
        tensor([1.5000])
    """
    require_shape("mask", mask, tuple(values.shape))
    ordered = values.masked_fill(~mask, torch.inf).sort(dim=1).values
    count = (mask.sum(dim=1, keepdim=True) + 3) // 4
    found = masked_mean(ordered, torch.arange(values.shape[1], device=values.device) < count)
    # sorting puts nan last, where it would not be seen
    return found.masked_fill((values.isnan() & mask).any(dim=1), torch.nan)
