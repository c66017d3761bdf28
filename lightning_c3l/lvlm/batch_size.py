"""Batch sizes that are halved when accelerator memory runs out."""

from collections.abc import Callable
from typing import TypeVar

import torch
from lightning.pytorch.utilities import rank_zero_warn

_T = TypeVar("_T")


class BatchSize:
    """A batch size that is halved whenever it does not fit, for good.

    Args:
        size: initial size.
        name: option that sets it, for messages.

    Raises:
        ValueError: the size is less than 1.
    """

    def __init__(self, size: int, name: str) -> None:
        if size < 1:
            raise ValueError(f"{name} must be at least 1, not {size}")
        self.size, self.name = size, name

    def run(self, work: Callable[[int], _T]) -> _T:
        """Return `work(size)`, and repeat it with half the size whenever memory runs out.

        Raises:
            torch.OutOfMemoryError: if a size of 1 does not fit.
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
            # outside the handler: its traceback keeps the tensors of the failed batch alive
            torch.cuda.empty_cache()
            rank_zero_warn(f"out of memory: going on with {self.name}: {self.size}")
