"""Time and peak memory of the phases of a process, told apart by the functions that it enters."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import wraps
from time import perf_counter, process_time
from typing import Any
from unittest.mock import patch

from experiments.speed.timing import process_memory, reset_peak_memory


class Phases:
    """Measures the phases of this process, on Linux.

    Args:
        first: name of the phase that begins now.

    Attributes:
        found: `seconds`, `cpu_seconds` and `peak_bytes` (of the whole process) by phase; what comes back to a phase
            adds to it.
    """

    def __init__(self, first: str) -> None:
        self.found = dict[str, dict[str, float]]()
        self._begin(first)

    def change(self, name: str) -> str:
        """End the phase and begin another; returns the name of the one that ended."""
        before, nothing = self._name, {"seconds": 0.0, "cpu_seconds": 0.0, "peak_bytes": 0.0}
        own = self.found.setdefault(before, nothing)
        own["seconds"] += perf_counter() - self._began
        own["cpu_seconds"] += process_time() - self._cpu_began
        own["peak_bytes"] = max(own["peak_bytes"], process_memory("VmHWM"))
        self._begin(name)
        return before

    @contextmanager
    def within(self, owner: Any, function: str, name: str) -> Iterator[None]:
        """While the block runs, each call of a function is a phase.

        Args:
            owner: class or module that the function is looked up in.
            function: its name.
            name: of the phase.
        """
        original = getattr(owner, function)

        @wraps(original)
        def measured(*args: Any, **kwargs: Any) -> Any:
            before = self.change(name)
            try:
                return original(*args, **kwargs)
            finally:
                self.change(before)

        with patch.object(owner, function, measured):
            yield

    def _begin(self, name: str) -> None:
        reset_peak_memory()
        self._name, self._began, self._cpu_began = name, perf_counter(), process_time()
