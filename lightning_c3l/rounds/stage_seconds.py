"""Seconds by stage of a round, as few numbers however often a stage begins."""

import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import TypeVar

from lightning.pytorch.profilers import Profiler

_T = TypeVar("_T")


class StageSeconds(Profiler):
    """Adds up the seconds of each stage; a stage that begins inside another one interrupts it.

    Attributes:
        seconds: by stage.
    """

    def __init__(self) -> None:
        super().__init__()
        self.seconds = defaultdict[str, float](float)
        self._running: list[str] = []
        self._since = 0.0

    def start(self, action_name: str) -> None:
        """Begin a stage."""
        self._count()
        self._running.append(action_name)

    def stop(self, action_name: str) -> None:
        """End the stage that was begun last."""
        self._count()
        self._running.pop()

    def _count(self) -> None:
        now = time.perf_counter()
        if self._running:
            self.seconds[self._running[-1]] += now - self._since
        self._since = now

    def summary(self) -> str:
        """A line of each stage."""
        return "\n".join(f"{stage}: {seconds:.3f} s" for stage, seconds in self.seconds.items())


def timed(items: Iterable[_T], profiler: Profiler, name: str) -> Iterator[_T]:
    """Yield the items; the time until each comes counts to a stage."""
    iterator = iter(items)
    while True:
        with profiler.profile(name):
            item = next(iterator, None)
        if item is None:
            return
        yield item
