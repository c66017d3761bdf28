"""Seconds by stage."""

import time


class Clock:
    """Adds up the time between one lap and the next, by name."""

    def __init__(self) -> None:
        self.laps = dict[str, float]()
        self._since = time.perf_counter()

    def lap(self, name: str) -> None:
        """The time since the last lap belongs to this stage."""
        now = time.perf_counter()
        self.add(name, now - self._since)
        self._since = now

    def add(self, name: str, seconds: float) -> None:
        """Count time to a stage, apart from the laps."""
        self.laps[name] = round(self.laps.get(name, 0.0) + seconds, 3)

    def move(self, seconds: float, source: str, target: str) -> None:
        """Count time of one stage to another."""
        self.add(source, -seconds)
        self.add(target, seconds)
