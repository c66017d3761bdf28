"""Batches that fit: what runs out of accelerator memory is run again in halves."""

from collections.abc import Callable
from typing import TypeVar

import torch
from lightning.pytorch.utilities import rank_zero_warn

_T = TypeVar("_T")


class BatchSize:
    """A batch size that is halved where it does not fit, and stays so.

    Args:
        size: what to begin with.
        name: option that sets it, for the message.
    """

    def __init__(self, size: int, name: str) -> None:
        self.size, self.name = size, name

    def run(self, work: Callable[[int], _T]) -> _T:
        """`work(size)`, with half of the size as often as memory runs out.

        Raises:
            torch.OutOfMemoryError: if one alone does not fit.
        """
        while True:
            try:
                return work(self.size)
            except torch.OutOfMemoryError as error:
                if self.size == 1:
                    raise torch.OutOfMemoryError(
                        f"out of memory with {self.name}: 1; use a smaller model or dtype, or fewer or shorter samples"
                    ) from error
                self.size //= 2
            # outside the handler, whose traceback keeps the tensors of the failed batch
            torch.cuda.empty_cache()
            rank_zero_warn(f"out of memory: going on with {self.name}: {self.size}")
