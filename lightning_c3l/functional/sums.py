"""Sums that do not depend on the order of what is added."""

import math


class ExactSum:
    """Sum and mean of numbers that come one by one, rounded once: those of `math.fsum`, in constant memory.

    The sum is held as a few floats that do not overlap (Shewchuk, Adaptive Precision Floating-Point Arithmetic, 1997).
    """

    def __init__(self) -> None:
        self.count = 0
        self._parts: list[float] = []

    def add(self, value: float) -> None:
        """Add a number."""
        self.count += 1
        parts = list[float]()
        for part in self._parts:
            large, small = (value, part) if abs(value) >= abs(part) else (part, value)
            value = large + small
            if rest := small - (value - large):
                parts.append(rest)
        self._parts = [*parts, value]

    def mean(self) -> float | None:
        """The mean; None of no numbers."""
        return math.fsum(self._parts) / self.count if self.count else None
