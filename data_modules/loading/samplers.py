"""Which groups an epoch draws, in which order."""

from collections.abc import Sequence
from math import ceil, inf

import torch


def draw_by_weight(weights: Sequence[float], seed: int, passes: float = 1.0) -> list[int]:
    """Draws groups by weight, in mixed order, the same on every rerun.

    Each group is drawn floor(weight) times and once more with the probability of the rest (systematic resampling), so
    that over an epoch every group is drawn as often as its weight says, give or take one. The draw depends on its
    arguments alone: processes agree on it, whatever randomness they have used and however many they are.

    Args:
        weights: sampling weight of each group, not negative, any scale.
        seed: seed of the epoch.
        passes: draws in an epoch as a multiple of the number of groups.

    Returns:
        Numbers of groups, ceil(groups x passes) of them.

    Raises:
        ValueError: if there is no group or no weight above 0.
    """
    if not weights or min(weights) < 0 or not 0 < sum(weights) < inf:
        raise ValueError("sampling weights must be finite and not negative, and at least one must be above 0")
    if passes <= 0:
        raise ValueError(f"passes must be positive, not {passes}")
    total = ceil(len(weights) * passes)
    generator = torch.Generator().manual_seed(seed)
    drawn = _resample(torch.tensor(weights, dtype=torch.float64), total, generator)
    mixed: list[int] = drawn[torch.randperm(total, generator=generator)].tolist()
    return mixed


def _resample(weights: torch.Tensor, total: int, generator: torch.Generator) -> torch.Tensor:
    edges = weights.cumsum(0) / weights.sum() * total
    points = torch.arange(total, dtype=torch.float64) + torch.rand(1, generator=generator).double()
    return torch.searchsorted(edges, points.clamp_max(float(edges[-1]) - 1e-9), right=True)
