"""Which samples an epoch draws, in which order, and which items each process takes."""

from collections.abc import Sequence
from math import ceil, inf

import numpy as np
import torch
from numpy.typing import NDArray


def draw_by_weight(weights: Sequence[float] | NDArray[np.float64], seed: int, passes: float = 1.0) -> NDArray[np.int64]:
    """Draw indices by weight, shuffled, the same on every rerun.

    Each index is drawn floor(weight) times and once more with the probability of the rest (systematic resampling), so
    that over an epoch every index is drawn as often as its weight says, give or take one. The draw depends on its
    arguments alone: processes agree on it, whatever randomness they have used and however many they are.

    Args:
        weights: sampling weight of each index, not negative, any scale.
        seed: seed of the epoch.
        passes: draws in an epoch as a multiple of the number of indices.

    Returns:
        Indices, ceil(len(weights) * passes) of them.

    Raises:
        ValueError: `passes` is not positive, or no weight is.
    """
    known = np.asarray(weights, np.float64)
    if not len(known) or known.min() < 0 or not 0 < known.sum() < inf:
        raise ValueError("sampling weights must be finite and not negative, and at least one must be above 0")
    if passes <= 0:
        raise ValueError(f"passes must be positive, not {passes}")
    total = ceil(len(weights) * passes)
    generator = torch.Generator().manual_seed(seed)
    scale = torch.tensor(known)
    edges = scale.cumsum(0) / scale.sum() * total
    points = torch.arange(total, dtype=torch.float64) + torch.rand(1, generator=generator).double()
    drawn = torch.searchsorted(edges, points.clamp_max(float(edges[-1]) - 1e-9), right=True)
    shuffled: NDArray[np.int64] = drawn[torch.randperm(total, generator=generator)].numpy()
    return shuffled


def draw_evenly(count: int, wanted: int, generator: torch.Generator) -> list[int]:
    """Draw `wanted` indices out of `count`, each as often as any other, give or take one.

    Args:
        count: number of indices to draw from.
        wanted: number of draws; may exceed `count`.
        generator: decides which indices come once more than others.
    """
    whole, rest = divmod(wanted, count)
    once_more: list[int] = torch.randperm(count, generator=generator)[:rest].tolist()
    return [*list(range(count)) * whole, *once_more]


def share(count: int, rank: int, world: int) -> range:
    """The contiguous part of 0 .. count - 1 of one process.

    Nothing is left out or taken twice, and the parts of two processes differ by at most one in length.

    Args:
        count: number of items.
        rank: rank of the process, below `world`.
        world: number of processes.

    Raises:
        ValueError: a number is out of range.
    """
    if count < 0 or not 0 <= rank < world:
        raise ValueError(f"no such share: {count} items, rank {rank} of {world}")
    least, more = divmod(count, world)
    start = rank * least + min(rank, more)
    return range(start, start + least + (rank < more))
