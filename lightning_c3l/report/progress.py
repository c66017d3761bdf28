"""Progress of stages: a bar each on a terminal, a line now and then elsewhere.

Stages may be nested. Only rank zero shows them, and nobody does under `--quiet` (environment variable `C3L_QUIET`).
"""

import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sized
from types import TracebackType
from typing import Any, Self, TextIO, TypeVar

from tqdm import tqdm

from lightning_c3l.distributed.messages import is_silent, processes

_T = TypeVar("_T")
# seconds between two lines where there is no terminal
PAUSE = 30.0
# a stage that took no longer says nothing at its end
SHORT = 2.0
# until the bar of `track` appears: most of its loops are over by then
_DELAY = 1.0
_BAR = "{desc}: {percentage:.0f} %|{bar}| {n_fmt}/{total_fmt} {unit} [{elapsed}<{remaining}{postfix}]"
_COUNT = "{desc}: {n_fmt} {unit} [{elapsed}{postfix}]"


def clock_time(seconds: float) -> str:
    """Minutes and seconds as `1:20`, with hours where there are any."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


class Stage:
    """Something that takes time, as a context manager.

    Args:
        board: shows it.
        name: says what is done, such as "round 1".
        unit: what is counted, in the plural.
        total: number of items, if it is known.
        done: of them, those that were finished before.

    Attributes:
        done: number of finished items; may be set back.
        note: a few words or figures behind the progress.
        bar: on a terminal, the bar of tqdm.
    """

    def __init__(self, board: "Board", name: str, unit: str, total: int | None = None, done: int = 0) -> None:
        self.name, self.unit, self.total = name, unit, total
        self.done, self.note = done, ""
        self.bar: Any = None
        self._board = board
        self.began, self._before = board.clock(), done

    def update(self, count: int = 1) -> None:
        """Count finished items."""
        self.done += count
        self._board.show(self)

    def close(self, finished: bool = True) -> None:
        """End the stage; one that did not finish ends without a line."""
        self._board.close(self, finished)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close(finished=kind is None)

    def line(self, now: float) -> str:
        """Name, count and the time that is left: `round 1: 120/400 images (30 %), 1:20 left`."""
        text = f"{self.name}: {self._count()} {self.unit}"
        if self.total:
            text += f" ({100 * self.done / self.total:.0f} %)"
            if self._before < self.done < self.total:
                pace = (now - self.began) / (self.done - self._before)
                text += f", {clock_time(pace * (self.total - self.done))} left"
        return text + (f", {self.note}" if self.note else "")

    def end(self, now: float) -> str:
        """Name, count and the time that it took: `round 1: 400 images in 2:05`."""
        count = f"{self.done:,}" if self.done == self.total else self._count()
        text = f"{self.name}: {count} {self.unit} in {clock_time(now - self.began)}"
        return text + (f", {self.note}" if self.note else "")

    def _count(self) -> str:
        return f"{self.done:,}" if self.total is None else f"{self.done:,}/{self.total:,}"


class Board:
    """Shows the stages that are under way.

    Args:
        stream: where to; stderr as it is when a stage begins unless given.
        clock: seconds.
        silent: whether a new stage is not shown.
    """

    def __init__(
        self,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
        silent: Callable[[], bool] = is_silent,
    ) -> None:
        self.clock = clock
        self._stream, self._silent = stream, silent
        self._stages = list[Stage]()
        self._said = 0.0
        self._lock = threading.RLock()

    def stage(self, name: str, unit: str, total: int | None = None, done: int = 0, delay: float = 0.0) -> Stage:
        """Begin a stage; the arguments are those of `Stage`.

        Args:
            name: says what is done.
            unit: what is counted, in the plural.
            total: number of items, if it is known.
            done: of them, those that were finished before.
            delay: seconds until its bar appears.
        """
        if not self._stages and (count := processes()) > 1:
            # its items are a share of all
            name = f"{name}, rank 0 of {count}"
        stage = Stage(self, name, unit, total, done)
        if self._silent():
            return stage
        with self._lock:
            stream = self._target()
            if stream.isatty() and os.environ.get("TERM") != "dumb":
                stage.bar = tqdm(
                    desc=name,
                    unit=unit,
                    total=total,
                    initial=done,
                    delay=delay,
                    # below those that contain it
                    position=len(self._stages),
                    bar_format=_BAR if total else _COUNT,
                    file=stream,
                    leave=False,
                    dynamic_ncols=True,
                )
            if not self._stages:
                self._said = stage.began
            self._stages.append(stage)
        return stage

    def show(self, stage: Stage) -> None:
        """Show how far a stage is, now or with its next steps."""
        with self._lock:
            if stage not in self._stages:
                return
            if stage.bar is not None:
                stage.bar.set_postfix_str(stage.note, refresh=False)
                if stage.bar.update(stage.done - stage.bar.n):
                    for outer in self._stages[: self._stages.index(stage)]:
                        # its clock goes on while it waits for the end of this one
                        outer.bar.refresh()
            elif (now := self.clock()) - self._said >= PAUSE:
                self._said = now
                self._write("; ".join(one.line(now) for one in self._stages))

    def close(self, stage: Stage, finished: bool) -> None:
        """End a stage and those within it; the outermost one leaves a line if it took a while."""
        with self._lock:
            if stage not in self._stages:
                return
            position = self._stages.index(stage)
            for last in reversed(self._stages[position:]):
                if last.bar is not None:
                    last.bar.close()
            del self._stages[position:]
            now = self.clock()
            if finished and not self._stages and now - stage.began > SHORT:
                self._write(stage.end(now))

    def close_all(self) -> None:
        """End what an error has left open."""
        if self._stages:
            self.close(self._stages[0], finished=False)

    def has_bars(self) -> bool:
        """Whether there is a bar on the terminal."""
        return any(stage.bar is not None for stage in self._stages)

    def write_above(self, stream: TextIO, text: str) -> None:
        """Write whole lines to a stream of the same terminal, above the bars."""
        with self._lock, tqdm.get_lock():
            bars = [stage.bar for stage in self._stages if stage.bar is not None]
            for bar in bars:
                bar.clear(nolock=True)
            stream.write(text)
            stream.flush()
            for bar in bars:
                bar.refresh(nolock=True)

    def _target(self) -> TextIO:
        # behind a stream that writes above the bars, the stream itself
        stream = self._stream or sys.stderr
        return getattr(stream, "below", stream)

    def _write(self, line: str) -> None:
        self.write_above(self._target(), f"{line}\n")


BOARD = Board()


def stage(name: str, unit: str, total: int | None = None, done: int = 0) -> Stage:
    """Begin a stage, to be ended by `with` or `close`.

    Args:
        name: says what is done.
        unit: what is counted, in the plural.
        total: number of items, if it is known.
        done: of them, those that were finished before.
    """
    return BOARD.stage(name, unit, total, done)


def track(items: Iterable[_T], name: str, unit: str, total: int | None = None) -> Iterator[_T]:
    """The items, with the progress of the loop over them.

    Args:
        items: of a loop that is often short: its bar appears after a second.
        name: says what is done.
        unit: what is counted, in the plural.
        total: number of items; their length unless given, if they have one.
    """
    if total is None and isinstance(items, Sized):
        total = len(items)
    with BOARD.stage(name, unit, total, delay=_DELAY) as progress:
        for item in items:
            yield item
            progress.update()
