"""Timing several implementations of one thing in turn, the memory of this process, and the table of the figures."""

import re
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict, TypeVar

import torch
from rich.table import Table

T = TypeVar("T")


class Spread(TypedDict):
    """A figure over several repeats."""

    median: float
    min: float
    max: float


def spread(values: Sequence[float]) -> Spread:
    """Median and extremes."""
    return Spread(median=statistics.median(values), min=min(values), max=max(values))


def ratio(slow: Sequence[float], fast: Sequence[float]) -> Spread:
    """How many times as long the slow implementation takes, repeat by repeat."""
    return spread([s / f for s, f in zip(slow, fast, strict=True)])


def side_by_side(implementations: Mapping[T, Callable[[], object]], repeats: int) -> dict[T, list[float]]:
    """Seconds of each implementation in each repeat; one more repeat before them does not count.

    Every repeat runs all implementations, so that a drift of the machine affects them alike.
    """
    seconds: dict[T, list[float]] = {name: [] for name in implementations}
    for repeat in range(repeats + 1):
        for name, run in implementations.items():
            synchronize()
            start = time.perf_counter()
            run()
            synchronize()
            if repeat:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def synchronize() -> None:
    """Wait until the GPU, if there is one, has done all that it was given."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def process_memory(name: str) -> int:
    """Memory of this process in bytes, as Linux counts it: `VmRSS` is resident now, `VmHWM` its peak."""
    found = re.search(rf"^{name}:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    if found is None:
        raise OSError(f"/proc/self/status has no {name}")
    return 1024 * int(found[1])


def reset_peak_memory() -> None:
    """Set the peak, `VmHWM`, to what is resident now."""
    Path("/proc/self/clear_refs").write_text("5")


def spread_table(figures: Mapping[str, Any], digits: str) -> Table:
    """One row for each spread among nested figures, named by its path; `digits` is a format such as `.3g`."""

    def rows(nested: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Mapping[str, float]]]:
        for name, value in nested.items():
            if isinstance(value, dict) and value.keys() == Spread.__annotations__.keys():
                yield prefix + name, value
            elif isinstance(value, dict):
                yield from rows(value, f"{prefix}{name}.")

    table = Table("figure", *Spread.__annotations__)
    for name, values in rows(figures, ""):
        table.add_row(name, *(f"{value:{digits}}" for value in values.values()))
    return table
