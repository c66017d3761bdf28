"""What the ranks of a run tell each other outside of training steps.

All functions but `rank`, `world`, `is_rank_zero`, `is_waiting` and those that look at files are collective: every rank
must call them, in the same order. They use a gloo group of their own, so that a rank may wait for hours while another
generates, whatever the timeout of the gradients' group is, and so that no GPU spins meanwhile. If a rank dies, the
others stop waiting.
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
# a rank with little to generate waits for one with much
_TIMEOUT = timedelta(days=7)
# a minute: by then, a network file system no longer caches that a file did not exist
_ATTEMPTS, _PAUSE = 300, 0.2
# the default group, and ours that belongs to it; weak, since a group whose threads outlive the interpreter aborts it
_control: tuple[weakref.ref[Any], weakref.ref[Any]] | None = None
_waiting = False


def rank() -> int:
    """Index of this process in the run."""
    return dist.get_rank() if dist.is_available() and dist.is_initialized() else 0


def world() -> int:
    """Number of processes of the run."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def is_rank_zero() -> bool:
    """Whether this is the process that writes shared files."""
    return rank() == 0


def barrier() -> None:
    """Wait until all ranks have come here."""
    if world() > 1:
        with _mark_waiting():
            dist.barrier(group=_group())


def is_waiting() -> bool:
    """Whether this process is inside a collective function.

    An exception that a signal handler raises there does not end the wait, and the process cannot exit before it ends.
    """
    return _waiting


def gather(value: _T) -> list[_T]:
    """The values of all ranks, by rank, on every rank."""
    if world() == 1:
        return [value]
    everywhere: list[Any] = [None] * world()
    with _mark_waiting():
        dist.all_gather_object(everywhere, value, group=_group())
    return everywhere


def broadcast(value: _T) -> _T:
    """The value of rank zero, on every rank."""
    return gather(value)[0]


def on_rank_zero(work: Callable[[], _T]) -> _T:
    """Run `work` on rank zero, and return its result on every rank.

    Raises:
        Exception: on rank zero, the error of `work`; the other ranks exit without a message.
    """
    problem, value = None, None
    if is_rank_zero():
        try:
            value = work()
        except Exception as error:
            problem = error
    failed, found = broadcast((problem is not None, value))
    if problem is not None:
        raise problem
    if failed:
        raise SystemExit(2)
    return found  # type: ignore[return-value]


def pauses() -> Iterator[float]:
    """Seconds to wait before each look for what other ranks have written: a network file system may lag behind."""
    yield 0.0
    if world() > 1:
        yield from [_PAUSE] * _ATTEMPTS


def require_visible(path: Path) -> None:
    """Wait for a file that another rank has written.

    Raises:
        OSError: if it does not appear.
    """
    for seconds in pauses():
        time.sleep(seconds)
        if path.exists():
            return
    raise OSError(f"{path}: written by another process and not visible here; do all nodes share the run folder?")


@contextmanager
def _mark_waiting() -> Iterator[None]:
    global _waiting
    _waiting = True
    try:
        yield
    finally:
        _waiting = False


def _group() -> Any:
    global _control
    group = None if _control is None or _control[0]() is not dist.group.WORLD else _control[1]()
    if group is None:
        group = dist.new_group(backend="gloo", timeout=_TIMEOUT)
        _control = weakref.ref(dist.group.WORLD), weakref.ref(group)
    return group
