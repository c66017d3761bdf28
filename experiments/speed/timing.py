"""Timing several ways of doing one thing side by side, so that a drift of the machine hits all of them alike."""

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, is_dataclass
from typing import Any

import torch


@dataclass(frozen=True)
class Spread:
    """A figure over several runs."""

    median: float
    min: float
    max: float

    @classmethod
    def of(cls, values: list[float]) -> "Spread":
        """Median and extremes."""
        return cls(statistics.median(values), min(values), max(values))


def side_by_side(ways: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, list[float]]:
    """Seconds of each way in each round; every round runs all of them, after one that does not count."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(repeats + 1):
        for name, run in ways.items():
            _wait()
            began = time.perf_counter()
            run()
            _wait()
            if number:
                seconds[name].append(time.perf_counter() - began)
    return seconds


def ratio(slow: list[float], fast: list[float]) -> Spread:
    """How many times as long the slow way takes, round by round."""
    return Spread.of([s / f for s, f in zip(slow, fast, strict=True)])


def as_plain(value: Any) -> Any:
    """Figures as values that JSON can hold."""
    if isinstance(value, dict):
        return {name: as_plain(one) for name, one in value.items()}
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else value


def spreads(figures: dict[str, Any], name: str = "") -> list[tuple[str, Spread]]:
    """All spreads among nested figures, by their path."""
    out = list[tuple[str, Spread]]()
    for key, value in figures.items():
        if isinstance(value, Spread):
            out.append((name + key, value))
        elif isinstance(value, dict):
            out += spreads(value, f"{name}{key}.")
    return out


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
