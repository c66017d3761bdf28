"""Processes of trials, a few at a time, until all have ended or the program is told to stop."""

import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any, NoReturn

from experiments.sweeps.trials import Trial, TrialProcess

_POLL = 0.2
_DEVICES = "CUDA_VISIBLE_DEVICES"

# a trial and variables of its environment -> its process
Start = Callable[[Trial, Mapping[str, str]], TrialProcess]


def run_trials(
    trials: Sequence[Trial],
    workers: int,
    start: Start,
    ended: Callable[[Trial, int], None],
    stopped: Callable[[], None] = lambda: None,
) -> None:
    """Run trials; one that fails ends nothing but itself.

    Ctrl-C and SIGTERM let the running ones keep what they have made, and end the program.

    Args:
        trials: to run, in this order.
        workers: trials at a time; they share the cores, and the GPUs that CUDA_VISIBLE_DEVICES lists.
        start: starts one.
        ended: called with each that has ended, and how many are left.
        stopped: called after the program was told to stop, before it ends.
    """
    waiting, running = list(trials), dict[int, TrialProcess]()
    with _Signals() as signals:
        try:
            while waiting or running:
                with signals.held():
                    for worker in set(range(workers)) - running.keys():
                        if waiting:
                            running[worker] = start(waiting.pop(0), _share(worker, workers))
                time.sleep(_POLL)
                with signals.held():
                    for worker, process in list(running.items()):
                        if process.has_ended():
                            del running[worker]
                            ended(process.trial, len(waiting) + len(running))
        finally:
            _stop(list(running.values()), signals, stopped)


def _stop(running: list[TrialProcess], signals: "_Signals", stopped: Callable[[], None]) -> None:
    """Let what still runs keep what it has made; where the program is told again, it ends at once."""
    if not running:
        return
    try:
        _end_all(running)
    except (KeyboardInterrupt, SystemExit):
        _end_all(running)
    with signals.held():
        stopped()
    print(f"stopped {len(running)} of the trials; the same command goes on with them", flush=True)


def _end_all(running: list[TrialProcess]) -> None:
    for process in running:
        process.stop()
    for process in running:
        process.wait()


def _share(worker: int, workers: int) -> dict[str, str]:
    """The part of the machine that a worker gets, where several run at a time: cores, and GPUs if they are listed."""
    if workers == 1:
        return {}
    share = dict[str, str]()
    if "OMP_NUM_THREADS" not in os.environ:
        share["OMP_NUM_THREADS"] = str(max(1, (os.cpu_count() or 1) // workers))
    devices = [one for one in os.environ.get(_DEVICES, "").split(",") if one]
    if len(devices) > 1:
        share[_DEVICES] = ",".join(devices[worker::workers] or [devices[worker % len(devices)]])
    return share


class _Signals:
    """Ctrl-C and SIGTERM end the program, each with its own status; what must not be broken off holds them back.

    An import that Ctrl-C breaks off, for one, cannot be made again.
    """

    def __init__(self) -> None:
        self._is_held, self._came = False, list[int]()
        self._before = dict[int, Any]()

    def __enter__(self) -> "_Signals":
        self._before = {number: signal.signal(number, self._on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_: object) -> None:
        for known, handler in self._before.items():
            signal.signal(known, handler)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold them back until the block has ended; after an error in it they no longer matter."""
        self._is_held = True
        yield
        self._is_held, came, self._came = False, self._came, []
        if came:
            self._leave(came[0])

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self._is_held:
            self._came.append(number)
        else:
            self._leave(number)

    @staticmethod
    def _leave(number: int) -> NoReturn:
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        raise SystemExit(128 + number)
