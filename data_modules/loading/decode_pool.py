"""Decoding in processes of its own, so that an image on which a decoder hangs or dies costs that image alone."""

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
# What the processes call, by name, since they import it themselves.
_DECODER = "data_modules.loading.decoding:decode_rgb"


class DecodePool:
    """Decodes images in processes of its own; a context manager.

    The processes are started when there is work for them, by `subprocess` and not by forking, which would copy the
    locks of torch's threads. They import Pillow and numpy, nothing else, and end when the parent
    closes them or is gone.

    Args:
        workers: processes.
        seconds: time for one image, from when a process takes it.
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
        """Ends all processes, also such as are still decoding."""
        for worker in self._workers:
            worker.close()

    def map(self, items: Iterable[tuple[K, bytes | Path | UnreadableImage]]) -> Iterator[tuple[K, Decoded]]:
        """Decodes images in the order given, a few ahead of whoever asks.

        Memory stays constant however many there are: each process has four files or images under way.

        Args:
            items: each a name of any kind, and the file's bytes or its path; or the reason why it could not even be
                fetched, which is handed out in its turn.

        Yields:
            The name, and the RGB image or the reason why there is none; that error is handed out, not raised.

        Raises:
            OSError: no decoding process can be started.
            RuntimeError: another `map` of this pool is not at its end, or the pool is closed.
        """
        if self._is_busy:
            raise RuntimeError("a decode pool maps one thing at a time")
        self._is_busy = True
        under_way: deque[tuple[K, DecodeProcess | UnreadableImage]] = deque()
        turns = cycle(self._workers)  # in turn, so that whoever comes next has room for one more
        try:
            for key, source in items:
                if len(under_way) == AHEAD * len(self._workers):
                    yield _first(under_way)
                if isinstance(source, UnreadableImage):
                    under_way.append((key, source))
                    continue
                worker = next(turns)
                worker.send(source)
                under_way.append((key, worker))
            while under_way:
                yield _first(under_way)
        finally:
            self._is_busy = False
            for worker in self._workers:
                worker.forget()


def _first(under_way: "deque[tuple[K, DecodeProcess | UnreadableImage]]") -> tuple[K, Decoded]:
    key, found = under_way.popleft()
    return key, found if isinstance(found, UnreadableImage) else found.receive()
