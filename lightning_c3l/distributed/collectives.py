"""What the processes of a run tell each other outside of training steps.

All functions but `rank`, `world`, `is_first`, `is_waiting` and those that look at files are collective: every process
must call them, in the same order. They go over a gloo group of their own, so that a process may wait for hours while
another writes, whatever time limit the group of the gradients has, and so that no GPU spins meanwhile. One that dies
ends the wait of all others.
"""

import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import torch.distributed as dist

_T = TypeVar("_T")
# a process that has little to write waits for one that has much
_PATIENCE = timedelta(days=7)
# a minute, in which a network's file system has forgotten that a file was not there
_LOOKS, _PAUSE = 300, 0.2
# the group of the gradients, and the one that belongs to it here; who ends them must find nobody holding them: threads
# of theirs that outlive the interpreter abort the process
_control: tuple[weakref.ref[Any], weakref.ref[Any]] | None = None
_waiting = False


def rank() -> int:
    """Number of this process, from 0."""
    return dist.get_rank() if _is_shared() else 0


def world() -> int:
    """How many processes make the run."""
    return dist.get_world_size() if _is_shared() else 1


def is_first() -> bool:
    """Whether this is the process that writes what there is one of."""
    return rank() == 0


def wait() -> None:
    """Go on once all processes have come here."""
    if world() > 1:
        with _wait_under_way():
            dist.barrier(group=_group())


def is_waiting() -> bool:
    """Whether this process is inside a function that waits for others.

    An exception that a signal's handler raises there leaves the wait behind it, and the process cannot end before that
    has ended too.
    """
    return _waiting


def gather(value: _T) -> list[_T]:
    """The values of all processes, by rank, in each of them."""
    if world() == 1:
        return [value]
    everywhere: list[Any] = [None] * world()
    with _wait_under_way():
        dist.all_gather_object(everywhere, value, group=_group())
    return everywhere


def from_first(value: _T) -> _T:
    """The value of the first process, in each of them."""
    return gather(value)[0]


def by_first(work: Callable[[], _T]) -> _T:
    """What the first process gets from `work`, in all of them.

    Raises:
        Exception: its error in the first process; the others leave quietly.
    """
    problem, value = None, None
    if is_first():
        try:
            value = work()
        except Exception as error:
            problem = error
    failed, found = from_first((problem is not None, value))
    if problem is not None:
        raise problem
    if failed:
        raise SystemExit(2)
    return found  # type: ignore[return-value]


def pauses() -> Iterator[float]:
    """Seconds to wait before each look at what other processes have written: a network's file system may be slow."""
    yield 0.0
    if world() > 1:
        yield from [_PAUSE] * _LOOKS


def require_visible(path: Path) -> None:
    """Wait for a file that another process has written.

    Raises:
        OSError: it does not appear.
    """
    for seconds in pauses():
        time.sleep(seconds)
        if path.exists():
            return
    raise OSError(f"{path}: written by another process and not to be seen here; do all nodes share the run folder?")


@contextmanager
def _wait_under_way() -> Iterator[None]:
    global _waiting
    _waiting = True
    try:
        yield
    finally:
        _waiting = False


def _is_shared() -> bool:
    return dist.is_available() and dist.is_initialized()


def _group() -> Any:
    global _control
    group = None if _control is None or _control[0]() is not dist.group.WORLD else _control[1]()
    if group is None:
        group = dist.new_group(backend="gloo", timeout=_PATIENCE)
        _control = weakref.ref(dist.group.WORLD), weakref.ref(group)
    return group
