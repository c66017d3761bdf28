"""Axes: from values to pixels, round tick values, bins."""

import math
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from lightning_c3l.report.markup import MINUS, finite

# Beyond this the arithmetic of an axis could overflow; no figure of a run comes near.
_LARGEST = 1e12


@dataclass(frozen=True)
class Scale:
    """Straight line from [low, high] in units of the data to [start, stop] in pixels."""

    low: float
    high: float
    start: float
    stop: float

    def __call__(self, value: float) -> float:
        """Pixel of a value, kept inside the axis."""
        share = (value - self.low) / (self.high - self.low)
        return self.start + min(1.0, max(0.0, share)) * (self.stop - self.start)


def finite_values(values: Iterable[object]) -> list[float]:
    """The values that can be drawn."""
    return [real for real in map(finite, values) if real is not None]


def span(values: Iterable[object], include: Sequence[float] = ()) -> tuple[float, float]:
    """Lowest and highest value with some room where they coincide; (0, 1) where there is none."""
    known = [min(_LARGEST, max(-_LARGEST, one)) for one in [*finite_values(values), *include]]
    if not known:
        return 0.0, 1.0
    low, high = min(known), max(known)
    room = max(abs(low), abs(high), 1e-6)
    return (low, high) if high - low > 1e-6 * room else (low - 0.5 * room, high + 0.5 * room)


def tick_step(low: float, high: float, count: int = 5) -> float:
    """Distance of about `count` ticks: 1, 2 or 5 times a power of ten."""
    rough = (high - low) / count
    power = float(10 ** math.floor(math.log10(rough)))
    # The nearest of the four on a logarithmic axis: the borders are their geometric means.
    square = (rough / power) ** 2
    factor = 10 if square >= 50 else 5 if square >= 10 else 2 if square >= 2 else 1
    return factor * power


def ticks(low: float, high: float, count: int = 5) -> list[tuple[float, str]]:
    """Round values between `low` and `high` with their labels."""
    step = tick_step(low, high, count)
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [(place * step, _label(place * step, digits)) for place in range(first, last + 1)]


def _label(value: float, digits: int) -> str:
    if abs(value) >= 1e6 or digits > 6:
        return f"{value:.0e}".replace("-", MINUS)
    return f"{value:.{digits}f}".replace("-", MINUS)


def rounded_out(low: float, high: float) -> tuple[float, float]:
    """The range widened to whole ticks, so that an axis ends on one."""
    step = tick_step(low, high)
    return math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step


def bin_edges(values: Iterable[object], bins: int = 24) -> list[float]:
    """`bins` + 1 evenly spaced edges over all values."""
    low, high = rounded_out(*span(values))
    return [low + (high - low) * place / bins for place in range(bins + 1)]


def bin_counts(values: Iterable[object], edges: Sequence[float]) -> list[int]:
    """How many values fall between neighbouring edges; values outside count in the outermost bins."""
    counts = [0] * (len(edges) - 1)
    for value in finite_values(values):
        place = bisect_right(edges, value) - 1
        counts[min(len(counts) - 1, max(0, place))] += 1
    return counts
