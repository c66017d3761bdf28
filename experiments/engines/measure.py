"""Rates of one engine on one pass, and of several in turn."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypedDict

from experiments.speed.timing import Spread, spread, synchronize
from lightning_c3l.lvlm.base import GenerationRequest


@dataclass(frozen=True)
class Engine:
    """Something that generates.

    Attributes:
        generate: completes prompts; returns the completions of each.
        cpu_seconds: CPU seconds that all processes that take part have used so far.
    """

    generate: Callable[[Sequence[GenerationRequest]], Sequence[Sequence[str]]]
    cpu_seconds: Callable[[], float]


class Rates(TypedDict):
    """Rates of an engine over several passes.

    A text counts as one, whatever its length. CPU seconds are those of all processes together.
    """

    texts_per_cpu_second: Spread
    texts_per_second: Spread


def compare(
    engines: Mapping[str, Engine],
    draw: Callable[[int], Sequence[GenerationRequest]],
    warm_up: int,
    repeats: int,
    progress: Callable[[], object] = lambda: None,
) -> dict[str, Rates]:
    """Run all engines in each repeat, so that a drift of the machine affects them alike.

    Args:
        engines: by name.
        draw: prompts of the pass with this number; each pass gets prompts of its own.
        warm_up: prompts of a first pass of each engine, which does not count.
        repeats: passes that count.
        progress: called after each pass.
    """
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in engines}
    passes = iter(range((1 + repeats) * len(engines)))
    for engine in engines.values():
        engine.generate(draw(next(passes))[:warm_up])
        progress()
    for _ in range(repeats):
        for name, engine in engines.items():
            found[name].append(_rates_of_pass(engine, draw(next(passes))))
            progress()
    return {
        name: Rates(texts_per_cpu_second=spread([cpu for cpu, _ in own]), texts_per_second=spread([s for _, s in own]))
        for name, own in found.items()
    }


def _rates_of_pass(engine: Engine, requests: Sequence[GenerationRequest]) -> tuple[float, float]:
    """Texts per CPU second and per second."""
    synchronize()
    cpu, start = engine.cpu_seconds(), time.perf_counter()
    count = sum(map(len, engine.generate(requests)))
    synchronize()
    seconds = time.perf_counter() - start
    return count / (engine.cpu_seconds() - cpu), count / seconds
