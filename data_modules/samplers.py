"""Which groups each process draws in an epoch."""

from collections.abc import Iterator, Sequence
from itertools import cycle, islice
from math import ceil, inf

import torch
from torch.utils.data import Sampler


class RoundSampler(Sampler[int]):
    """Draws groups by weight, without overlap between processes, the same on every rerun.

    Each group is drawn floor(weight) times and once more with the probability of the rest (systematic resampling), so
    that over an epoch every group is drawn as often as its weight says, give or take one. The draw depends on
    (seed, epoch) alone: processes agree on it whatever randomness they have used, and each takes its own share.

    Args:
        weights: sampling weight of each group, not negative, any scale.
        seed: seed of the round.
        rank: number of this process.
        world: number of processes.
        passes: draws in an epoch as a multiple of the number of groups.

    Raises:
        ValueError: if there is no group or no weight above 0.
    """

    def __init__(self, weights: Sequence[float], seed: int, rank: int = 0, world: int = 1, passes: float = 1.0) -> None:
        if not weights or min(weights) < 0 or not 0 < sum(weights) < inf:
            raise ValueError("sampling weights must be finite and not negative, and at least one must be above 0")
        if passes <= 0:
            raise ValueError(f"passes must be positive, not {passes}")
        self.weights = torch.tensor(weights, dtype=torch.float64)
        self.seed, self.rank, self.world = seed, rank, world
        self.total = ceil(len(weights) * passes)

    def __len__(self) -> int:
        return ceil(self.total / self.world)

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self.seed)
        drawn = self._draw(generator)[torch.randperm(self.total, generator=generator)].tolist()
        # every process takes as many: the first ones are drawn again to fill up
        padded = islice(cycle(drawn), len(self) * self.world)
        return islice(padded, self.rank, None, self.world)

    def _draw(self, generator: torch.Generator) -> torch.Tensor:
        edges = self.weights.cumsum(0) / self.weights.sum() * self.total
        points = torch.arange(self.total, dtype=torch.float64) + torch.rand(1, generator=generator).double()
        return torch.searchsorted(edges, points.clamp_max(float(edges[-1]) - 1e-9), right=True)
