"""Decoding in separate processes, so that an image on which a decoder hangs or dies costs that image only."""

import os
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import cycle
from math import inf
from pathlib import Path
from types import TracebackType
from typing import TypeVar

from data_modules.loading.decode_process import AHEAD, Decoded, DecodeProcess
from data_modules.loading.decoding import MAX_PIXELS, UnreadableImage

__all__ = ["DecodePool", "Decoded"]

K = TypeVar("K")
# called by the processes, which import it by this name
_DECODER = "data_modules.loading.decoding:decode_rgb"
_MOST_WORKERS = 8


def scan_workers() -> int:
    """Processes to decode every image of a set with: one for each core, at most 8."""
    return min(_MOST_WORKERS, os.cpu_count() or 1)


class DecodePool:
    """Decodes images in separate processes; a context manager.

    The processes are started when there is work for them, by `subprocess` and not by forking, which would copy the
    locks of torch's threads. They import Pillow and numpy, nothing else, and end when the parent closes them or ends.

    Args:
        workers: number of processes.
        seconds: time limit for one image, from when a process starts on it.
        max_pixels: larger images are unreadable.
        longest_side: larger images are shrunk; see `decode_rgb`.

    Raises:
        ValueError: an option that leaves nothing to do.
    """

    def __init__(
        self, workers: int = 2, seconds: float = 20.0, max_pixels: int = MAX_PIXELS, longest_side: int | None = None
    ) -> None:
        if workers < 1 or not 0 < seconds < inf:
            raise ValueError(f"decoding needs at least one worker and some time, got {workers} and {seconds:g} s")
        if longest_side is not None and longest_side < 1:
            raise ValueError(f"longest_side must be at least 1 or left out, not {longest_side}")
        options = {"decoder": _DECODER, "seconds": seconds, "max_pixels": max_pixels, "longest_side": longest_side}
        self._workers = [DecodeProcess(options) for _ in range(workers)]
        self._is_busy = False

    def __enter__(self) -> "DecodePool":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End all processes, including those that are still decoding."""
        for worker in self._workers:
            worker.close()

    def map(self, items: Iterable[tuple[K, bytes | Path | UnreadableImage]]) -> Iterator[tuple[K, Decoded]]:
        """Decode images in the given order, a few ahead of the consumer.

        Memory stays constant however many there are: each process has at most four files or images in flight.

        Args:
            items: each a key of any kind, and the file's bytes or its path; or the reason why it could not be
                fetched, which is yielded in its turn.

        Yields:
            The key, and the RGB image or the reason why there is none; that error is yielded, not raised.

        Raises:
            OSError: no decoding process can be started.
            RuntimeError: another `map` of this pool has not finished, or the pool is closed.
        """
        if self._is_busy:
            raise RuntimeError("the decode pool is in use: one map at a time")
        self._is_busy = True
        in_flight: deque[tuple[K, DecodeProcess | UnreadableImage]] = deque()
        turns = cycle(self._workers)  # in turn, so that the next one has room for one more

        def first() -> tuple[K, Decoded]:
            key, found = in_flight.popleft()
            return key, found if isinstance(found, UnreadableImage) else found.receive()

        try:
            for key, source in items:
                if len(in_flight) == AHEAD * len(self._workers):
                    yield first()
                if isinstance(source, UnreadableImage):
                    in_flight.append((key, source))
                    continue
                worker = next(turns)
                worker.send(source)
                in_flight.append((key, worker))
            while in_flight:
                yield first()
        finally:
            self._is_busy = False
            for worker in self._workers:
                worker.forget()
